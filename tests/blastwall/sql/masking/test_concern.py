"""Whether masking has a say: in everything over a masked relation, and in nothing else."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Plan
from blastwall.protocols.postgres.classify import classify
from tests.blastwall.sql.judging import corpus
from tests.blastwall.sql.masking.masks import found


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT * FROM orders",
        "SELECT * FROM pg_class",
        "WITH customers AS (SELECT 1 AS ssn) SELECT ssn FROM customers",
        "UPDATE products SET price = 1 WHERE id = 1",
        "CREATE TABLE other (customers integer)",
        "COMMENT ON COLUMN orders.status IS 'x'",
        "BEGIN",
        "SET search_path = public",
    ],
)
def test_not_in_others(text: str) -> None:
    finding = found(text)
    assert not any(each.concerns_masks for each in finding.statements)
    assert finding.masked is None and not finding.treatment.touches


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM customers",
        "SELECT id FROM v_customers",
        "SELECT 1 FROM orders WHERE EXISTS (SELECT 1 FROM public.customers)",
        "WITH c AS (SELECT 1 FROM customers) SELECT 2",
        "WITH customers AS (SELECT * FROM customers) SELECT 1 FROM customers",
        "DELETE FROM customers WHERE id = 1",
        "COPY customers FROM STDIN",
        "EXPLAIN SELECT 1 FROM customers",
        "PREPARE p AS SELECT 1 FROM customers",
        "TRUNCATE customers",
        "ALTER TABLE orders INHERIT customers",
        "ALTER TABLE customers RENAME TO c",
        "ALTER SCHEMA public RENAME TO c",
        "COMMENT ON COLUMN public.customers.ssn IS NULL",
        "CREATE TABLE child () INHERITS (customers)",
        "CREATE STATISTICS s ON ssn, email FROM customers",
    ],
)
def test_in_whatever_names_a_masked_relation(text: str) -> None:
    finding = found(text)
    assert finding.statements[-1].concerns_masks
    assert finding.treatment.touches


def test_without_a_plan_nothing_is_asked() -> None:
    finding = classify("SELECT ssn FROM customers", corpus(plan=Plan()))
    assert finding.masked is None and not finding.statements[0].concerns_masks


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM pg_stats",
        "SELECT stavalues1 FROM pg_catalog.pg_statistic",
        "SELECT query FROM pg_stat_activity",
        "SELECT query_to_xml('SELECT ssn FROM customers', true, true, '')",
        "SELECT lo_get(1)",
        "DO $$ BEGIN END $$",
        "CALL anything()",
    ],
)
def test_other_roads_to_values_are_closed_where_anything_is_masked(text: str) -> None:
    assert "another road" in found(text).facts.refusal
    assert not classify(text, corpus(plan=Plan())).facts.refusal
