"""A PostgreSQL catalogue at one moment: what names mean. Pure; how it is read from a server is the protocol's affair.

It holds every relation and type with its columns, and every function, operator and cast that is *not* PostgreSQL's own
(built-in functions are a static table). Names are compared as the server does: truncated to 63 bytes, case-sensitive
(the parser has folded what was not quoted).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NAME_BYTES = 63  # NAMEDATALEN - 1
SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})
TEMP_SCHEMA = "pg_temp"  # the alias of the session's own temporary schema, whatever its number


@dataclass(frozen=True, slots=True)
class Column:
    """``number`` is pg_attribute.attnum (from 1; dropped columns leave gaps). System columns (ctid ...) are not listed."""

    number: int
    name: str
    type_oid: int
    type_schema: str
    type_name: str
    not_null: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """``kind`` is pg_class.relkind: r table, p partitioned, v view, m materialised view, f foreign, S sequence,
    c composite type, i index, I partitioned index, t toast. ``persistence`` is p, u (unlogged) or t (temporary).

    ``has_rules`` ignores a view's own _RETURN rule; ``has_triggers`` counts user triggers only. ``reads`` (views only) are
    the (relation oid, column number) pairs the view's query depends on, number 0 meaning the whole row; ``calls`` the oids
    of user functions it depends on.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str = "p"
    columns: tuple[Column, ...] = ()
    has_rules: bool = False
    has_triggers: bool = False
    row_security: bool = False
    reads: tuple[tuple[int, int], ...] = ()
    calls: tuple[int, ...] = ()

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Function:
    """``kind`` is pg_proc.prokind (f, p procedure, a aggregate, w window), ``volatility`` i, s or v.

    ``arg_types`` are the input arguments' type oids; the last ``default_count`` have defaults; ``variadic`` tells that the
    last one may repeat.
    """

    oid: int
    schema: str
    name: str
    kind: str
    volatility: str
    arg_types: tuple[int, ...]
    default_count: int
    variadic: bool
    returns_oid: int


@dataclass(frozen=True, slots=True)
class Operator:
    """``left`` and ``right`` are type oids (0: none, a prefix operator)."""

    oid: int
    schema: str
    name: str
    left: int
    right: int
    result: int


@dataclass(frozen=True, slots=True)
class Type:
    """``kind`` is pg_type.typtype: b base, c composite, d domain, e enum, p pseudo, r range, m multirange.

    ``base_oid`` is a domain's base type, ``relation_oid`` a composite's relation, ``element_oid`` an array's element; 0: none.
    """

    oid: int
    schema: str
    name: str
    kind: str
    base_oid: int = 0
    relation_oid: int = 0
    element_oid: int = 0


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast somebody added. ``context`` is pg_cast.castcontext: i implicit, a assignment, e explicit."""

    source: int
    target: int
    function: int
    context: str


class Catalogue:
    """An immutable catalogue. ``version`` is a hash of everything in it: equal versions resolve every name alike."""

    version: str
    server_version: int  # server_version_num, for example 170010
    database: str
    search_path_default: tuple[str, ...]  # existing schemas only, $user expanded, without the implicit ones

    relations: tuple[Relation, ...]
    types: tuple[Type, ...]
    operators: tuple[Operator, ...]
    casts: tuple[Cast, ...]

    def __init__(
        self,
        *,
        server_version: int,
        database: str,
        search_path_default: Sequence[str],
        relations: Sequence[Relation] = (),
        functions: Sequence[Function] = (),
        operators: Sequence[Operator] = (),
        types: Sequence[Type] = (),
        casts: Sequence[Cast] = (),
        inherits: Sequence[tuple[int, int]] = (),
    ) -> None:
        """``inherits`` are (parent oid, child oid) pairs, partitions included."""
        raise NotImplementedError

    def relation(self, schema: str | None, name: str, search_path: Sequence[str], *, temp: bool = True) -> Relation | None:
        """What the server would find under that name, or None.

        Without a schema: the session's temporary schema first (only if ``temp``), then pg_catalog unless ``search_path``
        names it elsewhere, then ``search_path`` in order. ``schema`` may be pg_temp.
        """
        raise NotImplementedError

    def relation_by_oid(self, oid: int) -> Relation | None: ...

    def functions(self, schema: str | None, name: str, search_path: Sequence[str]) -> tuple[Function, ...]:
        """Every function that is not PostgreSQL's own and that the name can reach, all overloads, in search order.

        pg_temp is never searched for an unqualified function, as in the server.
        """
        raise NotImplementedError

    def function_by_oid(self, oid: int) -> Function | None: ...

    def visible_shadows(self, name: str) -> bool:
        """Whether any function, operator or type of that name exists that PostgreSQL did not ship, in *any* schema
        (also one somebody added to pg_catalog)."""
        raise NotImplementedError

    def type(self, schema: str | None, name: str, search_path: Sequence[str], *, temp: bool = True) -> Type | None:
        """As :meth:`relation`, for types (internal names: int4, _text)."""
        raise NotImplementedError

    def type_by_oid(self, oid: int) -> Type | None: ...

    def composite(self, type_oid: int) -> Relation | None:
        """The relation that gives a composite type its fields (through domains), or None."""
        raise NotImplementedError

    def children(self, oid: int) -> tuple[Relation, ...]:
        """Relations that inherit from it directly or at any distance, partitions included."""
        raise NotImplementedError

    def to_json(self) -> str:
        """One JSON document with a format number; equal catalogues give equal text."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, text: str, *, file: str = "catalogue") -> Catalogue:
        """The inverse of :meth:`to_json`. Raises ConfigFault naming ``file`` and what is wrong."""
        raise NotImplementedError
