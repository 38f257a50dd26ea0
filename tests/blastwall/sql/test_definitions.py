"""Statements that make, change or drop schema objects."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from tests.blastwall.sql.judging import corpus, find, judged

F, D, A, U, W = Effect.DEFINE, Effect.DESTROY, Effect.ADMINISTER, Effect.UNKNOWN, Effect.WRITE


@pytest.mark.parametrize(
    ("text", "effect", "flag"),
    [
        ("CREATE TABLE fresh (id int)", F, None),
        ("CREATE TABLE fresh (id int DEFAULT pg_read_file('x')::int)", A, "function:file_read"),
        ("CREATE TABLE fresh (id int CHECK (public.noted('x')))", U, "user_function"),
        ("CREATE TABLE fresh (id evil_domain)", U, "user_type"),
        ("CREATE TABLE fresh (id int REFERENCES orders (id))", F, None),
        ("CREATE TABLE fresh (id int REFERENCES nowhere (id))", U, "unresolved"),
        ("CREATE TABLE fresh (LIKE orders)", F, None),
        ("CREATE TABLE fresh (LIKE pg_authid)", A, "sensitive_catalogue"),
        ("CREATE TABLE fresh () INHERITS (orders)", F, None),
        ("CREATE TABLE fresh () INHERITS (pg_class)", U, "unresolved"),
        ("CREATE TABLE fresh (id int) USING columnar", U, "user_method"),
        ("CREATE TABLE fresh (id int, EXCLUDE USING gist (id WITH =))", U, "user_method"),
        ("CREATE TABLE pg_catalog.fresh (id int)", A, None),
        ("CREATE TABLE other.public.fresh (id int)", U, "unresolved"),
        ("CREATE TEMP TABLE fresh (id int)", F, "temporary"),
        ("CREATE TEMP TABLE orders (id int)", U, "shadows"),
        ("CREATE TABLE pg_class (id int)", U, "shadows"),
    ],
)
def test_making_a_table(text: str, effect: Effect, flag: str | None) -> None:
    facts = judged(text)
    assert facts.effect is effect, facts
    assert flag is None or flag in facts.flags


@pytest.mark.parametrize(
    ("text", "effect", "flags"),
    [
        ("CREATE TABLE fresh AS SELECT id FROM orders", F, {"derived_copy"}),
        ("SELECT id INTO fresh FROM orders", F, {"derived_copy"}),
        ("CREATE TABLE fresh AS SELECT pg_read_file('x')", A, {"derived_copy", "function:file_read"}),
        ("CREATE MATERIALIZED VIEW fresh AS SELECT id FROM orders", A, {"derived_copy", "materialized_view"}),
        ("CREATE VIEW fresh AS SELECT id FROM orders", A, {"derived_copy", "view"}),
        ("CREATE OR REPLACE VIEW fresh AS SELECT id FROM orders", A, {"derived_copy", "view", "replaces"}),
        ("REFRESH MATERIALIZED VIEW mv", W, {"materialized_view"}),
        ("REFRESH MATERIALIZED VIEW orders", U, {"materialized_view", "unresolved"}),
    ],
)
def test_copies_of_rows_under_other_names(text: str, effect: Effect, flags: set[str]) -> None:
    facts = judged(text)
    assert facts.effect is effect, facts
    assert facts.flags == flags


@pytest.mark.parametrize(
    ("text", "effect", "flags"),
    [
        ("CREATE INDEX ON orders (status)", F, set()),
        ("CREATE UNIQUE INDEX ON orders (status)", F, {"validates_rows"}),
        ("CREATE INDEX ON orders (lower(status))", A, {"expression_ddl"}),
        ("CREATE INDEX ON orders (status) WHERE status = 'new'", F, set()),
        ("CREATE INDEX ON orders (status) WHERE status::int > 0", A, {"expression_ddl"}),
        ("CREATE INDEX ON orders (status text_pattern_ops)", F, set()),
        ("CREATE INDEX ON orders (status evil_ops)", U, {"user_method"}),
        ("CREATE INDEX ON orders USING rum (status)", U, {"user_method"}),
        ("CREATE INDEX ON v_customers (id)", U, {"unresolved"}),
    ],
)
def test_an_index_on_plain_columns_only(text: str, effect: Effect, flags: set[str]) -> None:
    facts = judged(text)
    assert facts.effect is effect, facts
    assert facts.flags == flags


@pytest.mark.parametrize(
    ("change", "effect", "flag"),
    [
        ("ADD COLUMN note text", F, None),
        ("ADD COLUMN note text DEFAULT pg_read_file('x')", A, "function:file_read"),
        ("ADD COLUMN note text GENERATED ALWAYS AS (status) STORED", A, "derived_copy"),
        ("DROP COLUMN status", D, None),
        ("ADD CHECK (total > 0)", F, "validates_rows"),
        ("ADD CHECK (status::int > 0)", A, "expression_ddl"),
        ("ADD CHECK (total > 0) NOT VALID", F, None),
        ("OWNER TO postgres", A, None),
        ("DISABLE TRIGGER ALL", A, None),
        ("ALTER COLUMN status TYPE int", D, None),
        ("ADD COLUMN note text, DROP COLUMN status", D, None),
    ],
)
def test_each_subcommand_of_alter_table(change: str, effect: Effect, flag: str | None) -> None:
    facts = judged(f"ALTER TABLE orders {change}")
    assert facts.effect is effect, facts
    assert flag is None or flag in facts.flags
    assert ("validates_rows" in facts.flags) is (flag == "validates_rows" or "status::int > 0" in change)


@pytest.mark.parametrize(
    ("text", "effect", "verb", "touched"),
    [
        ("DROP TABLE orders, customers", D, "drop table", {"destroy table orders", "destroy table customers"}),
        ("DROP VIEW v_customers", D, "drop view", {"destroy view v_customers"}),
        ("DROP FUNCTION wipe(customers)", A, "drop function", {"destroy function wipe"}),
        ("DROP EXTENSION plpgsql", A, "drop extension", {"destroy extension plpgsql"}),
        ("TRUNCATE orders", D, "truncate", {"destroy table public.orders"}),
        ("COMMENT ON TABLE orders IS 'x'", F, "comment", {"define table orders"}),
        ("CREATE SEQUENCE fresh", F, "create sequence", {"define sequence public.fresh"}),
        ("CREATE TYPE mood AS ENUM ('a')", F, "create type", {"define type mood"}),
        ("CREATE SCHEMA fresh", F, "create schema", {"define schema fresh"}),
    ],
)
def test_what_is_made_and_dropped_is_named(text: str, effect: Effect, verb: str, touched: set[str]) -> None:
    finding = find(text)
    assert (finding.facts.effect, finding.facts.verb) == (effect, verb)
    assert {str(each) for each in finding.facts.objects} == touched
    assert finding.changes_catalogue


@pytest.mark.parametrize(
    "text",
    [
        "CREATE SCHEMA public",
        "CREATE SCHEMA corpus_agent",
        "CREATE SCHEMA fresh CREATE TABLE t (id int)",
        "CREATE TYPE int4 AS ENUM ('a')",
        "CREATE SEQUENCE fresh NOVELTY",
    ],
)
def test_what_would_stand_before_other_names_is_refused(text: str) -> None:
    assert find(text).facts.effect is U


def test_hiding_depends_on_the_search_path() -> None:
    text = "CREATE TABLE early.orders (id int)"
    assert judged(text, corpus(search_path=("early", "public"))).effect is U
    assert judged(text, corpus(search_path=("public", "early"))).effect is F
    assert judged(text).effect is F


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("ALTER TABLE orders ALTER COLUMN status TYPE text USING pg_read_file('/etc/passwd')", A),
        ("ALTER TABLE orders ALTER COLUMN status TYPE text USING user_fn_with_side_effect()::text", U),
        ("ALTER TABLE orders ALTER COLUMN status SET EXPRESSION AS (pg_sleep(5)::text)", A),
        ("ALTER TABLE orders ALTER COLUMN status TYPE varchar(20)", D),
        ("ALTER TABLE orders DROP COLUMN status", D),
    ],
)
def test_an_expression_of_a_destructive_change_is_judged_too(text: str, effect: Effect) -> None:
    assert find(text).facts.effect is effect
