"""One statement's masking: what it has met so far, and what a use of a masked column means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from blastwall.masking.plan import Mask, Plan, Predicates
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.masking.levels import Level, resolve
from blastwall.sql.masking.values import CLEAN, Cell, Entry, Item, Leaf, Refused, Scan, Value
from blastwall.sql.scope import SYSTEM_COLUMNS
from blastwall.sql.tree import Message, everything_within, strings
from blastwall.sql.walk import Walk


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a statement a value is used. ``filters``: there it decides which rows come, how many, or their order.

    ``tests``: it is compared there, so that a mask in the value's place would give wrong answers without a word.
    """

    says: str
    filters: bool = False
    tests: bool = False


EXPRESSION = Place("in an expression")
WHERE = Place("in WHERE", True, True)
JOIN = Place("in a join condition", True, True)
HAVING = Place("in HAVING", True, True)
FILTER = Place("in FILTER", True, True)
LIMIT = Place("in LIMIT", True, True)
GROUP = Place("in GROUP BY", True)
ORDER = Place("in ORDER BY", True)
DISTINCT = Place("with DISTINCT", True)
UNITED = Place("in a UNION without ALL, INTERSECT or EXCEPT", True)
WINDOW = Place("in a window", True)
RECURSION = Place("in a recursive query", True)
SUBSCRIPT = Place("in a subscript of what is stored", True, True)


@dataclass(slots=True, eq=False)
class Grouping:
    """A query level that groups: its SELECT, and the columns it groups by as they stand."""

    select: Message
    cells: list[Cell]
    scans: list[Scan]


@dataclass(slots=True, eq=False)
class Star:
    """A star (ResTarget at ``place`` of ``targets``), and the items it stands for."""

    targets: Message
    place: int
    items: Sequence[Item]


#: Columns of FROM items and stars of one statement. A hundred tables of two hundred columns, read through three levels
#: of queries, stay below.
MOST_COLUMNS: Final = 60_000


class Binder:
    """Walks one statement (a private copy: its scans are rewritten in place)."""

    def __init__(
        self,
        walk: Walk,
        plan: Plan,
        query: Callable[[Binder, Message, Level], list[Entry]],
        change: Callable[[Binder, Message, Level], list[Entry]],
        *,
        as_it_stands: bool = False,
    ) -> None:
        self.walk = walk  # resolves relations; its ledger is not looked at
        self.as_it_stands = as_it_stands  # no mask will be put in: a view's query
        self.plan = plan
        self.query = query
        self.change = change
        self.scans: list[Scan] = []
        self.bound: dict[int, Message] = {}  # every RangeVar that was followed, by identity
        self.groupings: list[Grouping] = []
        self.stars: list[Star] = []
        self.leaves: list[Leaf] = []
        self.masked: set[str] = set()
        self.flags: set[str] = set()
        self.guesses: set[str] = set()  # columns of which real values were compared with given ones
        self.filters = False
        self.hiding = False  # an expression over a masked column is computed from its mask
        self.literals = False  # a literal's value was looked at
        self.parameters: set[int] = set()
        self.stores: list[tuple[int, Mask]] = []
        self.changed = False  # something besides the scans was rewritten
        self.opened = 0  # columns

    def open(self, columns: int) -> None:
        """So many columns more come into sight, or are shown by a star. Raises Refused for the one too many.

        A WITH query that takes the one before it twice doubles them with every link, so that 600 bytes spell millions.
        """
        self.opened += columns
        if self.opened > MOST_COLUMNS:
            raise Refused(
                f"Takes up more than {MOST_COLUMNS:,} columns beside masked ones, counted as often as a table, query "
                "or star repeats them; name the columns that are needed."
            )

    @property
    def catalogue(self) -> Catalogue:
        found = self.walk.surroundings.catalogue
        assert found is not None  # without one there is no plan
        return found

    def pass_over(self, message: Message) -> None:
        """What stands here is a copy of what is bound elsewhere."""
        for node in everything_within(message):
            if type(node).__name__ == "RangeVar":
                self.bound[id(node)] = node

    # -- references

    def refer(self, node: Message, level: Level) -> Value:
        """The value of a reference (a Node that holds a ColumnRef); what it refers to is needed from now on."""
        value, item, entry = resolve(node, level, self.catalogue.database)
        path = strings(node.column_ref.fields)
        if item is not None and item.scan is not None and len(path) > 2:
            item.scan.spelled.append(node)
        if item is None:
            return self.met(value)
        if entry is None:
            if path[-1] in SYSTEM_COLUMNS and item.alias != path[-1]:
                assert item.scan is not None
                self._refuse_partition(item.scan, path[-1])
                item.scan.system[path[-1]] = item.scan.system.get(path[-1], False) or _after(level, item)
                return value
            return self.whole(item, level)
        if entry.cell is not None:
            entry.cell.needed = True
            entry.cell.after = entry.cell.after or _after(level, item)
            scan = entry.cell.scan
            if scan is not None and scan.role == "returned" and entry.cell.leaf is not None:
                scan.returned.append((node, entry.cell))
        return self.met(value)

    def _refuse_partition(self, scan: Scan, name: str) -> None:
        column = self.plan.telling.get(scan.relation.oid) if name == "tableoid" else None
        if column is not None:
            raise Refused(f"Tells by {name} in which partition a row is, and so what {column} holds, which is masked.")

    def take(self, item: Item, entry: Entry, level: Level) -> Value:
        """A column that a star stands for. In RETURNING stars are written out before: one further in cannot be."""
        if item.scan is not None and item.scan.role == "returned" and entry.value.leaves:
            raise Refused(
                f"Returns every column of a table that it changes in a sub-query, {min(_columns(entry.value))} among "
                "them, which is masked; name the columns instead."
            )
        if entry.cell is not None:
            entry.cell.needed = True
            entry.cell.after = entry.cell.after or _after(level, item)
        return self.met(entry.value)

    def whole(self, item: Item, level: Level) -> Value:
        """A whole row as one value: every column of it is needed, and each masked one is hidden."""
        for entry in item.entries or ():
            if entry.cell is not None:
                entry.cell.needed = True
                entry.cell.after = entry.cell.after or _after(level, item)
        if item.scan is not None:
            item.scan.whole = True
        leaves = item.leaves
        for leaf in leaves:
            if leaf.raw or (item.scan is not None and item.scan.role == "returned"):
                raise Refused(
                    f"Shows a whole row of a table that it changes, which holds the masked column {leaf.mask.column}; "
                    "name the columns instead."
                )
            leaf.hidden = True
        if not leaves:
            return CLEAN._replace(origin=None)
        return self.met(Value(leaves, bare=item.entries is not None, row=True))

    def met(self, value: Value) -> Value:
        """A value that the statement does something with."""
        for leaf in value.leaves:
            self.masked.add(leaf.mask.column)
        return value

    # -- uses

    def compute(self, value: Value, place: Place) -> None:
        """The value is used in another way than to be shown as it stands. Raises Refused where that may not be."""
        for leaf in value.leaves:
            self._permit(leaf, value, place)
            leaf.hidden = True
            self.filters = self.filters or place.filters
            self.hiding = True

    def compare(self, value: Value, place: Place) -> None:
        """The value is only compared with others of the same column, for equality: GROUP BY, DISTINCT.

        Masks made at the sink keep what is equal equal, so that raw values may be compared.
        """
        for leaf in value.leaves:
            self._permit(leaf, value, place)
            if not value.bare or not leaf.mask.at_sink:
                leaf.hidden = True
            self.filters = self.filters or place.filters
            self.hiding = True

    def pair(self, one: Value, other: Value, place: Place) -> None:
        """Two columns are compared for equality. With masks at the sink and ``allow`` raw values are."""
        if not one.leaves and not other.leaves:
            return
        for value, counterpart in ((one, other), (other, one)):
            for leaf in value.leaves:
                if not value.bare or not leaf.mask.at_sink or leaf.mask.predicates is not Predicates.ALLOW:
                    self._permit(leaf, value, place)
                    raise Refused(_cannot_test(leaf))
                if leaf.raw or not counterpart.leaves or value.row:
                    raise Refused(_cannot_test(leaf))
                leaf.compared = place.says
                self.filters = True

    def _permit(self, leaf: Leaf, value: Value, place: Place) -> None:
        column, policy = leaf.mask.column, leaf.mask.predicates
        if value.row:
            raise Refused(
                f"Uses a whole row that holds the masked column {column} {place.says}; name the columns that are "
                "needed instead."
            )
        if leaf.raw:
            raise Refused(
                f"Uses the masked column {column} of the table that it changes {place.says}, where its real values "
                f"would be computed with; {_instead(leaf)}"
            )
        if policy is not Predicates.ALLOW:
            raise Refused(
                f"Uses the masked column {column} {place.says}: its mask may be shown, but not computed with, compared "
                f"or sorted by; {_instead(leaf)}"
            )
        if place.tests:
            raise Refused(_cannot_test(leaf))


def _columns(value: Value) -> list[str]:
    return [leaf.mask.column for leaf in value.leaves]


def _instead(leaf: Leaf) -> str:
    name = leaf.mask.column.rpartition(".")[2]
    if leaf.mask.predicates is Predicates.DENY:
        return f"select {name} as it stands or leave it out, and choose rows by other columns."
    if leaf.mask.predicates is Predicates.EQUALITY:
        return (
            f"it may be compared for equality with a literal or a bound parameter, as a condition of its own in WHERE "
            f"({name} = $1, joined to others by AND)."
        )
    return f"test {name} in a condition of its own in WHERE."


def _cannot_test(leaf: Leaf) -> str:
    name = leaf.mask.column.rpartition(".")[2]
    return (
        f"Tests the masked column {leaf.mask.column} in a way that cannot be done beside its table: its condition must "
        f"stand by itself in WHERE or in the ON of an inner join (joined to others by AND), use nothing but columns of "
        f"that table, literals, parameters and listed functions ({name} = $1), and no outer join may leave the table "
        "empty."
    )


def _after(level: Level, item: Item) -> bool:
    here: Level | None = level
    while here is not None:
        if item in here.named or item in here.visible:
            return here.after
        here = here.parent
    return True
