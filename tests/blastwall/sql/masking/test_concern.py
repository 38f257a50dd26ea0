"""Whether masking has a say: in everything over a masked relation, and in nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from blastwall.masking.plan import Plan
from blastwall.protocols.postgres.classify import classify
from blastwall.sql.catalogue import ForeignKey
from blastwall.sql.surroundings import Surroundings
from tests.blastwall.sql.judging import INT4, TEXT, column, corpus, shop, table
from tests.blastwall.sql.masking.masks import found, plan_of


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


CONTINENTS, REGIONS, PEOPLE, LOG, SEEN = 30_101, 30_102, 30_103, 30_104, 30_105


def _family() -> Surroundings:
    """people (masked) refer to regions, regions to continents; log has a trigger; seen is a view of regions."""
    key = column(1, "id", INT4, "int4")
    around = shop(
        relations=(
            table(CONTINENTS, "continents", key),
            table(REGIONS, "regions", key, foreign_keys=(ForeignKey((1,), CONTINENTS, (1,)),)),
            table(
                PEOPLE, "people", key, column(2, "ssn", TEXT, "text"), foreign_keys=(ForeignKey((1,), REGIONS, (1,)),)
            ),
            table(LOG, "log", key, has_triggers=True),
            table(SEEN, "seen", key, kind="v", reads=((REGIONS, 1),)),
        )
    )
    assert around.catalogue is not None
    return dataclasses.replace(around, plan=plan_of(around.catalogue, {"people": ("ssn",)}))


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("DELETE FROM regions WHERE id = 1", True),
        ("UPDATE continents SET id = 2 WHERE id = 1", True),
        ("DELETE FROM seen WHERE id = 1", True),
        ("INSERT INTO log VALUES (1)", True),
        ("WITH d AS (DELETE FROM regions WHERE id = 1 RETURNING id) SELECT id FROM d", True),
        ("PREPARE p AS DELETE FROM regions WHERE id = 1", True),
        ("DELETE FROM items WHERE id = 1", False),
        ("SELECT id FROM regions", False),
        ("SELECT id FROM log", False),
    ],
)
def test_what_is_said_of_a_change_that_goes_on_to_masked_rows_is_reduced(text: str, reaches: bool) -> None:
    """A foreign key's action or a trigger changes rows that the statement does not name, and its errors quote them."""
    around = _family()
    (one,) = classify(text, around).statements
    assert one.reaches_masks is reaches and not one.concerns_masks
    assert one.treatment.touches is reaches
    assert one.carried.touches is (reaches and text.startswith("PREPARE"))
    (plain,) = classify(text, dataclasses.replace(around, plan=Plan())).statements
    assert not plain.reaches_masks and not plain.treatment.touches
