"""What lies around the tables of a statement: foreign keys, triggers, sizes, and what hangs on what is dropped.

The server is asked for it at the moment it is needed, in one text of the gateway's own (``terrain.sql``); the session's
catalogue is what names mean, and does not hold how large anything is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Final

from blastwall.errors import UpstreamFault
from blastwall.sql.catalogue import quoted

#: What foreign keys do, as pg_constraint spells it.
NO_ACTION, RESTRICT, CASCADE, SET_NULL, SET_DEFAULT = "a", "r", "c", "n", "d"
ACTIONS: Final[Mapping[str, str]] = {CASCADE: "cascade", SET_NULL: "set null", SET_DEFAULT: "set default"}
#: pg_trigger.tgtype, bit by bit (catalog/pg_trigger.h).
ROW, BEFORE, INSERT, DELETE, UPDATE, TRUNCATE, INSTEAD = 1, 2, 4, 8, 16, 32, 64

_SECTIONS: Final = {
    name.strip(): text.strip()
    for name, _, text in (
        part.partition("\n")
        for part in files("blastwall.sql.blast").joinpath("terrain.sql").read_text("utf-8").split("\n--- ")[1:]
    )
}


@dataclass(frozen=True, slots=True)
class Table:
    """A relation as it is now. ``root`` is its partition tree's, or its own number. ``secured``: row security decides
    what this role sees of it. ``splits`` are the columns that decide on a row's partition ("*": an expression does).
    ``rows`` is the planner's estimate, ``size`` bytes of the heap, both of the whole tree.
    """

    oid: int
    root: int
    schema: str
    name: str
    kind: str
    temporary: bool
    named: bool
    partitioned: bool
    splits: tuple[str, ...]
    secured: bool
    readable: bool
    rules: bool
    updatable: bool
    rows: int
    size: int

    @property
    def title(self) -> str:
        """As facts and policies write it."""
        return f"{self.schema}.{self.name}"

    @property
    def source(self) -> str:
        """In a FROM list, as foreign keys look at it: without what inherits from it, with its partitions."""
        name = f"{quoted(self.schema)}.{quoted(self.name)}"
        return name if self.kind == "p" else f"ONLY {name}"


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key: ``columns`` of ``child`` refer to ``referenced`` of ``parent``, pairwise by ``operators``
    (schema, name; parent on the left). ``cleared``: SET NULL or SET DEFAULT on delete touches only these; (): all.
    """

    oid: int
    name: str
    child: int
    parent: int
    columns: tuple[str, ...]
    referenced: tuple[str, ...]
    operators: tuple[tuple[str, str], ...]
    on_delete: str
    on_update: str
    cleared: tuple[str, ...]
    enforced: bool


@dataclass(frozen=True, slots=True)
class Trigger:
    """Somebody's trigger on a table of the family ``root``. ``columns``: an update fires it for these; (): for all."""

    root: int
    title: str
    type: int
    conditional: bool
    columns: tuple[str, ...]

    def fires(self, event: int, columns: frozenset[str] | None = None) -> bool:
        """For an event (``DELETE`` ...); ``columns`` are those an update sets, None: any."""
        if not self.type & event:
            return False
        return event != UPDATE or not self.columns or columns is None or bool(columns.intersection(self.columns))


@dataclass(frozen=True)
class Terrain:
    """The families of tables that a statement can reach, with the keys and triggers between them."""

    tables: Mapping[int, Table]
    keys: tuple[Key, ...]
    triggers: tuple[Trigger, ...]

    @cached_property
    def named(self) -> tuple[Table, ...]:
        """What the statement names, with what inherits from it."""
        return tuple(table for table in self.tables.values() if table.named)

    def root(self, oid: int) -> int:
        """The family of a relation."""
        return self.tables[oid].root

    def onto(self, root: int) -> tuple[Key, ...]:
        """The foreign keys that refer to a family."""
        return self._onto.get(root, ())

    @cached_property
    def _onto(self) -> Mapping[int, tuple[Key, ...]]:
        found: dict[int, tuple[Key, ...]] = {}
        for key in self.keys:
            root = self.root(key.parent)
            found[root] = (*found.get(root, ()), key)
        return found

    def fired(self, root: int, event: int, columns: frozenset[str] | None = None) -> tuple[Trigger, ...]:
        """Somebody's triggers that an event on a family fires."""
        return tuple(each for each in self.triggers if each.root == root and each.fires(event, columns))


@dataclass(frozen=True, slots=True)
class Gone:
    """What goes with what is dropped: ``dependents`` in the server's words, and the tables among it all, by number."""

    dependents: tuple[str, ...]
    tables: tuple[int, ...]


def around(oids: Iterable[int]) -> str:
    """The question for the terrain around relations."""
    return _SECTIONS["around"].replace("{oids}", "{" + ",".join(str(int(oid)) for oid in oids) + "}")


def read(text: str) -> Terrain:
    """The answer to :func:`around`. Raises UpstreamFault when it is not as expected."""
    try:
        found = json.loads(text)
        tables = {int(each["oid"]): Table(**(each | {"splits": tuple(each["splits"])})) for each in found["relations"]}
        keys = tuple(_key(each) for each in found["keys"])
        triggers = tuple(
            Trigger(
                int(each["root"]),
                f"{each['schema']}.{each['table']}.{each['name']}",
                int(each["type"]),
                bool(each["conditional"]),
                tuple(each["columns"]),
            )
            for each in found["triggers"]
        )
        if any(key.child not in tables or key.parent not in tables for key in keys):
            raise KeyError("a key between tables that are not there")
    except (KeyError, ValueError, TypeError) as error:
        raise UpstreamFault(f"the target's tables are not described as PostgreSQL does: {error!r}") from error
    return Terrain(tables, keys, triggers)


def _key(each: Mapping[str, Any]) -> Key:
    return Key(
        oid=int(each["oid"]),
        name=each["name"],
        child=int(each["child"]),
        parent=int(each["parent"]),
        columns=tuple(each["columns"]),
        referenced=tuple(each["referenced"]),
        operators=tuple((schema, name) for schema, name in each["operators"]),
        on_delete=each["on_delete"],
        on_update=each["on_update"],
        cleared=tuple(each["cleared"]),
        enforced=bool(each["enforced"]),
    )


def gone(starts: Iterable[str]) -> str:
    """The question for what goes with dropped objects; each start is an SQL row (catalogue, object, column number)."""
    return _SECTIONS["gone"].replace("{starts}", ", ".join(starts))


def read_gone(text: str) -> Gone:
    """The answer to :func:`gone`. Raises UpstreamFault when it is not as expected."""
    try:
        found = json.loads(text)
        return Gone(tuple(sorted(map(str, found["dependents"]))), tuple(map(int, found["tables"])))
    except (KeyError, ValueError, TypeError) as error:
        raise UpstreamFault(f"dependencies are not described as PostgreSQL does: {error!r}") from error
