"""Conditions on raw values: what moves inside the sub-select, what may not, and that each guess is counted."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Predicates
from tests.blastwall.sql.masking.masks import found, masked, refusal

EQUALITY, ALLOW = Predicates.EQUALITY, Predicates.ALLOW


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("SELECT id FROM customers WHERE ssn = '1'", "FROM public.customers WHERE customers.ssn = '1')"),
        (
            "SELECT id FROM customers WHERE $1 = ssn AND id > 3",
            "WHERE $1 = customers.ssn) customers WHERE true AND id > 3",
        ),
        ("SELECT id FROM customers c (id, n, e, s) WHERE c.s = '1'::text", "WHERE customers.ssn = '1'::text) c"),
        ("SELECT 1 FROM orders o LEFT JOIN customers c ON c.ssn = '1' AND c.id = o.id", "WHERE customers.ssn = '1') c"),
        ("SELECT 1 FROM orders o JOIN customers c USING (id) WHERE ssn = '1'", "WHERE customers.ssn = '1') c"),
        ("SELECT 1 FROM v_customers WHERE x = '1'", "FROM public.v_customers WHERE v_customers.x = '1')"),
    ],
)
def test_equality_moves_inside(text: str, inside: str) -> None:
    assert inside in masked(text, EQUALITY)
    facts = found(text, EQUALITY).facts
    assert facts.filters_masked and "compares_masked" in facts.flags


@pytest.mark.parametrize(
    "condition",
    [
        "ssn = '1' OR id = 3",
        "ssn IN ('1', '2')",
        "ssn <> '1'",
        "ssn = name",
        "ssn = email",
        "lower(ssn) = '1'",
        "NOT ssn = '1'",
        "ssn = (SELECT '1')",
        "ssn = ANY ($1)",
        "ssn LIKE '1'",
        "(ssn, id) = ('1', 2)",
        "ssn = '1' AND ssn = '2'",
    ],
)
def test_whatever_is_more_than_one_equality_is_refused(condition: str) -> None:
    assert "public.customers.ssn" in refusal(f"SELECT id FROM customers WHERE {condition}", EQUALITY)


def test_many_guesses_in_one_statement_are_refused() -> None:
    arm = "SELECT id FROM customers WHERE ssn = '{}'"
    assert "more than once" in refusal(f"{arm.format(1)} UNION ALL {arm.format(2)}", EQUALITY)
    assert not refusal("SELECT id FROM customers WHERE ssn = '1' AND email = '2'", EQUALITY)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FROM orders o LEFT JOIN customers c ON c.id = o.id WHERE c.ssn = '1'",  # WHERE removes rows, this would not
        "SELECT 1 FROM customers c LEFT JOIN orders o ON c.ssn = '1'",
        "SELECT 1 FROM customers c FULL JOIN orders o ON c.ssn = '1'",
        "SELECT 1 FROM (SELECT * FROM customers) AS q WHERE q.ssn = '1'",
        "SELECT 1 FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE c.ssn = '1')",
        "SELECT count(*) FROM customers GROUP BY id HAVING max(ssn) = '1'",
        "SELECT CASE WHEN ssn = '1' THEN 1 END FROM customers",
    ],
)
def test_a_condition_that_cannot_move_is_refused(text: str) -> None:
    assert refusal(text, EQUALITY)


@pytest.mark.parametrize(
    "condition",
    ["ssn LIKE '1%'", "lower(ssn) = name", "ssn IN ('1', '2') OR id = 3", "ssn IS NULL", "left(ssn, 1) > $1"],
)
def test_allow_tests_what_is_listed(condition: str) -> None:
    upstream = masked(f"SELECT id FROM customers WHERE ({condition}) AND id > 0", ALLOW)
    assert "WHERE true AND id > 0" in upstream and "customers.ssn" in upstream


@pytest.mark.parametrize(
    "condition",
    [
        "pg_notify('c', ssn) IS NULL",
        "ssn = (SELECT 1)::text",
        "ssn::evil_domain = '1'",
        "ssn ### 'x' = 'y'",
        "lpad(ssn, 9) ~ o.status",
    ],
)
def test_allow_tests_nothing_else(condition: str) -> None:
    facts = found(f"SELECT 1 FROM customers, orders o WHERE {condition}", ALLOW).facts
    assert facts.refusal or facts.effect.value in ("unknown", "administer", "write")


def test_targets_keep_their_conditions() -> None:
    assert masked("DELETE FROM customers WHERE ssn = '1'", EQUALITY).endswith("WHERE ssn = '1'")
    assert refusal("DELETE FROM customers WHERE ssn = '1'")
    assert refusal("UPDATE customers SET name = 'x' WHERE ssn LIKE '1%'", EQUALITY)
    assert found("DELETE FROM customers WHERE ssn = $2", EQUALITY).treatment.parameters == {2}
