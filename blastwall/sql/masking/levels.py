"""Names in expressions to columns, as the server finds them (parse_relation.c), with what masking knows of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from blastwall.sql.catalogue import clip
from blastwall.sql.masking.values import CLEAN, Entry, Item, Misnamed, Refused, Value, derived
from blastwall.sql.scope import SYSTEM_COLUMNS
from blastwall.sql.tree import Message, strings

_SYSTEM_NUMBERS = {"ctid": -1, "xmin": -2, "cmin": -3, "xmax": -4, "cmax": -5, "tableoid": -6}


@dataclass(slots=True, eq=False)
class Level:
    """One query level. ``visible`` items give unqualified names and the star, ``named`` ones qualified names.

    ``after``: references to it count for GROUP BY from now on. ``queries`` are its WITH list, by name.
    """

    parent: Level | None = None
    visible: list[Item] = field(default_factory=list)
    named: list[Item] = field(default_factory=list)
    queries: dict[str, Callable[[], Sequence[Entry]]] = field(default_factory=dict)
    after: bool = False

    def query(self, name: str) -> Callable[[], Sequence[Entry]] | None:
        """What gives the columns of the nearest WITH query of that name."""
        level: Level | None = self
        while level is not None:
            if name in level.queries:
                return level.queries[name]
            level = level.parent
        return None


def resolve(node: Message, level: Level, database: str) -> tuple[Value, Item | None, Entry | None]:
    """(value, item, entry) of a reference (a Node that holds a ColumnRef), without marking anything.

    The entry is None for a whole row (then the item is set), a system column, and what an item of unknown columns
    gives. Raises Refused for a name that nothing has, or several have.
    """
    path = strings(node.column_ref.fields)
    if path == ["*"]:
        raise Refused("A star stands inside an expression; name the columns.")
    if len(path) == 1:
        return _unqualified(path[0], level)
    if path[-1] == "*":
        return CLEAN, _qualified(path[:-1], level, database), None
    item = _qualified(path[:-1], level, database)
    found = item.find(clip(path[-1]))
    if len(found) == 1:
        return found[0].value, item, found[0]
    if len(found) > 1:
        raise Misnamed(f"The name {'.'.join(path)} means several columns; give them names of their own.")
    if item.entries is None:
        return derived(item.taint.leaves), None, None
    if item.scan is not None and path[-1] in SYSTEM_COLUMNS:
        return _system(item, path[-1]), item, None
    raise Misnamed(f"{'.'.join(path)} is not a column; a function call in attribute notation is not followed.")


def _unqualified(name: str, level: Level) -> tuple[Value, Item | None, Entry | None]:
    name = clip(name)
    doubtful: set[Item] = set()
    here: Level | None = level
    while here is not None:
        found = [(item, entry) for item in here.visible for entry in item.find(name)]
        if len(found) > 1:
            raise Misnamed(f"The name {name} means several columns; say which table it is of.")
        doubtful.update(item for item in here.visible if item.entries is None)
        if found:
            item, entry = found[0]
            taint = frozenset(leaf for each in doubtful for leaf in each.taint.leaves)
            return (derived(taint | entry.value.leaves) if taint else entry.value), item, entry
        if name in SYSTEM_COLUMNS:
            having = [item for item in here.named if item.scan is not None]
            if len(having) == 1:
                return _system(having[0], name), having[0], None
            if having:
                raise Misnamed(f"The name {name} means several columns; say which table it is of.")
        here = here.parent
    here = level
    while here is not None:
        for item in here.named:
            if item.alias == name:
                return CLEAN, item, None
        here = here.parent
    if doubtful:
        return derived(leaf for each in doubtful for leaf in each.taint.leaves), None, None
    raise Misnamed(f"{name} is not a column of anything in FROM.")


def _qualified(path: Sequence[str], level: Level, database: str) -> Item:
    if len(path) > 3 or (len(path) == 3 and path[0] != database):
        raise Misnamed(f"{'.'.join(path)} names nothing in FROM.")
    alias, schema = clip(path[-1]), clip(path[-2]) if len(path) > 1 else ""
    here: Level | None = level
    while here is not None:
        found = [item for item in here.named if item.alias == alias and (not schema or item.schema == schema)]
        if len(found) > 1:
            raise Misnamed(f"{'.'.join(path)} means several tables; give each an alias of its own.")
        if found:
            return found[0]
        here = here.parent
    raise Misnamed(f"{'.'.join(path)} names nothing in FROM.")


def _system(item: Item, name: str) -> Value:
    assert item.scan is not None
    return Value(origin=(item.scan.relation.oid, _SYSTEM_NUMBERS[name]))
