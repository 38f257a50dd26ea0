"""A PostgreSQL catalogue at one moment: what names mean. Pure; how it is read from a server is the protocol's affair.

It holds every relation and type with its columns, and every function, operator and cast that is *not* PostgreSQL's own
(built-in functions are a static table). Names are compared as the server does: truncated to 63 bytes, case-sensitive
(the parser has folded what was not quoted).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

NAME_BYTES = 63  # NAMEDATALEN - 1
FIRST_USER_OID = 16384  # FirstNormalObjectId: smaller ones were made by initdb
SYSTEM_SCHEMA = "pg_catalog"
TEMP_SCHEMA = "pg_temp"  # the alias of the session's own temporary schema, whatever its number


@dataclass(frozen=True, slots=True)
class Column:
    """``number`` is pg_attribute.attnum: from 1, with gaps where columns were dropped. System columns are not here.

    ``type_modifier`` is pg_attribute.atttypmod, and ``modified`` then the type with it ("character varying(20)"), safe
    to write under any search path. ``comment`` is what COMMENT ON COLUMN said, ``labels`` are its security labels as
    "provider:label". ``collation`` is quoted and qualified, "" for the default one or none. ``computed_from`` are the
    numbers of the columns that a generated column is computed from (0: of the whole row). Of the server's own relations
    only the first six members are known.
    """

    number: int
    name: str
    type_oid: int
    type_schema: str
    type_name: str
    not_null: bool = False
    type_modifier: int = -1
    modified: str = ""
    comment: str = ""
    labels: tuple[str, ...] = ()
    collation: str = ""
    computed_from: tuple[int, ...] = ()

    @property
    def type_text(self) -> str:
        """The exact type as it is written in a cast, whatever the search path."""
        return self.modified or qualified(self.type_schema, self.type_name)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``columns`` must be among ``referenced`` (column numbers both) of the relation with that oid."""

    columns: tuple[int, ...]
    relation: int
    referenced: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """``kind`` is pg_class.relkind: r table, p partitioned, v view, m materialised view, f foreign, S sequence,
    c composite type, i index, I partitioned index. ``persistence`` is p, u (unlogged) or t (temporary).

    ``has_rules`` ignores a view's own SELECT rule; ``has_triggers`` counts user triggers only. For views that
    PostgreSQL did not ship, ``reads`` are the (relation oid, column number) pairs the query depends on, number 0
    meaning the relation as a whole, and ``calls`` the (schema, name) of every function it calls itself, built-in ones
    included. ``definition`` is a view's query as the server prints it: names that the catalogue's
    ``search_path_default`` finds are unqualified in it.

    ``primary_key`` are the column numbers of a primary key that is checked at once (the other columns depend on it: see
    GROUP BY). ``unique`` are for every unique index and exclusion constraint the numbers of the columns that a conflict
    tells of: key columns, and what its expressions and condition read (0: the whole row). ``promises`` are conditions
    that hold for every row: CHECK constraints, and what makes it the partition that it is.
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
    calls: tuple[tuple[str, str], ...] = ()
    primary_key: tuple[int, ...] = ()
    unique: tuple[tuple[int, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    definition: str = ""
    promises: tuple[str, ...] = ()

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        name = clip(name)
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class Function:
    """``kind`` is pg_proc.prokind (f, p procedure, a aggregate, w window), ``volatility`` i, s or v.

    ``arg_types`` are the input arguments' type oids; the last ``default_count`` have defaults; ``variadic`` tells that
    the last one may repeat.
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

    ``base_oid`` is a domain's base type, ``relation_oid`` a composite's relation, ``element_oid`` an array's element
    type; 0 where there is none. ``base_modified`` is a domain's base type with its modifier, where it has one.
    ``labels`` are an enumeration's, in order; ``promises`` a domain's conditions on its VALUE.
    """

    oid: int
    schema: str
    name: str
    kind: str
    base_oid: int = 0
    relation_oid: int = 0
    element_oid: int = 0
    base_modified: str = ""
    labels: tuple[str, ...] = ()
    promises: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast somebody added: type oids, the function's oid (0: none), and i implicit, a assignment or e explicit."""

    oid: int
    source: int
    target: int
    function: int
    context: str


def clip(name: str) -> str:
    """``name`` as the server stores it: cut to 63 bytes of UTF-8 at a character's edge."""
    if len(name) * 4 <= NAME_BYTES:
        return name
    return name.encode("utf-8")[:NAME_BYTES].decode("utf-8", "ignore")


_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def quoted(name: str) -> str:
    """``name`` as an SQL identifier, in quotes."""
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """A qualified name, quoted where it has to be. After a dot the grammar takes any word; before one it does not."""
    place = schema if schema in (SYSTEM_SCHEMA, "public") else quoted(schema)
    return f"{place}.{name if _PLAIN.fullmatch(name) else quoted(name)}"


_Named = TypeVar("_Named", Relation, Type)


class Catalogue:
    """An immutable catalogue.

    ``server_version`` is server_version_num (170010); ``search_path_default`` the schemas that existed on the session's
    search path when it was read, $user expanded, without the implicit ones. ``inherits`` are (parent, child) oids,
    partitions included; ``partitions`` are partitioned tables with the numbers of the columns by which their rows are
    told apart. Collections are sorted by oid.
    """

    def __init__(
        self,
        *,
        server_version: int,
        database: str,
        search_path_default: Sequence[str] = (),
        relations: Iterable[Relation] = (),
        functions: Iterable[Function] = (),
        operators: Iterable[Operator] = (),
        types: Iterable[Type] = (),
        casts: Iterable[Cast] = (),
        inherits: Iterable[tuple[int, int]] = (),
        partitions: Iterable[tuple[int, tuple[int, ...]]] = (),
    ) -> None:
        self.server_version = server_version
        self.database = database
        self.search_path_default = tuple(search_path_default)
        self.relations = tuple(sorted(relations, key=_oid))
        self.all_functions = tuple(sorted(functions, key=_oid))
        self.operators = tuple(sorted(operators, key=_oid))
        self.types = tuple(sorted(types, key=_oid))
        self.casts = tuple(sorted(casts, key=_oid))
        self.inherits = tuple(sorted(inherits))
        self.partitions = tuple(sorted(partitions))
        self._relations = {(relation.schema, relation.name): relation for relation in self.relations}
        self._relations_by_oid = {relation.oid: relation for relation in self.relations}
        self._types = {(type_.schema, type_.name): type_ for type_ in self.types}
        self._types_by_oid = {type_.oid: type_ for type_ in self.types}
        self._functions_by_oid = {function.oid: function for function in self.all_functions}
        self._functions: dict[tuple[str, str], tuple[Function, ...]] = {}
        for function in self.all_functions:
            key = (function.schema, function.name)
            self._functions[key] = (*self._functions.get(key, ()), function)
        self._children: dict[int, tuple[int, ...]] = {}
        self._parents: dict[int, tuple[int, ...]] = {}
        for parent, child in self.inherits:
            self._children[parent] = (*self._children.get(parent, ()), child)
            self._parents[child] = (*self._parents.get(child, ()), parent)
        added: tuple[Function | Operator | Type, ...] = (*self.all_functions, *self.operators, *self.types)
        self._shadows = frozenset(each.name for each in added if each.oid >= FIRST_USER_OID)

    @cached_property
    def version(self) -> str:
        """32 hex digits over everything in it: equal versions resolve every name alike."""
        return hashlib.sha256(self.to_json().encode("utf-8")).hexdigest()[:32]

    def relation(
        self, schema: str | None, name: str, search_path: Sequence[str], *, temp: bool = True
    ) -> Relation | None:
        """What the server would find under that name, or None.

        Without a schema: the session's temporary schema first (only if ``temp``), then pg_catalog, then ``search_path``
        in order; an implicit schema that ``search_path`` names is searched where it stands there. ``schema`` may be
        pg_temp.
        """
        return self._find(self._relations, schema, name, search_path, temp)

    def relation_by_oid(self, oid: int) -> Relation | None:
        """The relation, or None."""
        return self._relations_by_oid.get(oid)

    def functions(self, schema: str | None, name: str, search_path: Sequence[str]) -> tuple[Function, ...]:
        """Every function that is not PostgreSQL's own and that the name can reach, all overloads, in search order.

        pg_temp is never searched for an unqualified function, as in the server.
        """
        name = clip(name)
        if schema is not None:
            return self._functions.get((clip(schema), name), ())
        places = (place for place in _places(search_path, temp=False) if place != TEMP_SCHEMA)
        return tuple(function for place in places for function in self._functions.get((place, name), ()))

    def function_by_oid(self, oid: int) -> Function | None:
        """The function, or None (also for built-in ones)."""
        return self._functions_by_oid.get(oid)

    def visible_shadows(self, name: str) -> bool:
        """Whether a function, operator or type of that name exists that PostgreSQL did not ship, in any schema.

        That includes what somebody added to pg_catalog, and the row types of tables: ``name(x)`` may be a cast to one.
        """
        return clip(name) in self._shadows

    def type(self, schema: str | None, name: str, search_path: Sequence[str], *, temp: bool = True) -> Type | None:
        """As :meth:`relation`, for types (internal names: int4, _text)."""
        return self._find(self._types, schema, name, search_path, temp)

    def type_by_oid(self, oid: int) -> Type | None:
        """The type, or None."""
        return self._types_by_oid.get(oid)

    def composite(self, type_oid: int) -> Relation | None:
        """The relation that gives a composite type its fields (looking through domains), or None."""
        found = self._types_by_oid.get(type_oid)
        seen = set()
        while found is not None and found.kind == "d" and found.oid not in seen:
            seen.add(found.oid)
            found = self._types_by_oid.get(found.base_oid)
        return self._relations_by_oid.get(found.relation_oid) if found is not None and found.kind == "c" else None

    def children(self, oid: int) -> tuple[Relation, ...]:
        """Relations that inherit from it, directly or at any distance, partitions included; without itself."""
        return self._kin(oid, self._children)

    def parents(self, oid: int) -> tuple[Relation, ...]:
        """Relations that it inherits from, directly or at any distance, or that it is a partition of."""
        return self._kin(oid, self._parents) if oid in self._parents else ()

    def _kin(self, oid: int, pairs: Mapping[int, Sequence[int]]) -> tuple[Relation, ...]:
        found: dict[int, Relation] = {}
        waiting = list(pairs.get(oid, ()))
        while waiting:
            each = waiting.pop()
            relation = self._relations_by_oid.get(each)
            if relation is not None and each not in found and each != oid:
                found[each] = relation
                waiting.extend(pairs.get(each, ()))
        return tuple(found[each] for each in sorted(found))

    def _find(
        self,
        table: Mapping[tuple[str, str], _Named],
        schema: str | None,
        name: str,
        search_path: Sequence[str],
        temp: bool,
    ) -> _Named | None:
        name = clip(name)
        if schema is not None:
            return table.get((clip(schema), name))
        for place in _places(search_path, temp):
            found = table.get((place, name))
            if found is not None:
                return found
        return None

    def to_json(self) -> str:
        """One JSON document, one row a line; equal catalogues give equal text."""
        from blastwall.sql.catalogue_file import write

        return write(self)

    @staticmethod
    def from_json(text: str, *, file: str = "catalogue") -> Catalogue:
        """The inverse of :meth:`to_json`. Raises ConfigFault naming ``file`` and what is wrong."""
        from blastwall.sql.catalogue_file import read

        return read(text, file)


def _oid(each: Relation | Function | Operator | Type | Cast) -> int:
    return each.oid


def _places(search_path: Sequence[str], temp: bool) -> Iterator[str]:
    """The schemas in the order the server searches them (namespace.c, recomputeNamespacePath)."""
    if temp and TEMP_SCHEMA not in search_path:
        yield TEMP_SCHEMA
    if SYSTEM_SCHEMA not in search_path:
        yield SYSTEM_SCHEMA
    for schema in search_path:
        if temp or schema != TEMP_SCHEMA:
            yield clip(schema)
