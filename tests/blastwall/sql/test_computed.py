"""Functions and operators on sample values: what the server makes of them, or anything."""

from __future__ import annotations

import pytest

from blastwall.sql.computed import COMPUTED, CUT, arithmetic
from blastwall.sql.values import (
    ANYTHING,
    NOW,
    Free,
    Moment,
    Span,
    order,
)

AGE = Free("age", 40, "forty", 12_000.0, True, "number")
NAME = Free("name", 7, "ann", 12_000.0, False, "text")
BORN = Free("born", 7, "x", 12_000.0, False, "time")
SOMETHING = Free("?", 5, "five", 13_000.0, True)


@pytest.mark.parametrize(
    ("name", "left", "right", "expected"),
    [
        ("+", 1, 2, 3),
        ("-", AGE, AGE, 0),
        ("*", AGE, 0, 0),
        ("%", 7, 0, ANYTHING),
        ("/", 1, 0, ANYTHING),
        ("^", 2, 1000, ANYTHING),
        ("+", None, 1, None),
        ("||", NAME, "!", "ann!"),
        ("-", Moment(NOW), "30 days", Moment(NOW - 30)),
        ("+", BORN, "1 day", Moment(12_001.0)),
        ("*", "a", 2, ANYTHING),
    ],
)
def test_arithmetic(name: str, left: object, right: object, expected: object) -> None:
    assert arithmetic(name, left, right) == expected


def test_an_unknown_interval_goes_some_way() -> None:
    assert arithmetic("-", Moment(NOW), ANYTHING).days < NOW
    assert arithmetic("+", Moment(NOW), ANYTHING).days > NOW


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("length", ["abc"], 3),
        ("lower", [NAME], "ann"),
        ("abs", [-5], 5),
        ("sign", [-5], -1),
        ("coalesce", [None, 3], 3),
        ("num_nulls", [None, 1], 1),
        ("strpos", ["abc", "b"], 2),
        ("position", ["abc", ""], 1),
        ("mod", [7, 4], 3),
        ("power", [7, 0], 1),
        ("power", [7, 10_000], ANYTHING),
        ("length", [None], ANYTHING),
        ("abs", ["x"], ANYTHING),
    ],
)
def test_computed_functions(name: str, values: list[object], expected: object) -> None:
    assert COMPUTED[name](values) == expected


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("left", ["abc", 2], "ab"),
        ("left", ["abc", 0], ""),
        ("left", ["abc", -1], "ab"),
        ("right", ["abc", 2], "bc"),
        ("right", ["abc", 0], ""),
        ("right", ["abc", -1], "bc"),
        ("substr", ["abc", 2], "bc"),
        ("substr", ["abc", 0, 2], "a"),
        ("substr", ["abc", 1, 0], ""),
        ("substring", ["abc", -5, 3], ""),
        ("repeat", ["ab", 2], "abab"),
        ("repeat", ["ab", 0], ""),
        ("repeat", ["ab", 10_000], ANYTHING),
        ("md5", ["a"], "0cc175b9c0f1b6a831c399e269772661"),
        ("left", [None, 1], ANYTHING),
    ],
)
def test_cut_texts_are_what_the_server_makes(name: str, values: list[object], expected: object) -> None:
    assert CUT[name](values) == expected


def test_time_between_moments_is_compared_with_intervals_and_days() -> None:
    span = arithmetic("-", Moment(NOW), Moment(NOW - 30))
    assert span == Span(30)
    assert [order(span, each) for each in ("29 days", "1 mon", "31 days", 30)] == [1, 0, -1, 0]
    assert arithmetic("+", Moment(NOW - 30), span) == Moment(NOW)
    with pytest.raises(TypeError):
        order(span, "soon")


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("lpad", ["ab", 4], "  ab"),
        ("lpad", ["abc", 2, "x"], "ab"),
        ("lpad", ["ab", 5, "xy"], "xyxab"),
        ("lpad", ["ab", 0], ""),
        ("rpad", ["ab", 5, "xy"], "abxyx"),
        ("rpad", ["abc", -1], ""),
        ("rpad", ["ab", 4, ""], "ab"),
        ("rpad", ["ab", 10_000], ANYTHING),
        ("concat", [7, None, "x"], "7x"),
        ("concat_ws", ["-", 7, None, "x"], "7-x"),
        ("age", [Moment(NOW - 3)], Span(3)),
        ("age", [Moment(NOW), Moment(NOW - 3)], Span(3)),
        ("age", ["x"], ANYTHING),
    ],
)
def test_texts_and_times_are_what_the_server_makes(name: str, values: list[object], expected: object) -> None:
    assert COMPUTED[name](values) == expected
