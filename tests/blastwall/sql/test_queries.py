"""SELECT and what it reads from: FROM items, WITH queries, set operations."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from tests.blastwall.sql.judging import judged

R, W, D, A, U = Effect.READ, Effect.WRITE, Effect.DESTROY, Effect.ADMINISTER, Effect.UNKNOWN
FILE = "pg_read_file('x')"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FROM {} AS f",
        "SELECT 1 FROM orders, LATERAL (SELECT {}) s",
        "SELECT 1 FROM (SELECT {}) s",
        "WITH w AS (SELECT {}) SELECT 1",
        "WITH w AS (SELECT 1) SELECT 1 UNION ALL SELECT length({})",
        "SELECT 1 FROM orders o JOIN customers c ON o.id = c.id AND {} = ''",
        "SELECT 1 FROM ROWS FROM ({}, {}) AS f",
        "SELECT 1 LIMIT length({})",
        "SELECT 1 OFFSET length({})",
        "SELECT DISTINCT ON ({}) 1",
        "SELECT 1 GROUP BY {}",
        "SELECT 1 HAVING {} = ''",
        "SELECT sum(1) OVER w FROM orders WINDOW w AS (ORDER BY {})",
        "VALUES (1), (length({}))",
        "SELECT 1 FROM orders TABLESAMPLE bernoulli (length({}))",
    ],
)
def test_every_part_of_a_query_is_looked_at(text: str) -> None:
    assert judged(text.replace("{}", FILE)).effect is A
    assert judged(text.replace("{}", "lower('x')")).effect is R


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("WITH w AS (SELECT id FROM orders) SELECT w.id FROM w", R),
        ("WITH w AS (SELECT id FROM orders) SELECT w.status FROM w", U),
        ("WITH w(a) AS (SELECT id FROM orders) SELECT w.a FROM w", R),
        ("WITH w AS (SELECT 1), v AS (SELECT * FROM w) SELECT * FROM v", R),
        ("WITH v AS (SELECT * FROM w), w AS (SELECT 1) SELECT * FROM v", U),
        ("WITH w AS (DELETE FROM orders WHERE id = 1 RETURNING id) SELECT w.id FROM w", W),
        ("WITH w AS (DELETE FROM orders RETURNING id) SELECT 1", D),
        ("SELECT s.a FROM (VALUES (1)) s(a)", R),
        ("SELECT s.column1 FROM (VALUES (1)) s", R),
        ("SELECT s.column2 FROM (VALUES (1)) s", U),
        ("SELECT x.b FROM (SELECT id FROM orders) x(b)", R),
        ("SELECT f.wipe FROM generate_series(1, 2) AS f(n)", U),
    ],
)
def test_columns_are_those_of_the_item_that_is_named(text: str, effect: Effect) -> None:
    facts = judged(text)
    assert facts.effect is effect, facts


@pytest.mark.parametrize(
    ("text", "effect", "flag"),
    [
        ("SELECT 1 FROM orders FOR UPDATE", W, "locks_rows"),
        ("SELECT 1 FROM (SELECT 1 FROM orders FOR SHARE) s", W, "locks_rows"),
        ("SELECT 1 FROM pg_class FOR UPDATE", A, "locks_rows"),
        ("SELECT 1 FROM orders", R, None),
    ],
)
def test_locking_rows_is_a_write(text: str, effect: Effect, flag: str | None) -> None:
    facts = judged(text)
    assert facts.effect is effect
    assert ("locks_rows" in facts.flags) is (flag is not None)


def test_a_with_query_stands_before_a_relation_of_its_name() -> None:
    facts = judged("WITH orders AS (SELECT id FROM customers) SELECT id FROM orders")
    assert {str(each) for each in facts.objects} == {"read table public.customers"}
    facts = judged("WITH orders AS (SELECT 1) SELECT id FROM public.orders")
    assert "read table public.orders" in {str(each) for each in facts.objects}


def test_every_arm_of_a_set_operation_is_read() -> None:
    facts = judged("SELECT id FROM orders UNION SELECT id FROM customers EXCEPT SELECT id FROM products")
    assert {each.name for each in facts.objects} == {"public.orders", "public.customers", "public.products"}
