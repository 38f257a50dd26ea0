"""Whose column a name is, among the target of a change, the relations joined to it and those of sub-queries around the
name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from blastwall.sql.scope import Scope, Source
from blastwall.sql.truth import OTHER, TARGET, Owner, words
from blastwall.sql.values import Variable

_INTEGERS = {"int2": 2**15, "int4": 2**31, "int8": 2**63}
_KINDS = {
    **dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8", "money", "oid"), "number"),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "char"), "text"),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), "time"),
    "bool": "boolean",
    "uuid": "uuid",
}
NOTHING, LINK, LIMITED = 0, 1, 2  # what an equality with another relation's column means
_CONSTANT_COLUMNS = frozenset({"tableoid"})  # the same in every row


class Owners:
    """``link`` tells what an equality with a joined FROM item's column means (selections.py).

    ``origin`` gives the variable behind another FROM item's column, None where that may hold anything (origins.py).
    ``joined`` stand beside the target; ``inner`` belong to a sub-query around the name and hide both. Columns of the
    FROM items in ``alike`` (by identity) count as the target's own.
    """

    def __init__(
        self,
        target: Source,
        joined: Sequence[Source],
        scope: Scope,
        link: Callable[[Owners, Source], int],
        origin: Callable[[Source, str, str], Variable | None] | None = None,
        *,
        inner: Sequence[Source] = (),
        alike: frozenset[int] = frozenset(),
    ) -> None:
        self.target = target
        self.joined = tuple(joined)
        self.inner = tuple(inner)
        self.scope = scope
        self._link = link
        self._origin = origin or (lambda source, name, key: variable_of(source, name, f"{key}.{name}"))
        self._alike = alike
        self._links: dict[int, int] = {}

    def within(self, inner: Sequence[Source], scope: Scope) -> Owners:
        """The same seen from a sub-query with these FROM items."""
        around = (*self.inner, *inner)
        return Owners(self.target, self.joined, scope, self._link, self._origin, inner=around, alike=self._alike)

    def alike(self) -> Owners:
        """The same, with the columns of all these FROM items counted as the target's own; not those of sub-queries."""
        alike = frozenset(id(source) for source in (*self.joined, *self.inner))
        return Owners(self.target, self.joined, self.scope, self._link, self._origin, inner=self.inner, alike=alike)

    def find(self, path: list[str]) -> Owner | None:
        """The owner of a column path; None when nobody here has it, or when it is the same in every row."""
        source = self.source(path)
        name = path[-1]
        if source is None or name == "*" or name in _CONSTANT_COLUMNS:
            return None
        if source is self.target:
            return self._target_column(name)
        place = next(place for place, each in enumerate((*self.joined, *self.inner)) if each is source)
        variable = self._origin(source, name, f"{place}")  # a key that is the same whenever the text is judged
        if variable is None:
            return None
        if id(source) in self._alike:
            return Owner(TARGET, variable)
        found = self._links.get(id(source))
        if found is None:
            found = self._links[id(source)] = self._link(self, source)
        return Owner(OTHER, variable, link=found)

    def limit(self, sources: Sequence[Source]) -> None:
        """From now on an equality with a column of these FROM items links to rows that are limited themselves."""
        self._links.update(dict.fromkeys((id(source) for source in sources), LIMITED))

    def source(self, path: list[str]) -> Source | None:
        """The FROM item that a column path names a column of; None when it is none of these or cannot be told."""
        if len(path) > 1:
            found = self.scope.find(path[-2], path[-3] if len(path) > 2 else "")
            return found if found is self.target or found in self.inner or found in self.joined else None
        name = path[0]
        for source in reversed(self.inner):
            if source.has(name):
                return source
        mine = self.target.has(name)
        beside = [source for source in self.joined if source.has(name)]
        if mine:
            return self.target if not beside else None
        if beside:
            return beside[0]
        unsure = [source for source in (*self.inner, *self.joined) if source.has(name) is None]
        if unsure:
            return unsure[-1]
        return self.target if mine is None else None

    def _target_column(self, name: str) -> Owner:
        column = self.target.column(name)
        nullable = column is not None and not column.not_null
        return Owner(TARGET, variable_of(self.target, name, f"target.{name}"), nullable=nullable)


def variable_of(source: Source, name: str, key: str) -> Variable:
    """The variable that stands for a stored column."""
    column = source.column(name)
    bound = _INTEGERS.get(column.type_name, 2**63) if column is not None else 2**63
    kind = _KINDS.get(column.type_name, "other") if column is not None else ""
    scaled = column is not None and column.type_name in ("numeric", "money")
    keyed, past = words().is_key(name), words().is_past(name)
    return Variable(key, kind, -bound, bound - 1, positive=keyed, past=past, scaled=scaled)
