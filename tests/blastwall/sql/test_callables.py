"""Functions, operators, types and casts: PostgreSQL's own, allowed ones, and those that may stand before them."""

from __future__ import annotations

import dataclasses

import pytest

from blastwall.model import Effect
from blastwall.sql.catalogue import Cast, Type
from tests.blastwall.sql.judging import INT4, TEXT, column, corpus, function, judged, operator, shop, table

R, W, A, U = Effect.READ, Effect.WRITE, Effect.ADMINISTER, Effect.UNKNOWN
MOOD = 30001
MOODY = {
    "types": (Type(MOOD, "public", "mood", "e"),),
    "relations": (table(30100, "moods", column(1, "mood", MOOD, "mood")),),
}


@pytest.mark.parametrize(
    ("call", "effect", "flag"),
    [
        ("lower('x')", R, None),
        ("pg_catalog.lower('x')", R, None),
        ("pg_read_file('x')", A, "function:file_read"),
        ("pg_catalog.pg_read_file('x')", A, "function:file_read"),
        ("user_fn_with_side_effect()", U, "user_function"),
        ("public.user_fn_with_side_effect()", U, "user_function"),
        ("no_such_function()", U, "unknown_function"),
        ("a.b.c()", U, "unknown_function"),
        ("dblink('x', 'SELECT 1')", A, None),
    ],
)
def test_a_call_is_judged_by_its_name(call: str, effect: Effect, flag: str | None) -> None:
    facts = judged(f"SELECT {call}")
    assert facts.effect is effect
    assert flag is None or flag in facts.flags


@pytest.mark.parametrize("listed", ["public.user_fn_with_side_effect", "public.*"])
@pytest.mark.parametrize("path", ["", "public."])
def test_the_targets_owner_can_allow_a_function(listed: str, path: str) -> None:
    around = corpus(allowed_functions=frozenset({listed}))
    facts = judged(f"SELECT {path}user_fn_with_side_effect()", around)
    assert facts.effect is R
    assert "allowed_function" in facts.flags
    assert judged("SELECT pg_read_file('x')", around).effect is A


@pytest.mark.parametrize(
    ("call", "args", "more", "effect"),
    [
        ("lower(name)", (TEXT,), {}, U),
        ("lower(id)", (TEXT,), {}, R),
        ("lower(name)", (TEXT, TEXT), {}, R),
        ("lower(name)", (TEXT, TEXT), {"default_count": 1}, U),
        ("upper(name)", (TEXT,), {}, R),
        ("pg_catalog.lower(name)", (TEXT,), {}, R),
        ("lower(name)", (TEXT,), {"schema": "elsewhere"}, R),
    ],
)
def test_an_overload_counts_as_soon_as_it_could_be_picked(
    call: str, args: tuple[int, ...], more: dict[str, object], effect: Effect
) -> None:
    around = shop(functions=(function(26001, "lower", *args, **more),))
    facts = judged(f"SELECT {call} FROM items", around)
    assert facts.effect is effect, facts
    assert ("shadowed_function" in facts.flags) is (effect is U)


@pytest.mark.parametrize(("relation", "effect"), [("moods", U), ("items", R)])
def test_an_overload_for_an_added_type_counts_where_such_values_are(relation: str, effect: Effect) -> None:
    around = shop(**MOODY, functions=(function(26001, "lower", MOOD),))
    assert judged(f"SELECT lower(x) FROM {relation} AS t(x)", around).effect is effect


@pytest.mark.parametrize(
    ("condition", "sides", "effect"),
    [
        ("name = name", (TEXT, TEXT), U),
        ("id = id", (TEXT, TEXT), R),
        ("name <> name", (TEXT, TEXT), R),
        ("name OPERATOR(pg_catalog.=) name", (TEXT, TEXT), R),
        ("name OPERATOR(public.=) name", (TEXT, TEXT), U),
    ],
)
def test_operators_that_a_database_adds(condition: str, sides: tuple[int, int], effect: Effect) -> None:
    around = shop(operators=(operator(25001, "=", *sides),))
    assert judged(f"SELECT 1 FROM items WHERE {condition}", around).effect is effect


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("int", R),
        ("text[]", R),
        ("pg_catalog.text", R),
        ("evil_domain", U),
        ("evil_domain[]", U),
        ("public.evil_domain", U),
        ("no_such_type", U),
        ("customers", R),
    ],
)
def test_types_that_run_nobodys_code(name: str, effect: Effect) -> None:
    facts = judged(f"SELECT NULL::{name}")
    assert facts.effect is effect, facts
    assert ("user_type" in facts.flags) is (effect is U)


@pytest.mark.parametrize(
    ("source", "context", "text", "effect"),
    [
        (TEXT, "i", "SELECT 1", U),
        (TEXT, "e", "SELECT 1", R),
        (TEXT, "e", "SELECT name::int FROM items", U),
        (TEXT, "e", "SELECT id::text FROM items", R),
        (MOOD, "i", "SELECT mood FROM moods", U),
        (MOOD, "i", "SELECT id FROM items", R),
    ],
)
def test_casts_that_run_a_function_of_the_databases(source: int, context: str, text: str, effect: Effect) -> None:
    functions = (function(26001, "convert", source, schema="private"),)
    around = shop(**MOODY, functions=functions, casts=(Cast(27001, source, INT4, 26001, context),))
    facts = judged(text, around)
    assert facts.effect is effect, facts
    assert ("user_cast" in facts.flags) is (effect is U)


def test_functions_that_make_json_use_even_explicit_casts() -> None:
    """to_json(x) runs the function of any cast from x's type to json."""
    added = shop(
        relations=(table(30010, "bags", column(1, "content", 30001, "bag")),),
        types=(Type(30001, "public", "bag", "b"), Type(114, "pg_catalog", "json", "b")),
        functions=(function(31001, "bag_to_json", 30001),),
        casts=(Cast(33001, 30001, 114, 31001, "e"),),
    )
    facts = judged("SELECT to_json(content) FROM bags", added)
    assert facts.effect is Effect.UNKNOWN
    assert "user_cast" in facts.flags
    assert judged("SELECT to_json(name) FROM items", added).effect is Effect.READ
    allowed = dataclasses.replace(added, allowed_functions=frozenset({"public.bag_to_json"}))
    assert judged("SELECT to_json(content) FROM bags", allowed).effect is Effect.READ


def test_a_cast_may_be_written_as_a_call() -> None:
    for text in ("uuid('0f6f2c1e-58b1-4a7b-9d65-3a1f7c2e9b40')", "tsquery('a')", "pg_catalog.regtype('int4')"):
        assert judged(f"SELECT {text}", corpus()).effect is Effect.READ
    for text in (
        "uuid('a', 'b')",
        "evil_domain('x')",
        "customers('(1)')",
        "cstring('x')",
        "internal('x')",
        "nothing('x')",
    ):
        assert judged(f"SELECT {text}", corpus()).effect is Effect.UNKNOWN
    assert judged("SELECT uuid('x')", corpus(temp=frozenset({"uuid"}))).effect is Effect.UNKNOWN
