"""What masking knows of a value in a statement: which masked columns it comes from, and whether as they stand."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from blastwall.masking.plan import Mask
from blastwall.sql.catalogue import Column, Relation, clip
from blastwall.sql.tree import Message


class Refused(Exception):
    """Masking cannot be kept. The text is for the agent: which column, why, and what to do instead."""


class Misnamed(Refused):
    """A name stands for nothing that is there, or for several things: most likely it is misspelt."""


@cache
def table() -> Mapping[str, Any]:
    """masking.toml, loaded once."""
    return tomllib.loads(files(__package__).joinpath("masking.toml").read_text("utf-8"))


@dataclass(slots=True, eq=False)
class Leaf:
    """A masked column of one FROM item. ``raw``: the executor sees its real values there (the target of a change).

    ``hidden``: its mask's ``source`` stands in its place even if its strategy is one of the sink's. ``compared`` says
    where raw values of it are compared with those of another column, which is possible only while it is not hidden.
    """

    mask: Mask
    raw: bool = False
    hidden: bool = False
    compared: str = ""

    def __post_init__(self) -> None:
        self.hidden = not self.mask.at_sink


class Value(NamedTuple):
    """An expression's value. ``bare``: it is the leaf's column as it stands. ``mixed``: in other rows it is not.

    ``row``: it is a whole row that holds the leaves. ``origin`` is what RowDescription will say of it: (relation oid,
    column number), (0, 0) for what is computed, None where the text does not tell.
    """

    leaves: frozenset[Leaf] = frozenset()
    bare: bool = True
    mixed: bool = False
    row: bool = False
    origin: tuple[int, int] | None = (0, 0)

    def away(self) -> Value:
        """The same value without its origin: behind a sub-query in an expression, or a set operation."""
        return self._replace(origin=(0, 0))


CLEAN = Value()


def merged(values: Sequence[Value]) -> Value:
    """A column whose rows come from several places."""
    leaves = frozenset(leaf for value in values for leaf in value.leaves)
    mixed = any(value.mixed or not value.leaves for value in values)
    row = any(value.row for value in values)
    return Value(leaves, all(value.bare for value in values), bool(leaves) and mixed, row)


def derived(leaves: Iterable[Leaf]) -> Value:
    """A value computed from leaves (none: from nothing that is masked)."""
    found = frozenset(leaves)
    return Value(found, bare=not found)


@dataclass(slots=True, eq=False)
class Cell:
    """One column of a relation in FROM. ``shown`` is what it is called there; ``needed``: something refers to it.

    ``after``: something refers to it where GROUP BY counts (not in WHERE or FROM).
    """

    column: Column
    shown: str
    leaf: Leaf | None
    needed: bool = False
    after: bool = False
    scan: Scan | None = None


@dataclass(slots=True, eq=False)
class Scan:
    """One use of a relation of the catalogue in a statement.

    ``node`` is the FROM item's Node, which the rewrite replaces (None: a target of a change, which cannot be).
    ``outer``: an outer join may leave it empty. ``conditions`` are tests of raw values that move into it. ``spelled``
    are the references that name it with its schema. ``returned`` are (reference, cell) in RETURNING, where a mask's
    ``source`` takes the reference's place.
    """

    relation: Relation
    name: Message
    node: Message | None
    sample: Message | None
    cells: list[Cell]
    alias: str
    role: str = "read"  # read, target, returned
    outer: bool = False
    whole: bool = False
    system: dict[str, bool] = field(default_factory=dict)  # system columns referred to, and whether GROUP BY counts
    conditions: list[Message] = field(default_factory=list)
    spelled: list[Message] = field(default_factory=list)
    returned: list[tuple[Message, Cell]] = field(default_factory=list)

    @property
    def rewritten(self) -> bool:
        """Whether it must become a sub-select: a masked column of it is shown, or tested raw."""
        return self.role == "read" and (
            bool(self.conditions) or any(cell.needed and cell.leaf is not None for cell in self.cells)
        )


class Entry(NamedTuple):
    """One column of a FROM item or of a query's result."""

    name: str
    value: Value
    cell: Cell | None = None


@dataclass(slots=True, eq=False)
class Item:
    """A FROM item. ``entries`` None: its columns are not known; whatever they are, they come from ``taint``."""

    alias: str
    entries: Sequence[Entry] | None
    schema: str = ""
    scan: Scan | None = None
    taint: Value = CLEAN

    def find(self, name: str) -> list[Entry]:
        return [entry for entry in self.entries or () if entry.name == name]

    @property
    def leaves(self) -> frozenset[Leaf]:
        """Every leaf in it."""
        return self.taint.leaves.union(*(entry.value.leaves for entry in self.entries or ()))


def renamed(entries: Sequence[Entry] | None, names: Sequence[str]) -> Sequence[Entry] | None:
    """Entries after an alias list: the first ones are renamed."""
    if entries is None or not names:
        return entries
    made = []
    for place, entry in enumerate(entries):
        if place < len(names):
            entry = entry._replace(name=clip(names[place]))
            if entry.cell is not None:
                entry.cell.shown = entry.name
        made.append(entry)
    return made
