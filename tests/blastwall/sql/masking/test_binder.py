"""What a use of a masked column means under each policy, and what an agent reads when it may not be."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Predicates, Strategy
from tests.blastwall.sql.masking.masks import found, refusal

USES = {
    "in an expression": "SELECT upper(ssn) FROM customers",
    "in WHERE": "SELECT id FROM customers WHERE ssn LIKE '1%'",
    "in a join condition": "SELECT c.id FROM customers c JOIN orders o ON o.status > c.ssn",
    "in HAVING": "SELECT id FROM customers GROUP BY id HAVING max(ssn) > 'x'",
    "in FILTER": "SELECT count(*) FILTER (WHERE ssn > 'x') FROM customers",
    "in LIMIT": "SELECT id FROM orders LIMIT (SELECT length(ssn) FROM customers LIMIT 1)",
    "in GROUP BY": "SELECT count(*) FROM customers GROUP BY ssn",
    "in ORDER BY": "SELECT id FROM customers ORDER BY ssn",
    "with DISTINCT": "SELECT DISTINCT ssn FROM customers",
    "in a UNION": "SELECT ssn FROM customers UNION SELECT 'x'",
    "in a window": "SELECT id, rank() OVER (PARTITION BY ssn) FROM customers",
    "in a recursive query": "WITH RECURSIVE r AS (SELECT ssn FROM customers UNION ALL SELECT ssn FROM r) SELECT 1 FROM r",
}


@pytest.mark.parametrize("where", USES)
@pytest.mark.parametrize("predicates", [Predicates.DENY, Predicates.EQUALITY])
def test_a_use_is_refused_with_its_column_its_place_and_what_to_do(where: str, predicates: Predicates) -> None:
    said = refusal(USES[where], predicates)
    assert "public.customers.ssn" in said
    assert where in said or where == "in LIMIT"
    assert said.endswith(".") and ("leave it out" in said or "$1" in said)


TESTS = {"in WHERE", "in a join condition", "in HAVING", "in FILTER", "in LIMIT"}


@pytest.mark.parametrize("where", sorted(set(USES) - TESTS))
def test_allow_computes_with_the_mask(where: str) -> None:
    finding = found(USES[where], Predicates.ALLOW)
    assert not finding.facts.refusal, finding.facts.refusal
    assert finding.masked is not None and "'***'" in finding.masked


@pytest.mark.parametrize("where", sorted(TESTS - {"in WHERE", "in LIMIT"}))
def test_a_test_that_could_only_see_masks_is_refused_even_then(where: str) -> None:
    """It would find nothing, and say nothing about it."""
    assert "condition of its own" in refusal(USES[where], Predicates.ALLOW) or "must stand by itself" in refusal(
        USES[where], Predicates.ALLOW
    )


def test_counting_is_no_use() -> None:
    finding = found("SELECT count(ssn), count(c), count(*) FROM customers AS c")
    assert not finding.facts.refusal and finding.facts.masked_columns


def test_what_decides_rows_is_told_to_policy() -> None:
    assert found(USES["in ORDER BY"], Predicates.ALLOW).facts.filters_masked
    assert not found("SELECT upper(ssn) FROM customers", Predicates.ALLOW).facts.filters_masked
    assert not found("SELECT ssn FROM customers").facts.filters_masked


def test_a_whole_row_is_shown_and_nothing_else() -> None:
    assert not refusal("SELECT customers FROM customers")
    for text in (
        "SELECT row_to_json(c) FROM customers c",
        "SELECT c::text FROM customers c",
        "SELECT (c).ssn FROM customers c",
        "SELECT id FROM customers c WHERE c IS NOT NULL",
        "SELECT row(c.*) FROM customers c",
        "SELECT to_jsonb(q) FROM (SELECT email FROM customers) AS q",
        "SELECT random_user_defined_function(c) FROM customers c",
    ):
        assert "whole row" in refusal(text, Predicates.ALLOW), text


def test_columns_are_compared_raw_where_both_come_up_for_the_sink() -> None:
    joined = "SELECT a.email FROM customers a JOIN customers b ON a.email = b.email"
    assert not found(joined, Predicates.ALLOW, Strategy.HASH).facts.refusal
    assert found(joined, Predicates.ALLOW, Strategy.REDACT).facts.refusal
    assert found(joined, Predicates.DENY, Strategy.HASH).facts.refusal
    assert found(joined.replace("b.email", "b.name"), Predicates.ALLOW, Strategy.HASH).facts.refusal
    hidden = joined.replace("SELECT a.email", "SELECT upper(a.email)")
    assert "do one of both" in found(hidden, Predicates.ALLOW, Strategy.HASH).facts.refusal


def _doubling(links: int) -> str:
    queries = [f"a{link} AS (SELECT * FROM a{link - 1} AS x, a{link - 1} AS y)" for link in range(1, links)]
    return f"WITH a0 AS (SELECT * FROM customers), {', '.join(queries)} SELECT 1 FROM a{links - 1}"


def test_columns_that_double_with_every_link_are_counted_before_they_are_made() -> None:
    assert not refusal(_doubling(10))
    assert "more than 60,000 columns" in refusal(_doubling(60)), "there are not so many bytes in the world"


def test_columns_that_every_join_lists_again_are_counted() -> None:
    joins = "".join(f" JOIN customers AS c{number} ON c{number}.id = c.id" for number in range(1, 1200))
    assert "columns" in refusal(f"SELECT c.ssn FROM customers AS c{joins}")


def test_many_wide_tables_are_no_excess() -> None:
    arms = " UNION ALL ".join(
        "SELECT ssn, name FROM (SELECT * FROM (SELECT * FROM customers) AS a) AS b" for _ in range(300)
    )
    assert not refusal(arms)
