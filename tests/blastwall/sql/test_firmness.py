"""Which limits say which rows are meant, and which may hold for nearly all."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from tests.blastwall.sql.judging import BOOL, INT4, column, corpus, judged, shop, table

FIRM = [
    "id = 5",
    "$1 = id",
    "id IN (1, 2, 3)",
    "5 IN (id, customer_id)",
    "id = ANY ($1)",
    "id = ANY ('{1,2}')",
    "id = 1 OR id = 2",
    "(id, status) = (1, 'a')",
    "(id, status) IN ((1, 'a'), (2, 'b'))",
    "NOT (status <> 'new')",
    "NOT (id NOT BETWEEN 5 AND 10)",
    "status LIKE 'new'",
    "status IS NOT DISTINCT FROM 'new'",
    "id BETWEEN 5 AND 10",
    "id > 5 AND 10 > id",
    "id >= $1 AND id < $2",
    "created_at >= '2024-01-01' AND created_at < '2024-02-01'",
    "created_at BETWEEN now() - interval '9 days' AND now() - interval '8 days'",
    "created_at >= date_trunc('month', now()) AND created_at < now() - interval '1 day'",
    "date(created_at) = '2024-01-01'",
    "extract(year from created_at) = 2024",
    "lower(status) = 'new'",
    "date_trunc('day', created_at) = '2024-01-01'",
    "date_trunc('month', created_at) = $1",
    "lower(btrim(status)) IN ('a', 'b')",
    "coalesce(status, '') = 'x'",
    "id + 1 = 6",
    "md5(status) = $1",
    "status = 'new' AND created_at < now() - interval '1 day'",
    "id = 5 AND total > 0",
    "id = (SELECT max(id) FROM orders)",
    "id IN (SELECT id FROM orders ORDER BY id LIMIT 100)",
    "customer_id IN (SELECT id FROM customers WHERE name = 'x')",
    "customer_id IN (SELECT id FROM customers WHERE id > 5 AND id < 9)",
    "EXISTS (SELECT FROM customers c WHERE c.id = orders.customer_id AND c.name = 'x')",
    "(id = 5) IS TRUE",
    "(id = 5) = true",
    "CASE WHEN id = 5 THEN true ELSE false END",
    "false",
]
WEAK = [
    ("id < 2000000000", "range"),
    ("created_at < now() - interval '30 days'", "range"),
    ("total >= $1", "range"),
    ("id > 5 AND id < 2000000000", "range"),
    ("id BETWEEN 5 AND 2000000000", "range"),
    ("created_at BETWEEN '2004-01-01' AND now() - interval '1 day'", "range"),
    ("(id, total) > (5, 1)", "range"),
    ("status >= 'a' AND status < 'zz'", "range"),
    ("ctid > '(0,0)' AND ctid < '(1000000,1)'", "range"),
    ("id BETWEEN SYMMETRIC 2000000000 AND 1", "range"),
    ("id > 5 AND id < (SELECT max(id) FROM orders)", "range"),
    ("id BETWEEN 5 AND (SELECT max(id) FROM customers)", "rows"),
    ("status ~ '[a-z]'", "pattern"),
    ("status LIKE '%a%'", "pattern"),
    ("status LIKE $1", "pattern"),
    ("status SIMILAR TO '[a-z]+'", "pattern"),
    ("status <> 'new'", "exclusion"),
    ("status NOT IN ('x', 'y')", "exclusion"),
    ("id <> ALL ($1)", "exclusion"),
    ("NOT (status = 'new')", "exclusion"),
    ("NOT (id BETWEEN 5 AND 10)", "exclusion"),
    ("status IS DISTINCT FROM 'new'", "exclusion"),
    ("customer_id IS NULL", "null"),
    ("customer_id IS NOT NULL", "null"),
    ("(id = 5) IS NOT TRUE", "boolean"),
    ("(id < 5) = true", "boolean"),
    ("total = customer_id", "rows"),
    ("customer_id IN (SELECT id FROM customers WHERE created_at < now() - interval '1 year')", "rows"),
    ("customer_id NOT IN (SELECT id FROM customers WHERE id = 5)", "rows"),
    ("NOT EXISTS (SELECT FROM customers c WHERE c.id = orders.customer_id)", "rows"),
    ("status = 'new' OR created_at < now() - interval '1 day'", "other"),
    ("extract(month from created_at) = 5", "other"),
    ("id % 2 = 0", "other"),
    ("date_part('century', created_at) = 21", "other"),
    ("date_trunc('century', created_at) = '2001-01-01'", "other"),
    ("regexp_replace(status, '.*', 'x') = 'x'", "other"),
    ("replace(status, status, '') = ''", "other"),
    ("split_part(status, ';', 2) = ''", "other"),
    ("round(total, -9) = 0", "other"),
    ("substr(status, 1, 1) LIKE 'n'", "pattern"),
    ("starts_with(status, 'a')", "other"),
]


@pytest.mark.parametrize("condition", FIRM)
def test_what_says_which_rows_are_meant_is_firm(condition: str) -> None:
    facts = judged(f"DELETE FROM orders WHERE {condition}", corpus())
    assert facts.bounded and facts.effect is Effect.WRITE
    assert facts.reason == "Deletes rows of public.orders." and "weak_limit" not in facts.flags


@pytest.mark.parametrize(("condition", "way"), WEAK)
def test_what_may_hold_for_nearly_all_is_weak_and_no_more(condition: str, way: str) -> None:
    facts = judged(f"DELETE FROM orders WHERE {condition}", corpus())
    assert facts.bounded and facts.effect is Effect.WRITE  # held, not refused
    assert {"weak_limit", f"weak_limit:{way}"} <= facts.flags
    assert facts.reason.startswith("Deletes rows of public.orders, limited only by ")


def test_the_reason_names_how_and_by_which_columns() -> None:
    text = "UPDATE orders SET status = 'x' WHERE created_at < now() - interval '1 day' AND status <> 'x'"
    assert judged(text, corpus()).reason == (
        "Updates rows of public.orders, limited only by a range that is open at one end or wide (created_at) "
        "and what is left out (status)."
    )


def test_a_yes_or_no_is_weak_however_it_is_asked() -> None:
    tasks = table(20_001, "tasks", column(1, "id", INT4, "int4"), column(2, "done", BOOL, "bool"))
    for condition in ("done", "NOT done", "done = true", "done = $1", "done IN (false)", "done IS TRUE"):
        facts = judged(f"DELETE FROM tasks WHERE {condition}", shop(relations=(tasks,)))
        assert facts.bounded and "weak_limit" in facts.flags, condition


def test_joins_are_as_firm_as_what_limits_the_other_rows() -> None:
    firm = [
        "DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND c.id = 5",
        "DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND c.id > 5 AND c.id < 9",
        "UPDATE orders o SET status = 'x' FROM customers c WHERE o.customer_id = c.id AND c.id = 5",
        "UPDATE orders o SET status = v.s FROM (VALUES (1, 'a')) v(id, s) WHERE o.id = v.id",
        "UPDATE orders o SET status = v.s FROM unnest($1::int[], $2::text[]) v(id, s) WHERE o.id = v.id",
        "WITH d AS (SELECT id FROM orders LIMIT 10) UPDATE orders o SET status = 'x' FROM d WHERE d.id = o.id",
        "MERGE INTO products p USING (VALUES (1, 2)) v(id, n) ON p.id = v.id WHEN MATCHED THEN UPDATE SET stock = v.n",
        "INSERT INTO products SELECT id, 'a', 1 FROM orders WHERE id = 5 ON CONFLICT (id) DO UPDATE SET name = 'x'",
    ]
    weak = [
        "DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND c.created_at < now() - interval '1 day'",
        "UPDATE orders o SET status = 'x' FROM customers c WHERE o.customer_id = c.id",
        "MERGE INTO products p USING orders o ON p.id = o.id WHEN MATCHED THEN UPDATE SET stock = 1",
        "INSERT INTO products SELECT id, 'a', 1 FROM orders WHERE id > 5 ON CONFLICT (id) DO UPDATE SET name = 'x'",
        "WITH d AS (DELETE FROM orders WHERE total > 5 RETURNING *) SELECT count(*) FROM d",
    ]
    for text in (*firm, *weak):
        facts = judged(text, corpus())
        assert facts.bounded and ("weak_limit" in facts.flags) == (text in weak), text
