"""Small texts that ask for much are refused when that is certain, and flagged when it may be."""

from __future__ import annotations

import pytest

from blastwall.model import Effect, Facts
from blastwall.protocols.postgres.classify import classify
from tests.blastwall.sql.judging import corpus, judged

COUNT = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r{where}) SELECT n FROM r{limit}"


def verdict(facts: Facts, flag: str) -> str:
    """refused, flagged or small."""
    if facts.effect is Effect.UNKNOWN:
        assert flag in facts.flags
        return "refused"
    assert facts.effect is Effect.READ
    return "flagged" if flag in facts.flags else "small"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("generate_series(1, 1000000)", "small"),
        ("generate_series(1, 1000001)", "refused"),
        ("generate_series(1, 1000000, 10)", "small"),
        ("generate_series(10000000, 1, -1)", "refused"),
        ("generate_series(1, 10, 0)", "refused"),
        ("generate_series(1, 10 ^ 9)", "refused"),
        ("generate_series(1, power(10, 9))", "refused"),
        ("generate_series(1, (SELECT count(*) FROM orders))", "flagged"),
        ("generate_series('2026-01-01'::date, '2026-12-31'::date, '1 day')", "small"),
        ("generate_series('2000-01-01'::timestamp, '2026-01-01'::timestamp, '1 second')", "refused"),
        ("generate_series('2000-01-01'::timestamp, '2026-01-01'::timestamp, '0 seconds')", "refused"),
        ("repeat('x', 1000000)", "small"),
        ("repeat('x', 1000001)", "refused"),
        ("repeat(repeat('x', 10000), 10000)", "refused"),
        ("repeat('x', length('y'))", "flagged"),
        ("lpad('x', 1000000000)", "refused"),
        ("rpad('x', 10)", "small"),
        ("array_fill(0, ARRAY[1000, 1000])", "small"),
        ("array_fill(0, ARRAY[1000, 1001])", "refused"),
        ("factorial(10)", "small"),
        ("factorial(100000)", "refused"),
    ],
)
def test_the_amount_a_call_asks_for(call: str, expected: str) -> None:
    facts = judged(f"SELECT {call}")
    assert verdict(facts, "amplification") == expected
    assert ("excessive" in facts.flags) == (expected == "refused"), "who asks for too much is told so"


@pytest.mark.parametrize(("value", "expected"), [(b"10", "small"), (b"100000000", "refused"), (b"NaN?", "flagged")])
def test_a_bound_number_counts_as_the_literal_would(value: bytes, expected: str) -> None:
    facts = classify("SELECT generate_series(1, $1)", corpus(), [value]).facts
    assert verdict(facts, "amplification") == expected


def test_series_multiply_each_other() -> None:
    series = "generate_series(1, 1000) AS {}(n)"
    two = "SELECT 1 FROM " + ", ".join(series.format(name) for name in "ab")
    three = "SELECT 1 FROM " + ", ".join(series.format(name) for name in "abc")
    assert verdict(judged(two), "amplification") == "small"
    assert verdict(judged(three), "amplification") == "refused"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1 FROM orders a, orders b", "small"),
        ("SELECT 1 FROM orders a, orders b, orders c", "refused"),
        ("SELECT 1 FROM orders a CROSS JOIN orders b CROSS JOIN orders c", "refused"),
        ("SELECT 1 FROM orders a JOIN orders b ON true JOIN orders c ON true", "refused"),
        ("SELECT 1 FROM orders a, orders b, orders c WHERE a.id = b.id", "small"),
        ("SELECT 1 FROM orders a, orders b, orders c WHERE a.id = 1 AND b.id = 2", "refused"),
        ("SELECT 1 FROM orders a JOIN orders b USING (id) JOIN orders c USING (id)", "small"),
        ("SELECT 1 FROM orders a NATURAL JOIN customers b, products c", "small"),
        ("SELECT 1 FROM orders a, orders b, orders c LIMIT 10", "flagged"),
        ("SELECT 1 FROM orders a, orders b, orders c LIMIT 10001", "refused"),
        ("SELECT 1 FROM orders a, orders b, orders c ORDER BY a.id LIMIT 10", "refused"),
        ("SELECT count(*) FROM orders a, orders b, orders c LIMIT 10", "refused"),
        ("SELECT 1 FROM orders a, orders b, (SELECT count(*) FROM orders) c", "small"),
        ("SELECT 1 FROM orders a, orders b, (SELECT id FROM orders) c", "refused"),
    ],
)
def test_joins_need_conditions_between_their_relations(text: str, expected: str) -> None:
    assert verdict(judged(text), "cartesian") == expected


@pytest.mark.parametrize(
    ("where", "limit", "expected"),
    [
        ("", "", "refused"),
        (" WHERE n < 10", "", "small"),
        (" WHERE true", "", "refused"),
        ("", " LIMIT 10", "small"),
        ("", " LIMIT 100000000", "refused"),
        ("", " ORDER BY n LIMIT 10", "refused"),
        ("", " LIMIT ALL", "refused"),
    ],
)
def test_a_recursion_needs_an_end(where: str, limit: str, expected: str) -> None:
    assert verdict(judged(COUNT.format(where=where, limit=limit)), "unbounded_recursion") == expected


def test_an_end_that_is_too_far_away_is_none() -> None:
    facts = judged(COUNT.format(where=" WHERE n < 1000000000", limit=""))
    assert facts.effect is Effect.UNKNOWN
    assert "ten million" in facts.reason
