"""Whether masking has a say: in everything over a masked relation, and in nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from blastwall.masking.plan import Plan
from blastwall.protocols.postgres.classify import classify
from blastwall.sql.catalogue import ForeignKey
from blastwall.sql.surroundings import Surroundings
from tests.blastwall.sql.judging import INT4, TEXT, column, corpus, shop, table
from tests.blastwall.sql.masking.masks import corpus_plan, found, plan_of


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


ACCOUNTS, MOVES, PAIRS, NAMED, CODES, HOLDERS = 30_201, 30_202, 30_203, 30_204, 30_205, 30_206


def _keys() -> Surroundings:
    # moves refer to masked accounts.iban; masked holders.code refers to codes; named is a view of pairs, where a name
    # is unique together with a masked number.
    key, text = column(1, "id", INT4, "int4"), column(2, "iban", TEXT, "text")
    note = column(3, "note", TEXT, "text")
    around = shop(
        relations=(
            table(ACCOUNTS, "accounts", key, text, note),
            table(MOVES, "moves", key, text, note, foreign_keys=(ForeignKey((2,), ACCOUNTS, (2,)),)),
            table(PAIRS, "pairs", key, text, note, unique=((1, 2),)),
            table(
                NAMED, "named", key, note, kind="v", reads=((PAIRS, 1), (PAIRS, 3)),
                definition="SELECT id, note FROM public.pairs",
            ),
            table(CODES, "codes", key, note),
            table(
                HOLDERS, "holders", key, column(2, "code", INT4, "int4"), foreign_keys=(ForeignKey((2,), CODES, (1,)),)
            ),
        )
    )  # fmt: skip
    assert around.catalogue is not None
    columns = {"accounts": ("iban",), "pairs": ("iban",), "holders": ("code",)}
    return dataclasses.replace(around, plan=plan_of(around.catalogue, columns))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("INSERT INTO moves (iban) VALUES ('DE1')", "public.accounts.iban"),
        ("INSERT INTO moves VALUES (1, 'DE1')", "public.accounts.iban"),
        ("UPDATE moves SET iban = 'DE1' WHERE id = 1", "public.accounts.iban"),
        ("COPY moves FROM STDIN", "public.accounts.iban"),
        ("WITH w AS (INSERT INTO moves (iban) VALUES ('DE1') RETURNING id) SELECT id FROM w", "public.accounts.iban"),
        (
            "MERGE INTO moves m USING items i ON m.id = i.id WHEN NOT MATCHED THEN INSERT (iban) VALUES ('DE1')",
            "public.accounts.iban",
        ),
        ("INSERT INTO named (id) VALUES (1)", "public.pairs.iban"),
        ("DELETE FROM codes WHERE id = 1", "public.holders.code"),
        ("UPDATE codes SET id = 2 WHERE id = 1", "public.holders.code"),
        ("MERGE INTO codes c USING items i ON c.id = i.id WHEN MATCHED THEN DELETE", "public.holders.code"),
    ],
)
def test_writing_to_a_key_that_masked_columns_share_is_told(text: str, masked: str) -> None:
    # Whether it succeeds says whether such a value is there.
    finding = classify(text, _keys())
    assert not finding.facts.refusal
    assert "writes_masked" in finding.facts.flags and finding.facts.masked_columns == {masked}
    assert finding.treatment.touches and finding.masked is None


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO moves (id, note) VALUES (1, 'x')",
        "UPDATE moves SET note = 'x' WHERE id = 1",
        "DELETE FROM moves WHERE id = 1",
        "UPDATE codes SET note = 'x' WHERE id = 1",
        "INSERT INTO codes VALUES (1, 'x')",
        "SELECT iban FROM moves",
        "SELECT iban FROM moves FOR UPDATE",
        "ALTER TABLE moves RENAME TO other",
        "DELETE FROM items WHERE id IN (SELECT id FROM codes)",
    ],
)
def test_other_writes_to_tables_with_such_keys_are_not(text: str) -> None:
    finding = classify(text, _keys())
    assert not finding.facts.refusal and not finding.facts.masked_columns
    assert "writes_masked" not in finding.facts.flags


WHOLE, PART, OPEN, NESTED, SURE, GUARDED, SEEN_GUARDED = range(30_301, 30_308)


def _quoting() -> Surroundings:
    # part (masked ssn) inherits from whole, which has no such column; open is a view of part without it, nested one of
    # open; sure computes from it and is vouched for; guarded lets through only rows that pass a test.
    key, ssn, note = column(1, "id", INT4, "int4"), column(2, "ssn", TEXT, "text"), column(3, "note", TEXT, "text")
    made = (
        table(WHOLE, "whole", key),
        table(PART, "part", key, ssn, note),
        table(OPEN, "open", key, note, kind="v", reads=((PART, 1), (PART, 3)), definition="SELECT id, note FROM part"),
        table(NESTED, "nested", key, kind="v", reads=((OPEN, 1),), definition="SELECT id FROM open"),
        table(SURE, "sure", key, kind="v", reads=((PART, 2),), definition="SELECT ssn::integer AS id FROM part"),
        table(GUARDED, "guarded", key, ssn, row_security=True),
        table(SEEN_GUARDED, "seen_guarded", key, kind="v", reads=((GUARDED, 1),), definition="SELECT id FROM guarded"),
    )
    around = shop(relations=made, inherits=((WHOLE, PART),))
    assert around.catalogue is not None
    plan = plan_of(around.catalogue, {"part": ("ssn",), "guarded": ("ssn",)})
    relations = {oid: masks for oid, masks in plan.relations.items() if oid != SURE}
    return dataclasses.replace(around, plan=dataclasses.replace(plan, relations=relations, vouched=frozenset({SURE})))


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE open SET note = NULL WHERE id = 1",
        "INSERT INTO open (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = NULL",
        "UPDATE nested SET id = NULL WHERE id = 1",
        "COPY open FROM STDIN",
        "MERGE INTO open USING items i ON open.id = i.id WHEN MATCHED THEN UPDATE SET note = NULL",
        "WITH u AS (UPDATE open SET note = NULL WHERE id = 1 RETURNING id) SELECT id FROM u",
        "UPDATE whole SET id = NULL WHERE id = 1",
        "SELECT id FROM sure",
        "SELECT id FROM seen_guarded",
    ],
)
def test_errors_that_would_quote_masked_rows_are_reduced_where_the_text_names_no_masked_relation(text: str) -> None:
    # "Failing row contains (...)" is all of the row that is stored, whatever the view shows of it.
    finding = classify(text, _quoting())
    assert not finding.facts.refusal and finding.masked is None
    assert finding.treatment.touches


@pytest.mark.parametrize("text", ["SELECT id, note FROM open", "SELECT id FROM whole", "SELECT id FROM nested"])
def test_errors_of_reading_what_is_not_masked_stay(text: str) -> None:
    assert not classify(text, _quoting()).treatment.touches


@pytest.mark.parametrize(
    "text",
    [
        "SELECT upper(ssn) FROM customers",
        "DROP TABLE customers; SELECT upper(ssn) FROM customers",
        "ROLLBACK; SELECT upper(ssn) FROM customers",
        "DISCARD ALL; SELECT 1 FROM orders WHERE EXISTS (SELECT upper(ssn) FROM customers)",
        "PREPARE p AS SELECT upper(ssn) FROM customers",
        "UPDATE customers SET ssn = 'a' WHERE id = 1",
        "COPY (SELECT * FROM customers) TO STDOUT",
    ],
)
def test_a_table_of_the_sessions_own_does_not_lend_its_name_to_a_masked_one(text: str) -> None:
    # Once it is gone the same words read the masked table: a statement later, or when what was prepared is run.
    finding = classify(text, corpus(plan=corpus_plan(), temp=frozenset({"customers"})))
    assert "also the name of a masked one" in finding.facts.refusal


def test_a_table_that_the_text_makes_itself_does_not_either() -> None:
    for made in ("CREATE TEMP TABLE customers (ssn text)", "SELECT 1 AS ssn INTO TEMP customers"):
        finding = classify(
            f"{made}; DROP TABLE customers; SELECT upper(ssn) FROM customers", corpus(plan=corpus_plan())
        )
        assert "also the name of a masked one" in finding.facts.refusal


@pytest.mark.parametrize(
    "text", ["SELECT upper(ssn) FROM pg_temp.customers", "SELECT ssn FROM mine", "DROP TABLE customers"]
)
def test_by_its_own_name_it_is_read_as_it_stands(text: str) -> None:
    finding = classify(text, corpus(plan=corpus_plan(), temp=frozenset({"customers", "mine"})))
    assert not finding.facts.refusal and finding.masked is None


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("ROLLBACK; SELECT 1 FROM orders", True),
        ("ROLLBACK TO a; SELECT 1 FROM orders", True),
        ("SELECT 1 FROM orders; ROLLBACK AND CHAIN; UPDATE orders SET status = 'x' WHERE id = 1", True),
        ("ROLLBACK; BEGIN; SET search_path = public", False),
        ("SELECT 1 FROM orders; ROLLBACK", False),
        ("COMMIT; SELECT 1 FROM orders", False),
        ("RELEASE a; SELECT 1 FROM orders", False),
    ],
)
def test_behind_the_rollback_of_changed_definitions_nothing_is_known(text: str, refused: bool) -> None:
    assert bool(found(text, uncommitted=True).facts.refusal) is refused
    assert not found(text).facts.refusal
    assert not classify(text, corpus(plan=Plan(), uncommitted=True)).facts.refusal
