"""Which FROM items a condition limits: a limit on one that nothing ties to the target's is none."""

from __future__ import annotations

import pytest

from tests.blastwall.sql.judging import judged


@pytest.mark.parametrize(
    ("tail", "bounded"),
    [
        ("USING customers c WHERE o.customer_id = c.id AND c.name = 'x'", True),
        ("USING customers c, products p WHERE o.customer_id = c.id AND p.id = 5", False),
        ("USING customers c, products p WHERE o.customer_id = c.id AND p.id = c.id AND p.name = 'x'", True),
        ("USING customers c JOIN products p ON p.id = c.id WHERE o.customer_id = c.id AND p.name = 'x'", True),
        ("USING customers c JOIN products p USING (id) WHERE o.customer_id = c.id AND p.name = 'x'", True),
        ("USING customers c JOIN products p ON p.id = 5 WHERE o.customer_id = c.id", False),
        ("USING customers c LEFT JOIN products p ON p.id = c.id AND c.name = 'x' WHERE o.customer_id = c.id", False),
        ("USING products p RIGHT JOIN customers c ON c.name = 'x' WHERE o.customer_id = c.id", False),
        ("USING products p FULL JOIN customers c ON c.name = 'x' WHERE o.customer_id = c.id", False),
        ("USING customers c, products p WHERE o.customer_id = c.id AND o.id = p.id AND (c.id = 1 OR p.id = 2)", True),
        ("USING customers c, products p WHERE o.customer_id = c.id AND (c.id = 1 OR p.id = 2)", False),
        ("USING customers c, customers d WHERE o.customer_id = c.id AND o.customer_id = d.id AND c.id = d.id", False),
        ("USING customers c, customers d WHERE o.customer_id = c.id AND c.id = d.id AND c.id <= d.id", False),
        ("USING orders p WHERE o.id = p.id AND p.status = 'x'", True),
        ("USING orders p WHERE o.id = p.id", False),
        ("USING orders p WHERE o.id = p.id AND EXISTS (SELECT 1 FROM orders q WHERE q.id = p.id)", False),
        ("USING orders p WHERE o.id = p.id AND p.id IN (SELECT id FROM orders)", False),
        ("USING orders p WHERE o.id = p.id AND p.id IN (SELECT id FROM products WHERE name = 'x')", True),
        ("USING customers c WHERE o.customer_id = c.id AND EXISTS (SELECT 1 FROM products WHERE id = 5)", False),
        ("USING unnest(ARRAY(SELECT id FROM orders)) AS u(id) WHERE u.id = o.id", False),
        ("USING unnest($1::int[]) AS u(id) WHERE u.id = o.id", True),
        ("USING orders p WHERE (o.id, 1) = (p.id, 1) AND p.status = 'x'", True),
    ],
)
def test_a_limit_carries_over_equalities_only(tail: str, bounded: bool) -> None:
    assert judged(f"DELETE FROM orders o {tail}").bounded is bounded


@pytest.mark.parametrize(
    ("query", "bounded"),
    [
        ("SELECT a.id FROM orders a, orders b WHERE a.id = b.id", False),
        ("SELECT a.id FROM orders a, orders b WHERE a.id = b.id AND b.status = 'x'", True),
        ("SELECT a.id FROM orders a, products p WHERE p.id = 1", False),
        ("SELECT p.id FROM orders a, products p WHERE p.id = 1", True),
        ("SELECT a.id FROM orders a, products p WHERE p.id <> a.id", False),
        ("SELECT a.id FROM orders a JOIN customers c ON lower(c.name) = lower(a.status) WHERE c.id = 5", True),
        ("SELECT a.id FROM orders a LEFT JOIN customers c ON c.id = a.customer_id WHERE c.id IS NULL", True),
        ("SELECT a.id FROM orders a LEFT JOIN products p ON p.id = a.id AND p.id = 1", False),
        ("SELECT generate_series(1, 100000) FROM customers WHERE id = 1", False),
        ("SELECT unnest((SELECT array_agg(id) FROM orders)) FROM customers WHERE id = 1", False),
        ("SELECT g FROM customers c, generate_series(1, 100000) g WHERE c.id = 1", False),
        ("SELECT x FROM unnest($1::int[]) AS x", True),
        ("SELECT unnest(string_to_array(repeat('1,', 100000), ',')::int[])", False),
    ],
)
def test_a_sub_query_is_limited_where_its_result_comes_from(query: str, bounded: bool) -> None:
    assert judged(f"DELETE FROM orders WHERE id IN ({query})").bounded is bounded


@pytest.mark.parametrize(
    ("query", "bounded"),
    [
        ("SELECT 1 FROM orders a, orders b WHERE a.id = orders.id AND a.id = b.id", False),
        ("SELECT 1 FROM orders a, products p WHERE a.id = orders.id AND p.id = 1", False),
        ("SELECT 1 FROM orders a LEFT JOIN products p ON p.id = 1 WHERE a.id = orders.id", False),
        ("SELECT 1 FROM orders a LEFT JOIN products p ON a.status = 'x' WHERE a.id = orders.id", False),
        ("SELECT 1 FROM orders a JOIN products p ON p.id = a.id WHERE a.id = orders.id AND p.name = 'x'", True),
        ("SELECT 1 FROM customers c, products p WHERE c.id = orders.customer_id AND p.id = c.id AND p.id = 1", True),
    ],
)
def test_what_is_looked_for_must_be_tied_to_the_row(query: str, bounded: bool) -> None:
    assert judged(f"DELETE FROM orders WHERE EXISTS ({query})").bounded is bounded


def test_many_items_are_tied_in_reasonable_time() -> None:
    items = ", ".join(f"products p{number}" for number in range(150))
    ties = " AND ".join(f"p{number}.id = p{number + 1}.id" for number in range(149))
    text = f"DELETE FROM orders o USING {items} WHERE o.id = p0.id AND {ties}"
    assert not judged(text).bounded
    assert judged(f"{text} AND p149.name = 'x'").bounded
