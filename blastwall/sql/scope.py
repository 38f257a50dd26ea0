"""What a name in an expression can mean: the FROM items and WITH queries in sight, level by level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from blastwall.sql.catalogue import Column, Relation, clip
from blastwall.sql.tree import Message

SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})

Columns = tuple[str, ...] | None  # in order; None: not known, or not completely


class Source:
    """One FROM item. ``schema`` is set only where ``schema.name.column`` may name it (a relation without an alias).

    ``relation`` is the catalogue's, where the item is one. ``scalar`` tells that its whole row may be a single value (a
    function's result), on which every function of one argument can be called by attribute notation. ``also`` are column
    names it has besides ``columns``, in no order.
    """

    __slots__ = (
        "_columns",
        "_find",
        "_finding",
        "alias",
        "also",
        "around",
        "definition",
        "function",
        "name",
        "relation",
        "scalar",
        "schema",
    )

    def __init__(
        self,
        alias: str,
        columns: Columns = None,
        *,
        find: Callable[[], Columns] | None = None,
        schema: str = "",
        name: str = "",
        relation: Relation | None = None,
        scalar: bool = False,
        also: frozenset[str] = frozenset(),
        definition: Message | None = None,
        around: Scope | None = None,
        function: Message | None = None,
    ) -> None:
        self.alias = alias
        self.schema = schema
        self.name = name  # the relation's qualified name, "" for what is computed
        self.relation = relation
        self.scalar = scalar
        self.also = also
        self.definition = definition  # the SelectStmt (or changing statement) of a sub-select or WITH query
        self.around = around  # what the definition's text sees
        self.function = function  # the RangeFunction
        self._columns = columns
        self._find = find
        self._finding = False

    @property
    def columns(self) -> Columns:
        """Column names in order; None when they are not known. Found on first use."""
        if self._find is not None:
            if self._finding:
                return None  # a WITH query that refers to itself
            self._finding = True
            self._columns = self._find()
            self._find = None
        return self._columns

    def has(self, name: str) -> bool | None:
        """Whether it has a column of that name; None when that cannot be told."""
        if name in self.also:
            return True
        columns = self.columns
        if columns is None:
            return None
        return clip(name) in columns

    def column(self, name: str) -> Column | None:
        """The catalogue's column behind one of this item's, whatever an alias list calls it, or None."""
        columns = self.columns
        if self.relation is None or columns is None or clip(name) not in columns:
            return None
        place = columns.index(clip(name))
        return self.relation.columns[place] if place < len(self.relation.columns) else None


@dataclass(slots=True)
class WithQuery:
    """One query of a WITH list. ``scope`` is what its text sees; ``source`` makes its FROM item under an alias."""

    name: str
    query: Message
    scope: Scope
    recursive: bool
    source: Callable[[str], Source]


@dataclass(slots=True)
class Scope:
    """One query level, and the levels around it."""

    parent: Scope | None = None
    sources: tuple[Source, ...] = ()
    queries: Mapping[str, WithQuery] = field(default_factory=dict)

    def find(self, alias: str, schema: str = "") -> Source | None:
        """The nearest FROM item of that name, as the server finds it."""
        alias = clip(alias)
        level: Scope | None = self
        while level is not None:
            for source in level.sources:
                if source.alias == alias and source.alias and (not schema or source.schema == schema):
                    return source
            level = level.parent
        return None

    def query(self, name: str) -> WithQuery | None:
        """The nearest WITH query of that name."""
        level: Scope | None = self
        while level is not None:
            found = level.queries.get(name)
            if found is not None:
                return found
            level = level.parent
        return None

    def of(self, sources: Sequence[Source]) -> Scope:
        """A level inside this one that sees ``sources``."""
        return Scope(self, tuple(sources))


def renamed(columns: Columns, names: Sequence[str]) -> Columns:
    """Columns after an alias list (``AS x(a, b)``): the first ones are renamed, the rest stay."""
    if not names:
        return columns
    if columns is None:
        return None
    return (*names, *columns[len(names) :])
