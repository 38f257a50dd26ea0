"""Reading nodes."""

from __future__ import annotations

import pytest

from blastwall.sql.parser import parse
from blastwall.sql.tree import (
    called,
    column_paths,
    conjuncts,
    constant,
    everything_within,
    kind_of,
    leftmost_arm,
    messages_within,
    number,
    strings,
    unwrap,
)


def select(text: str) -> object:
    return parse(text).statements[0].stmt.select_stmt


def value(text: str) -> object:
    return select(f"SELECT {text}").target_list[0].res_target.val


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("0", 0),
        ("-1", -1),
        ("- -3", 3),
        ("+5", 5),
        ("10000000000", 10_000_000_000),
        ("1e3", 1000.0),
        ("1_000", 1000),
        ("0x1F", 31),
        ("'a'", "a"),
        ("'5'::int", "5"),
        ("true", True),
        ("NULL", None),
        ("B'101'", "b101"),
    ],
)
def test_literals_are_read_through_casts_and_signs(text: str, expected: object) -> None:
    assert constant(value(text)) == (True, expected)


@pytest.mark.parametrize("text", ["a", "1 + 1", "$1", "now()", "- true", "- 'a'", "(SELECT 1)"])
def test_whatever_is_computed_is_no_literal(text: str) -> None:
    assert constant(value(text)) == (False, None)


def test_numbers_may_be_spelled_as_strings() -> None:
    assert number(value("'1_0'::int")) == 10
    assert number(value("'x'")) is None
    assert number(value("true")) is None
    assert number(value(f"1{'0' * 500}")) == float("inf")


def test_paths_keep_stars_and_strangers() -> None:
    assert strings(value("a.b.c").column_ref.fields) == ["a", "b", "c"]
    assert strings(value("a.*").column_ref.fields) == ["a", "*"]
    assert [list(path) for path in column_paths(select("SELECT a.b, c FROM d WHERE e > 1"))] == [
        ["a", "b"],
        ["c"],
        ["e"],
    ]
    assert sorted(called(select("SELECT f(g(1)) FROM public.h(2)"))) == ["f", "g", "h"]


def test_everything_is_found_at_any_depth_without_recursion() -> None:
    deep = select("SELECT " + "+".join(["1"] * 8000))
    assert sum(1 for _ in everything_within(deep)) > 15_000
    names = [type(each).__name__ for each in everything_within(select("VALUES (f(1), ARRAY[g(2)])"))]
    assert names.count("FuncCall") == 2


def test_empty_nodes_are_nothing() -> None:
    found = select("SELECT 1")
    assert kind_of(found.where_clause) == ""
    assert unwrap(found.where_clause) is None
    assert [type(each).__name__ for each in messages_within(found)] == ["ResTarget"]


def test_conjuncts_and_arms() -> None:
    where = select("SELECT 1 WHERE a AND (b AND c) AND (d OR e)").where_clause
    assert [kind_of(each) for each in conjuncts(where)] == ["column_ref", "column_ref", "column_ref", "bool_expr"]
    chain = select(" UNION ALL ".join(f"SELECT {number}" for number in range(2000)))
    assert leftmost_arm(chain).target_list[0].res_target.val.a_const.ival.ival == 0
