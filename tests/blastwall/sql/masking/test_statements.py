"""Statements that carry, name or show others."""

from __future__ import annotations

import dataclasses

import pytest

from blastwall.masking.patterns import names
from blastwall.masking.plan import UNTOUCHED, Output, Predicates, Strategy
from blastwall.masking.rules import Rule, Rules
from blastwall.model import Effect, Facts
from blastwall.protocols.postgres.classify import classify
from blastwall.sql.masking import with_views
from blastwall.sql.surroundings import Surroundings
from tests.blastwall.sql.judging import INT4, TEXT, column, shop, table
from tests.blastwall.sql.masking.masks import found, masked, refusal

QUERY = "SELECT id, ssn FROM customers"


@pytest.mark.parametrize(
    "text",
    [f"EXPLAIN {QUERY}", f"EXPLAIN (ANALYZE, VERBOSE off) {QUERY}", "EXPLAIN VERBOSE SELECT id FROM customers"],
)
def test_a_plan_of_what_only_shows(text: str) -> None:
    finding = found(text)
    assert not finding.facts.refusal
    assert finding.treatment.outputs == (Output("QUERY PLAN", origin=(0, 0)),)


@pytest.mark.parametrize(
    "text",
    [
        f"EXPLAIN VERBOSE {QUERY}",
        f"EXPLAIN (VERBOSE) {QUERY}",
        f"EXPLAIN (VERBOSE 1) {QUERY}",
        f"EXPLAIN {QUERY} WHERE ssn = 'x'",
        "EXPLAIN SELECT upper(ssn) FROM customers",
        "EXPLAIN DELETE FROM customers WHERE ssn = 'x'",
        f"EXPLAIN CREATE TABLE mine AS {QUERY}",
        f"PREPARE p AS {QUERY}; EXPLAIN EXECUTE p",
    ],
)
@pytest.mark.parametrize("predicates", Predicates)
def test_a_plan_that_would_tell_more_is_refused(text: str, predicates: Predicates) -> None:
    assert refusal(text, predicates)


def test_explain_hides_what_the_sink_would_replace() -> None:
    finding = found(f"EXPLAIN {QUERY}", strategy=Strategy.HASH)
    assert finding.masked is not None and "'***'" in finding.masked


def test_what_is_prepared_has_its_masks_when_it_runs() -> None:
    finding = found(
        f"PREPARE p AS {QUERY}; EXECUTE p; DEALLOCATE p; BEGIN; DECLARE c CURSOR FOR {QUERY}; FETCH c; MOVE c"
    )
    assert not finding.facts.refusal
    prepare, execute, _, _, declare, fetch, move = finding.statements
    for named, run in ((prepare, execute), (declare, fetch)):
        assert named.treatment.touches and named.treatment.outputs is None
        assert run.treatment == named.carried
        assert [bool(each.masks) for each in run.treatment.outputs or ()] == [False, True]
        assert run.facts.masked_columns == {"public.customers.ssn"}
    assert move.treatment.touches and move.treatment.outputs is None
    assert finding.masked is not None and finding.masked.count("'***'") == 2


def test_what_nobody_named_is_untouched_and_what_is_refused_stays_so() -> None:
    finding = found("EXECUTE nothing")
    assert finding.treatment == UNTOUCHED and finding.facts.effect is Effect.UNKNOWN
    refused = dataclasses.replace(Facts(Effect.UNKNOWN, "select"), refusal="No more.")
    assert refusal("EXECUTE old", prepared={"old": refused}) == "No more."
    assert refusal("FETCH old", cursors={"old": refused}) == "No more."


def test_a_prepared_statement_is_not_copied() -> None:
    assert "prepared" in refusal(f"PREPARE p AS {QUERY}; CREATE TABLE mine AS EXECUTE p")
    assert not refusal("PREPARE p AS SELECT id FROM customers; CREATE TABLE mine AS EXECUTE p")


def test_equality_in_a_prepared_statement_counts_each_time_it_runs() -> None:
    finding = found(f"PREPARE p (text) AS {QUERY} WHERE ssn = $1; EXECUTE p ('x')", Predicates.EQUALITY)
    assert not finding.facts.refusal
    assert "compares_masked" in finding.statements[1].facts.flags and finding.statements[1].facts.filters_masked


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (
            "COPY customers TO STDOUT",
            "COPY (SELECT id, name, email, ssn, phone, balance, created_at, profile FROM (SELECT",
        ),
        (
            "COPY customers (ssn, id) TO STDOUT (FORMAT csv)",
            "COPY (SELECT ssn, id FROM (SELECT customers.id AS id, CASE",
        ),
        (f"COPY ({QUERY}) TO STDOUT", "COPY (SELECT id, ssn FROM (SELECT customers.id AS id, CASE"),
        (f"DECLARE c CURSOR FOR {QUERY}", "DECLARE c CURSOR FOR SELECT id, ssn FROM (SELECT"),
        (f"PREPARE p AS {QUERY}", "PREPARE p AS SELECT id, ssn FROM (SELECT"),
    ],
)
def test_a_carried_query_is_masked(text: str, start: str) -> None:
    assert masked(text).startswith(start)


def test_copy_keeps_its_options_and_leaves_children_out() -> None:
    upstream = masked("COPY customers TO STDOUT (FORMAT csv, HEADER, NULL 'none')")
    assert "FROM ONLY public.customers" in upstream
    assert upstream.endswith("TO STDOUT WITH (FORMAT csv, HEADER, NULL 'none')") or "NULL 'none'" in upstream


def test_a_binary_copy_is_masked_like_any_other() -> None:
    assert "'***'" in masked("COPY customers (ssn) TO STDOUT (FORMAT binary)")


def _parted() -> Surroundings:
    """``whole (id, ssn)`` is partitioned by ssn, which is masked: ``part`` has the rows of some values."""
    key, ssn = column(1, "id", INT4, "int4"), column(2, "ssn", TEXT, "text")
    made = (
        table(30_401, "whole", key, ssn, kind="p"),
        table(30_402, "part", key, ssn),
        table(30_403, "seen", key, kind="v", reads=((30_402, 1),), definition="SELECT id FROM part"),
    )
    around = shop(relations=made, inherits=((30_401, 30_402),), partitions=((30_401, (2,)),))
    assert around.catalogue is not None
    rules = Rules((Rule(Strategy.REDACT, names("public.whole.ssn", 3)),))
    return dataclasses.replace(around, plan=with_views(rules.plan(around.catalogue), around.catalogue))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM part",
        "SELECT count(*) FROM part",
        "SELECT id FROM seen",
        "COPY part (id) TO STDOUT",
        "UPDATE part SET id = 1 WHERE id = 2",
        "SELECT tableoid, id FROM whole",
        "SELECT id FROM whole WHERE tableoid = 5",
        "SELECT id FROM whole ORDER BY whole.tableoid",
        "UPDATE whole SET id = 1 WHERE id = 2 RETURNING tableoid",
        "EXPLAIN ANALYZE SELECT id FROM whole",
        "EXPLAIN (COSTS OFF, ANALYZE) SELECT id FROM whole",
        "CREATE TABLE more PARTITION OF whole FOR VALUES IN ('078-05-1120')",
    ],
)
def test_a_row_does_not_say_in_which_partition_it_is_where_that_tells(text: str) -> None:
    facts = classify(text, _parted()).facts
    assert "mask" in facts.refusal, facts


@pytest.mark.parametrize(
    "text", ["SELECT id, ssn FROM whole", "EXPLAIN SELECT id FROM whole", "EXPLAIN (ANALYZE off) SELECT id FROM whole"]
)
def test_the_whole_of_such_a_table_is_read_as_any_other(text: str) -> None:
    assert not classify(text, _parted()).facts.refusal
