"""A small shop's catalogue, and texts judged in it: what the tests of the rules share."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

from blastwall.model import SEVERITY, Effect, Facts
from blastwall.protocols.postgres.classify import Finding, classify
from blastwall.sql.catalogue import Cast, Catalogue, Column, Function, Operator, Relation, Type
from blastwall.sql.surroundings import Surroundings

CORPUS = Path("tests/fixtures/corpus/catalogue.json")
INT4, TEXT, BOOL, VARCHAR, ANYELEMENT, INT4_ARRAY = 23, 25, 16, 1043, 2283, 1007


@cache
def corpus_catalogue() -> Catalogue:
    """The database of tests/fixtures/corpus/schema.sql on PostgreSQL 17."""
    return Catalogue.from_json(CORPUS.read_text(encoding="utf-8"))


def corpus(**changes: object) -> Surroundings:
    """Surroundings in that database."""
    catalogue = corpus_catalogue()
    found = Surroundings(
        catalogue=catalogue,
        search_path=("public",),
        server_version=catalogue.server_version,
        database_user="corpus_agent",
    )
    return dataclasses.replace(found, **changes)


def column(number: int, name: str, type_oid: int, type_name: str, *, not_null: bool = True) -> Column:
    schema = "pg_catalog" if type_oid < 16384 else "public"
    return Column(number, name, type_oid, schema, type_name, not_null)


def table(oid: int, name: str, *columns: Column, schema: str = "public", kind: str = "r", **more: object) -> Relation:
    return dataclasses.replace(Relation(oid, schema, name, kind, columns=columns), **more)


def function(oid: int, name: str, *args: int, schema: str = "public", **more: object) -> Function:
    return dataclasses.replace(Function(oid, schema, name, "f", "v", args, 0, False, INT4), **more)


def operator(oid: int, name: str, left: int, right: int, schema: str = "public") -> Operator:
    return Operator(oid, schema, name, left, right, BOOL)


BUILTIN_TYPES = tuple(
    Type(oid, "pg_catalog", name, kind, element_oid=element)
    for oid, name, kind, element in (
        (BOOL, "bool", "b", 0),
        (INT4, "int4", "b", 0),
        (TEXT, "text", "b", 0),
        (VARCHAR, "varchar", "b", 0),
        (ANYELEMENT, "anyelement", "p", 0),
        (INT4_ARRAY, "_int4", "b", INT4),
        (2249, "record", "p", 0),
    )
)


def shop(
    *,
    relations: tuple[Relation, ...] = (),
    functions: tuple[Function, ...] = (),
    operators: tuple[Operator, ...] = (),
    types: tuple[Type, ...] = (),
    casts: tuple[Cast, ...] = (),
    inherits: tuple[tuple[int, int], ...] = (),
    partitions: tuple[tuple[int, tuple[int, ...]], ...] = (),
    search_path: tuple[str, ...] = ("public",),
    server_version: int = 170010,
    **changes: object,
) -> Surroundings:
    """Surroundings in a database with a table ``items (id int4, name text)`` and whatever is added."""
    items = table(20001, "items", column(1, "id", INT4, "int4"), column(2, "name", TEXT, "text"))
    row = Type(20002, "public", "items", "c", relation_oid=20001)
    catalogue = Catalogue(
        server_version=server_version,
        database="shop",
        search_path_default=search_path,
        relations=(items, *relations),
        functions=functions,
        operators=operators,
        types=(*BUILTIN_TYPES, row, *types),
        casts=casts,
        inherits=inherits,
        partitions=partitions,
    )
    found = Surroundings(catalogue=catalogue, search_path=search_path, server_version=server_version)
    return dataclasses.replace(found, **changes)


def find(text: str, surroundings: Surroundings | None = None) -> Finding:
    return classify(text, surroundings or corpus())


def judged(text: str, surroundings: Surroundings | None = None) -> Facts:
    """Facts of a text. Fails when the classifier itself did."""
    facts = find(text, surroundings).facts
    assert "internal_error" not in facts.flags, text
    return facts


def effect(text: str, surroundings: Surroundings | None = None) -> Effect:
    return judged(text, surroundings).effect


def at_least(facts: Facts, least: Effect) -> bool:
    return SEVERITY[facts.effect] >= SEVERITY[least]
