"""Columns of sub-queries and WITH queries: what they are made of decides whether a condition on them limits anything."""

from __future__ import annotations

import pytest

from tests.blastwall.sql.judging import judged


@pytest.mark.parametrize(
    ("within", "condition", "bounded"),
    [
        ("SELECT id, 1 AS one FROM orders", "one = 1", False),
        ("SELECT id, true AS ok FROM orders", "ok", False),
        ("SELECT * FROM (SELECT id, 1 AS one FROM orders) y", "one = 1", False),
        ("SELECT y.* FROM (SELECT id, 1 AS one FROM orders) y", "one = 1", False),
        ("SELECT id, 1 FROM orders UNION ALL SELECT 5, 1", '"?column?" = 1', False),
        ("SELECT id, id AS b FROM orders", "t.id = t.b", False),
        ("SELECT id, coalesce(id, 0) AS b FROM orders", "b >= 0", False),
        ("SELECT id, row_number() OVER () AS rn FROM orders", "rn > 0", False),
        ("SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY id) AS rn FROM orders", "rn > 1", True),
        ("SELECT id, count(*) AS n FROM orders GROUP BY id", "n >= 1", False),
        ("SELECT customer_id AS id, count(*) AS n FROM orders GROUP BY customer_id", "n > 5", True),
        ("SELECT id, id AS key FROM orders", "key > 0", False),
        ("SELECT id, id AS anything FROM orders", "anything > 0", False),
        ("SELECT id, created_at AS moment FROM orders", "moment < now()", False),
        ("SELECT id, created_at AS moment FROM orders", "moment < now() - interval '1 year'", True),
        ("SELECT * FROM orders", "t.status = 'x'", True),
        ("SELECT id, status FROM orders UNION ALL SELECT id, name FROM products", "t.status = 'x'", True),
    ],
)
def test_a_column_is_what_it_is_made_of(within: str, condition: str, bounded: bool) -> None:
    texts = (
        f"DELETE FROM orders WHERE id IN (SELECT id FROM ({within}) t WHERE {condition})",
        f"WITH t AS ({within}) DELETE FROM orders WHERE id IN (SELECT id FROM t WHERE {condition})",
        f"WITH t AS ({within}) DELETE FROM orders USING t WHERE t.id = orders.id AND {condition}",
    )
    for text in texts:
        assert judged(text).bounded is bounded, text


@pytest.mark.parametrize(
    ("using", "bounded"),
    [
        ("(SELECT $1::int AS id, $2::text AS name) v", True),
        ("(VALUES (1, 'a')) AS v(id, name)", True),
        ("(SELECT (x->>'id')::int AS id, x->>'name' AS name FROM jsonb_array_elements($1::jsonb) x) v", True),
        ("(SELECT id, name FROM products) v", False),
    ],
)
def test_rows_that_are_spelled_out_limit_a_merge(using: str, bounded: bool) -> None:
    text = f"MERGE INTO products p USING {using} ON p.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name"
    assert judged(text).bounded is bounded


def test_a_query_is_read_in_its_own_scope() -> None:
    hidden = "WITH orders AS (SELECT 5 AS id) SELECT id FROM a"
    text = f"DELETE FROM orders WHERE id IN (WITH a AS (SELECT id FROM orders) SELECT id FROM ({hidden}) z)"
    assert not judged(text).bounded


@pytest.mark.parametrize(
    ("recursive", "bounded"),
    [
        ("SELECT 1 AS id UNION ALL SELECT id + 1 FROM t WHERE id < 100000", False),
        ("SELECT id FROM orders WHERE id = 5 UNION ALL SELECT c.id FROM orders c JOIN t ON c.customer_id = t.id", True),
        ("SELECT id FROM orders UNION ALL SELECT c.id FROM orders c JOIN t ON c.customer_id = t.id", False),
    ],
)
def test_a_recursion_is_limited_where_it_begins(recursive: str, bounded: bool) -> None:
    text = f"DELETE FROM orders WHERE id IN (WITH RECURSIVE t AS ({recursive}) SELECT id FROM t)"
    assert judged(text).bounded is bounded
