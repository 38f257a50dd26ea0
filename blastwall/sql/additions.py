"""What a database adds to PostgreSQL's own operators, types and casts, indexed once for each catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from blastwall.sql.catalogue import FIRST_USER_OID, Cast, Catalogue, Operator, Relation, Type


@dataclass(frozen=True, slots=True)
class AddedCast:
    """A cast that runs a function PostgreSQL did not ship. ``custom`` are the added types at its ends (none: any
    value).
    """

    cast: Cast
    function: tuple[str, str]  # schema and name
    custom: frozenset[int]
    shown: str


class Additions:
    """Index over one catalogue. Build it with :func:`additions`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._operators: dict[str, tuple[Operator, ...]] = {}
        for operator in catalogue.operators:
            if operator.oid >= FIRST_USER_OID:
                self._operators[operator.name] = (*self._operators.get(operator.name, ()), operator)
        self.casts = tuple(_added_casts(catalogue))
        self._columns: dict[int, frozenset[int]] = {}
        self._parts: dict[int, frozenset[int]] = {}

    def operators(self, name: str) -> tuple[Operator, ...]:
        """Operators of that name that PostgreSQL did not ship, in any schema."""
        return self._operators.get(name, ())

    def types_within(self, catalogue: Catalogue, relation: Relation) -> frozenset[int]:
        """The added types a statement can get hold of through a relation: its row, its columns, and what those hold."""
        found = self._columns.get(relation.oid)
        if found is None:
            row = catalogue.type(relation.schema, relation.name, ())
            oids = [column.type_oid for column in relation.columns]
            found = self._columns[relation.oid] = custom(
                _types_within(catalogue, oids if row is None else [*oids, row.oid])
            )
        return found

    def parts(self, catalogue: Catalogue, oid: int) -> frozenset[int]:
        """The added types a statement can get hold of through a value of a type: itself, and what it is made of."""
        found = self._parts.get(oid)
        if found is None:
            found = self._parts[oid] = custom(_types_within(catalogue, [oid]))
        return found


_INDEXES: WeakKeyDictionary[Catalogue, Additions] = WeakKeyDictionary()


def additions(catalogue: Catalogue) -> Additions:
    """The index of that catalogue, built on first use and dropped with it."""
    found = _INDEXES.get(catalogue)
    if found is None:
        found = _INDEXES[catalogue] = Additions(catalogue)
    return found


def custom(type_oids: Iterable[int]) -> frozenset[int]:
    """Those of the types that PostgreSQL did not ship."""
    return frozenset(oid for oid in type_oids if oid >= FIRST_USER_OID)


def _added_casts(catalogue: Catalogue) -> Iterable[AddedCast]:
    for cast in catalogue.casts:
        function = catalogue.function_by_oid(cast.function) if cast.function >= FIRST_USER_OID else None
        if cast.function < FIRST_USER_OID:
            continue
        name = (function.schema, function.name) if function is not None else ("?", str(cast.function))
        ends = [_shown(catalogue.type_by_oid(oid)) for oid in (cast.source, cast.target)]
        yield AddedCast(cast, name, custom((cast.source, cast.target)), " to ".join(ends))


def _shown(type_: Type | None) -> str:
    return f"{type_.schema}.{type_.name}" if type_ is not None else "an unknown type"


def _types_within(catalogue: Catalogue, oids: Iterable[int]) -> set[int]:
    waiting = list(oids)
    seen: set[int] = set()
    while waiting:
        oid = waiting.pop()
        if oid in seen:
            continue
        seen.add(oid)
        kind = catalogue.type_by_oid(oid)
        if kind is None:
            continue
        waiting.extend(inner for inner in (kind.base_oid, kind.element_oid) if inner)
        fields = catalogue.relation_by_oid(kind.relation_oid) if kind.relation_oid else None
        if fields is not None:
            waiting.extend(column.type_oid for column in fields.columns)
    return seen


def shown_types(catalogue: Catalogue, oids: Iterable[int]) -> str:
    """Names of types for a reason, at most three."""
    names: Mapping[str, None] = dict.fromkeys(_shown(catalogue.type_by_oid(oid)) for oid in sorted(oids))
    return ", ".join(list(names)[:3])
