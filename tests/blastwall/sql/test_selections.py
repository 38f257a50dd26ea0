"""Sub-queries in predicates: whether the rows they select limit anything."""

from __future__ import annotations

import pytest

from tests.blastwall.sql.judging import INT4, column, judged, shop, table


@pytest.mark.parametrize(
    ("condition", "bounded"),
    [
        ("customer_id IN (SELECT id FROM customers WHERE id = 7)", True),
        ("customer_id IN (SELECT id FROM customers)", False),
        ("id IN (SELECT id FROM orders)", False),
        ("id IN (SELECT id FROM orders WHERE id = id)", False),
        ("id IN (SELECT id FROM orders LIMIT 10)", True),
        ("id IN (SELECT id FROM orders LIMIT 100000000)", False),
        ("id IN (VALUES (1), (2))", True),
        ("id IN (SELECT 5)", True),
        ("id IN (SELECT generate_series(1, 1000000))", False),
        ("id IN (SELECT 5 UNION SELECT c.id FROM customers c)", False),
        ("id IN (SELECT 5 INTERSECT SELECT c.id FROM customers c)", True),
        ("id IN (SELECT id FROM (SELECT id FROM orders WHERE id = 5) s)", True),
        ("id IN (WITH w AS (SELECT id FROM orders) SELECT id FROM w)", False),
        ("id IN (SELECT o.id FROM orders o WHERE o.id = orders.id)", False),
        ("id NOT IN (SELECT id FROM orders WHERE false)", False),
        ("id <> ALL (SELECT id FROM customers WHERE id = 7)", True),
        ("EXISTS (SELECT 1)", False),
        ("EXISTS (SELECT count(*) FROM customers WHERE id = 7)", False),
        ("EXISTS (SELECT 1 FROM customers c WHERE c.id = customer_id AND c.id = 7)", True),
        ("EXISTS (SELECT 1 FROM customers c WHERE c.id = customer_id)", False),
        ("EXISTS (SELECT 1 FROM customers c WHERE c.id = 7)", False),
        ("NOT EXISTS (SELECT 1 FROM customers WHERE false)", False),
        ("id = (SELECT max(id) FROM customers)", True),
        ("id = (SELECT id)", False),
        ("NOT EXISTS (SELECT 1 FROM customers c WHERE c.id = customer_id)", True),
        ("NOT EXISTS (SELECT 1 FROM customers c WHERE c.id = customer_id AND c.balance > 0)", True),
        ("NOT EXISTS (SELECT 1 FROM customers c WHERE c.id = customer_id AND c.id < 0)", False),
        ("NOT EXISTS (SELECT 1 FROM customers c WHERE c.balance > 0)", False),
        ("NOT EXISTS (SELECT 1 FROM customers c WHERE c.balance > 0 AND orders.id = orders.id)", False),
        ("id = (SELECT id FROM orders WHERE status = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)", True),
        ("id >= (SELECT id FROM orders WHERE status = 'new' ORDER BY id LIMIT 1)", False),
        ("id = (SELECT o.id FROM orders o WHERE o.id = orders.id)", False),
        ("id = ANY (ARRAY(SELECT id FROM orders WHERE status = 'new' LIMIT 100))", True),
        ("id = ANY (ARRAY(SELECT id FROM orders))", False),
        ("id = ANY (ARRAY(SELECT o.id FROM orders o WHERE o.id = orders.id))", False),
        ("id IN (SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE name = 'x'))", True),
        ("id IN (SELECT id FROM orders WHERE customer_id IN (SELECT customer_id FROM orders))", False),
        ("id = (SELECT id FROM (SELECT id) y)", False),
        ("id IN (SELECT id FROM (SELECT id) y)", False),
        ("id = (WITH y AS (SELECT id) SELECT id FROM y)", False),
        ("id IN (SELECT id FROM (VALUES (id)) y (id))", False),
        ("NOT NOT EXISTS (SELECT 1 FROM customers c WHERE c.id = customer_id)", False),
        ("NOT (customer_id NOT IN (SELECT id FROM customers))", False),
        ("EXISTS (SELECT 1 FROM customers c WHERE c.id = customer_id) IS NOT FALSE", False),
        ("CASE WHEN NOT EXISTS (SELECT FROM customers c WHERE c.id = customer_id) THEN false ELSE true END", False),
        (
            "EXISTS (SELECT 1 FROM orders o WHERE o.id = orders.id AND o.status = orders.status AND o.total = orders.total"
            " AND o.customer_id = orders.customer_id AND o.created_at = orders.created_at)",
            False,
        ),
        ("id = (SELECT 5)", True),
    ],
)
def test_a_deletion_is_limited_by_rows_that_are_limited_themselves(condition: str, bounded: bool) -> None:
    assert judged(f"DELETE FROM orders WHERE {condition}").bounded is bounded


@pytest.mark.parametrize(
    ("condition", "bounded"),
    [
        ("customer_id IN (SELECT id FROM customers)", True),
        ("id IN (SELECT id FROM orders)", False),
        ("id IN (WITH w AS (SELECT id FROM orders) SELECT id FROM w)", False),
    ],
)
def test_an_update_is_linked_by_rows_of_other_relations(condition: str, bounded: bool) -> None:
    facts = judged(f"UPDATE orders SET total = 0 WHERE {condition}")
    assert facts.bounded is bounded
    assert ("joined_only" in facts.flags) is bounded


def test_the_same_text_is_judged_the_same_each_time() -> None:
    """Keys of samples must not depend on where objects lie in memory."""
    inside = "SELECT 1 FROM customers a, customers b WHERE a.id = orders.customer_id AND b.balance = a.balance"
    kept, found = [], set()
    for number in range(200):
        kept.append("x" * number)  # moves what is allocated next
        found.add(judged(f"DELETE FROM orders WHERE EXISTS ({inside})").bounded)
    assert found == {False}


@pytest.mark.parametrize(("view", "bounded"), [("v_customers", False), ("orders", True)])
def test_a_view_on_the_target_says_nothing_about_it(view: str, bounded: bool) -> None:
    assert judged(f"UPDATE customers SET name = 'x' WHERE id IN (SELECT id FROM {view})").bounded is bounded


def test_what_a_relation_is_a_part_of_and_views_on_views_say_nothing_about_it() -> None:
    part, whole = (
        table(20011, "part", column(1, "id", INT4, "int4")),
        table(20010, "whole", column(1, "id", INT4, "int4")),
    )
    one = table(20012, "one", column(1, "id", INT4, "int4"), kind="v", reads=((20010, 1),))
    two = table(20013, "two", column(1, "id", INT4, "int4"), kind="v", reads=((20012, 1),))
    family = shop(relations=(whole, part, one, two), inherits=((20010, 20011),))
    for name in ("whole", "one", "two"):
        assert not judged(f"UPDATE part SET id = 1 WHERE id IN (SELECT id FROM {name})", family).bounded, name
        assert not judged(f"UPDATE part SET id = 1 FROM {name} w WHERE w.id = part.id", family).bounded, name
    assert judged("UPDATE whole SET id = 1 WHERE id IN (SELECT id FROM part)", family).bounded
