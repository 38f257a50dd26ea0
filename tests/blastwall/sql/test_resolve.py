"""Relation names to relations, and what touching one means."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from tests.blastwall.sql.judging import INT4, column, corpus, judged, shop, table

R, W, A, U = Effect.READ, Effect.WRITE, Effect.ADMINISTER, Effect.UNKNOWN
ID = column(1, "id", INT4, "int4")


@pytest.mark.parametrize(
    ("name", "effect", "touched", "flag"),
    [
        ("orders", R, "read table public.orders", None),
        ("public.orders", R, "read table public.orders", None),
        ("v_customers", R, "read view public.v_customers", "view"),
        ("mv", R, "read materialized view public.mv", "materialized_view"),
        ("pg_class", R, "read system pg_catalog.pg_class", "system_catalogue"),
        ("pg_authid", A, "read system pg_catalog.pg_authid", "sensitive_catalogue"),
        ("nowhere", U, "read table nowhere", "unresolved"),
        ("other.orders", U, "read table other.orders", "unresolved"),
        ("pg_temp.orders", U, "read table pg_temp.orders", "unresolved"),
        ("pg_toast.pg_toast_1", U, "read table pg_toast.pg_toast_1", "unresolved"),
        ("elsewhere.public.orders", U, "read table public.orders", "unresolved"),
    ],
)
def test_a_name_means_one_relation(name: str, effect: Effect, touched: str, flag: str | None) -> None:
    facts = judged(f"SELECT 1 FROM {name}")
    assert facts.effect is effect, facts
    assert touched in {str(each) for each in facts.objects}
    assert flag is None or flag in facts.flags


def test_the_search_path_decides() -> None:
    second = table(40001, "items", ID, schema="second")
    for path in (("public", "second"), ("second", "public")):
        facts = judged("SELECT 1 FROM items", shop(relations=(second,), search_path=path))
        assert [str(each) for each in facts.objects] == [f"read table {path[0]}.items"]


@pytest.mark.parametrize(("temp", "effect"), [(frozenset({"scratch"}), R), (frozenset(), U)])
def test_temporary_relations_are_those_the_session_made(temp: frozenset[str], effect: Effect) -> None:
    for name in ("scratch", "pg_temp.scratch"):
        assert judged(f"SELECT 1 FROM {name}", corpus(temp=temp)).effect is effect


@pytest.mark.parametrize(
    ("calls", "effect"),
    [
        ((("pg_catalog", "lower"),), R),
        ((("pg_catalog", "pg_read_file"),), U),
        ((("pg_catalog", "no_such_function"),), U),
        ((("public", "mine"),), U),
        ((("public", "trusted"),), R),
    ],
)
def test_a_view_is_as_good_as_what_it_calls_through_views_on_views(calls: tuple[object, ...], effect: Effect) -> None:
    inner = table(40001, "inner_view", ID, kind="v", calls=calls)
    outer = table(40002, "outer_view", ID, kind="v", reads=((40001, 0),))
    around = shop(relations=(inner, outer), allowed_functions=frozenset({"public.trusted"}))
    for name in ("inner_view", "outer_view"):
        assert judged(f"SELECT 1 FROM {name}", around).effect is effect


@pytest.mark.parametrize("kind", ["f", "p"])
def test_foreign_tables_are_refused_also_as_parts(kind: str) -> None:
    parent, child = table(40001, "whole", ID, kind="p"), table(40002, "part", ID, kind="f" if kind == "f" else "r")
    around = shop(relations=(parent, child), inherits=((40001, 40002),))
    expected = U if kind == "f" else R
    assert judged("SELECT 1 FROM whole", around).effect is expected
    assert ("foreign" in judged("SELECT 1 FROM part", around).flags) is (kind == "f")


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("INSERT INTO mv VALUES (1)", U),
        ("INSERT INTO orders_id_seq VALUES (1)", U),
        ("INSERT INTO pg_class (relname) VALUES ('x')", A),
        ("INSERT INTO orders (id) VALUES (1)", W),
    ],
)
def test_what_takes_no_rows(text: str, effect: Effect) -> None:
    assert judged(text).effect is effect


def test_without_a_catalogue_a_name_is_taken_to_be_a_table() -> None:
    facts = judged("SELECT 1 FROM anything", corpus(catalogue=None))
    assert (facts.effect, "no_catalogue" in facts.flags) == (R, True)
    assert judged("SELECT 1 FROM pg_authid", corpus(catalogue=None)).effect is A
