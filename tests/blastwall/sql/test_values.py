"""Sample values: deterministic, of their kind, and compared as a server would compare what they stand for."""

from __future__ import annotations

import time

import pytest

from blastwall.sql.values import (
    ANYTHING,
    NOW,
    Free,
    Moment,
    Pool,
    Sample,
    Variable,
    as_number,
    as_text,
    interval_days,
    like,
    moment_in,
    number_in,
    order,
    spelled,
)

AGE = Free("age", 40, "forty", 12_000.0, True, "number")
NAME = Free("name", 7, "ann", 12_000.0, False, "text")
BORN = Free("born", 7, "x", 12_000.0, False, "time")
SOMETHING = Free("?", 5, "five", 13_000.0, True)


def samples(pool: Pool | None = None) -> list[Sample]:
    return [Sample(index, pool or Pool()) for index in range(200)]


def test_a_row_is_the_same_whenever_it_is_asked() -> None:
    variable = Variable("n")
    assert [row.value(variable) for row in samples()] == [row.value(variable) for row in samples()]
    row = Sample(3, Pool())
    assert row.value(variable) is row.value(variable)


def test_rows_differ_and_take_the_literals_and_their_neighbours() -> None:
    pool = Pool()
    pool.add(1234)
    pool.add("red")
    values = [row.value(Variable("n")) for row in samples(pool)]
    assert {1233, 1234, 1235} <= {value.number for value in values}
    assert {"red", "redx", ""} <= {value.text for value in values}
    assert {value.flag for value in values} == {True, False}


def test_keys_are_positive_and_types_have_bounds() -> None:
    pool = Pool()
    pool.add(-5)
    pool.add(99_999_999_999)
    key = Variable("id", "number", -(2**31), 2**31 - 1, positive=True)
    numbers = {row.value(key).number for row in samples(pool)}
    assert min(numbers) > 0
    assert max(numbers) < 2**31
    assert "" not in {row.value(Variable("uuid", positive=True)).text for row in samples(pool)}


def test_what_is_over_lies_before_now() -> None:
    pool = Pool()
    pool.add(Moment(NOW + 5000))
    assert max(row.value(Variable("created_at", "time", past=True)).days for row in samples(pool)) < NOW
    assert max(row.value(Variable("due", "time")).days for row in samples(pool)) > NOW


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 2, -1),
        (2.5, 2, 1),
        ("a", "a", 0),
        (None, 1, None),
        (AGE, 40, 0),
        (AGE, "41", -1),
        (NAME, "ann", 0),
        (BORN, "2050-01-01", -1),
        (BORN, Moment(12_000.0), 0),
        (SOMETHING, 5, 0),
        (SOMETHING, "five", 0),
        (SOMETHING, "2000-01-01", 1),
        (SOMETHING, True, 0),
        (AGE, AGE, 0),
        (Moment(NOW), "now", 0),
        ((1, "a"), (1, "b"), -1),
        ((1, None), (1, "b"), None),
        ((2, None), (1, "b"), 1),
    ],
)
def test_values_are_compared_in_the_type_of_the_other(left: object, right: object, expected: int | None) -> None:
    assert order(left, right) == expected


@pytest.mark.parametrize(("left", "right"), [([1], [2]), ((1,), (1, 2)), ((1, 2), 3)])
def test_what_is_not_compared_raises(left: object, right: object) -> None:
    with pytest.raises(TypeError):
        order(left, right)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("30 days", 30),
        ("1 year 2 hours", 365 + 2 / 24),
        ("-1 week", -7),
        ("2 months", 60),
        ("5 parsecs", None),
        ("", None),
    ],
)
def test_intervals(text: str, days: float | None) -> None:
    assert interval_days(text) == (pytest.approx(days) if days is not None else None)


def test_moments_and_numbers_in_texts() -> None:
    assert moment_in("1970-01-02") == Moment(1.0)
    assert moment_in("1970-01-01T12:00:00+00:00") == Moment(0.5)
    assert moment_in("now") == Moment(NOW)
    assert moment_in("2024-99-99") is None
    assert moment_in("tomorrow, perhaps") is None
    assert number_in(" -1.5 ") == -1.5
    assert number_in("1e5") is None
    assert number_in("9" * 100) is None


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("", "%", True),
        ("abc", "a%", True),
        ("abc", "%b%", True),
        ("abc", "_b_", True),
        ("abc", "abc", True),
        ("abc", "ab", False),
        ("", "_%", False),
        ("abc", "a\\%", None),
        ("a" * 300, "%", None),
    ],
)
def test_like(text: str, pattern: str, expected: bool | None) -> None:
    assert like(text, pattern) is expected


def test_a_hostile_pattern_takes_no_time() -> None:
    before = time.perf_counter()
    assert like("a" * 200, "%a" * 99 + "b") is False
    assert time.perf_counter() - before < 0.5


def test_booleans_are_neither_numbers_nor_texts() -> None:
    assert as_number(True) is None
    assert as_text(True) is None
    assert as_text(5) == "5"
    assert as_number("5") == 5


def test_a_pool_of_hostile_literals_stays_small() -> None:
    pool = Pool()
    for number in range(5000):
        pool.add(f"text {number}")
    pool.add(float("inf"))
    pool.add(None)
    pool.add(True)
    assert len(pool.texts) < 600
    assert all(abs(number) < 10**19 for number in pool.numbers)


def test_values_as_text_are_as_the_server_writes_them() -> None:
    assert spelled(Moment(20_000.5)) == "2024-10-04 12:00:00+00"
    assert spelled(Moment(1e12)) is ANYTHING
    assert [spelled(each) for each in (True, False, 5, "x", None)] == ["true", "false", "5", "x", None]
    row = Sample(3, Pool())
    assert "." in row.value(Variable("a", "number", scaled=True)).text
    assert row.value(Variable("b", "time", past=True)).text < "2026-02-17"
    assert row.value(Variable("c", "boolean")).text in ("true", "false")
    assert all(Sample(each, Pool()).value(Variable("d", "other")).text for each in range(50))


def test_uuids_are_ordinary_ones() -> None:
    pool = Pool()
    edges = {"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"}
    given = "9b2d6f0a-7c41-4e0f-8a3d-5e6f70819243"
    for each in (*edges, given, "no uuid"):
        pool.add(each)
    texts = {Sample(index, pool).value(Variable("u", "uuid")).text for index in range(60)}
    assert given in texts
    assert not texts & {*edges, "no uuid", ""}


def test_samples_of_two_variables_vary_independently() -> None:
    pairs = {
        (row.chance("1.id") % 6, row.chance("2.id") % 6) for row in (Sample(index, Pool()) for index in range(400))
    }
    assert len(pairs) == 36
