"""INSERT, UPDATE, DELETE and MERGE: what they write, whether a predicate limits it, and what goes along."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from tests.blastwall.sql.judging import INT4, column, corpus, judged, shop, table

W, D = Effect.WRITE, Effect.DESTROY


@pytest.mark.parametrize(
    ("text", "effect", "bounded"),
    [
        ("DELETE FROM orders", D, False),
        ("DELETE FROM orders WHERE true", D, False),
        ("DELETE FROM orders WHERE id = 1", W, True),
        ("DELETE FROM orders WHERE id = id", D, False),
        ("UPDATE orders SET status = 'x'", D, False),
        ("UPDATE orders SET status = 'x' WHERE id IN (1, 2)", W, True),
        ("WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone", D, False),
        ("WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING id) SELECT count(*) FROM gone", W, True),
        ("INSERT INTO orders (status) VALUES ('x')", W, True),
        ("INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET status = 'x'", W, True),
        ("EXPLAIN ANALYZE DELETE FROM orders", D, False),
    ],
)
def test_a_change_without_a_limit_destroys(text: str, effect: Effect, bounded: bool) -> None:
    facts = judged(text)
    assert (facts.effect, facts.bounded) == (effect, bounded)
    assert ("unbounded_write" in facts.flags) is not bounded


def merge(clauses: str, on: str = "o.id = 5") -> str:
    return f"MERGE INTO orders o USING customers c ON {on} {clauses}"


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        (merge("WHEN MATCHED THEN DELETE"), W),
        (merge("WHEN MATCHED THEN DELETE", "true"), D),
        (merge("WHEN MATCHED THEN UPDATE SET status = 'x'", "true"), D),
        (merge("WHEN MATCHED AND o.id = 7 THEN DELETE", "true"), W),
        (merge("WHEN NOT MATCHED BY SOURCE THEN DELETE"), D),
        (merge("WHEN NOT MATCHED BY SOURCE AND o.id = 7 THEN DELETE"), W),
        (merge("WHEN NOT MATCHED THEN INSERT (status) VALUES ('x')", "true"), W),
        (merge("WHEN MATCHED THEN DO NOTHING", "true"), W),
    ],
)
def test_each_action_of_a_merge_is_judged_as_what_it_stands_for(text: str, effect: Effect) -> None:
    facts = judged(text)
    assert facts.effect is effect
    assert "derived_copy" in facts.flags


@pytest.mark.parametrize(
    ("text", "copies"),
    [
        ("INSERT INTO products (name, price) VALUES ('a', 1)", False),
        ("INSERT INTO products (name, price) SELECT 'a', 1", False),
        ("INSERT INTO products (name, price) SELECT ssn, 1 FROM customers", True),
        ("INSERT INTO products (name, price) SELECT 'a', 1 UNION SELECT ssn, 1 FROM customers", True),
        ("UPDATE orders SET status = c.ssn FROM customers c WHERE c.id = customer_id AND orders.id = 1", True),
        ("UPDATE orders SET status = 'x' WHERE id = 1", False),
    ],
)
def test_rows_of_other_relations_that_are_copied_are_flagged(text: str, copies: bool) -> None:
    assert ("derived_copy" in judged(text).flags) is copies


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO pg_class (relname) VALUES ('x')",
        "UPDATE pg_catalog.pg_proc SET proname = 'x' WHERE oid = 1",
        "DELETE FROM pg_database WHERE oid = 1",
    ],
)
def test_the_databases_own_catalogue_is_the_administrators(text: str) -> None:
    facts = judged(text)
    assert facts.effect is Effect.ADMINISTER
    assert "system_catalogue" in facts.flags


@pytest.mark.parametrize(
    ("more", "effect", "flag"),
    [({"has_rules": True}, Effect.UNKNOWN, "rules"), ({"has_triggers": True}, W, "triggers"), ({}, W, None)],
)
def test_rules_are_refused_and_triggers_told(more: dict[str, bool], effect: Effect, flag: str | None) -> None:
    around = shop(relations=(table(40001, "watched", column(1, "id", INT4, "int4"), **more),))
    facts = judged("UPDATE watched SET id = 2 WHERE id = 1", around)
    assert facts.effect is effect
    assert facts.flags & {"rules", "triggers"} == ({flag} if flag else set())


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("INSERT INTO orders (status) VALUES ('x') RETURNING id", W),
        ("INSERT INTO orders (status) VALUES (pg_read_file('x'))", Effect.ADMINISTER),
        ("UPDATE orders SET status = 'x' WHERE id = 1 RETURNING pg_read_file('x')", Effect.ADMINISTER),
        (
            "INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET status = pg_read_file('x')",
            Effect.ADMINISTER,
        ),
        ("INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET status = excluded.wipe", Effect.UNKNOWN),
        (merge("WHEN MATCHED AND pg_read_file('x') = '' THEN DO NOTHING"), Effect.ADMINISTER),
        (merge("WHEN NOT MATCHED THEN INSERT (status) VALUES (pg_read_file('x'))"), Effect.ADMINISTER),
    ],
)
def test_every_expression_of_a_change_is_looked_at(text: str, effect: Effect) -> None:
    assert judged(text).effect is effect


@pytest.mark.parametrize(("version", "effect"), [(180000, W), (170010, Effect.UNKNOWN)])
def test_old_and_new_are_rows_only_since_18(version: int, effect: Effect) -> None:
    text = "UPDATE orders SET status = 'x' WHERE id = 1 RETURNING old.status, new.status"
    assert judged(text, corpus(server_version=version)).effect is effect


def test_what_is_written_and_read_is_named() -> None:
    facts = judged("UPDATE orders SET status = 'x' FROM customers c WHERE c.id = customer_id AND c.id = 1")
    assert {str(each) for each in facts.objects} == {"write table public.orders", "read table public.customers"}
