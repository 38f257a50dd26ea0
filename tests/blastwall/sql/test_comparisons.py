"""Comparisons between a column and something else: what each operator says about a row."""

from __future__ import annotations

import pytest

from tests.blastwall.sql.judging import judged


def bounded(condition: str) -> bool:
    return judged(f"DELETE FROM orders WHERE {condition}").bounded


@pytest.mark.parametrize(
    ("limits", "does_not"),
    [
        ("id < 100", "id < 100 OR id >= 100"),
        ("id <> 5 AND id < 9", "id <> id + 1"),
        ("id BETWEEN 5 AND 9", "id BETWEEN -2147483648 AND 2147483647"),
        ("id NOT BETWEEN 5 AND 900", "id NOT BETWEEN 9 AND 5"),
        ("id BETWEEN SYMMETRIC 9 AND 5", "id BETWEEN SYMMETRIC id AND 5 OR id > 0"),
        ("id IN (1, 2, 3)", "id IN (id, 2)"),
        ("id NOT IN (1)", "id NOT IN (-1)"),
        ("id = ANY ('{1,2}')", "id <> ANY ('{1,2}')"),
        ("id = ANY ($1)", "id <> ANY ($1)"),
        ("id <> ALL ('{1,2}')", "id <> ALL ('{}')"),
        ("status LIKE 'a_'", "status LIKE '%%'"),
        ("status NOT LIKE 'a%'", "status NOT LIKE ''  OR status LIKE ''"),
        ("status ILIKE 'NEW'", "status ILIKE '%'"),
        ("status SIMILAR TO '(a|b)'", "status SIMILAR TO '%'"),
        ("status ~ '^new'", "status ~ '.*'"),
        ("status !~ '^new'", "status ~ ''"),
        ("id IS DISTINCT FROM 5", "id IS DISTINCT FROM NULL"),
        ("id IS NOT DISTINCT FROM 5", "id IS NOT DISTINCT FROM id"),
        ("(id, status) = (5, 'new')", "(id, status) = (id, status)"),
        ("(id = 5) = true", "(id = id) = true"),
        ("id = customer_id", "1 = 1"),
    ],
)
def test_an_operator_limits_unless_every_row_passes(limits: str, does_not: str) -> None:
    assert bounded(limits)
    assert not bounded(does_not)


@pytest.mark.parametrize(
    "condition", ["current_user = 'x'", "1 < $1", "$1 = $2", "'a' LIKE $1", "status LIKE status", "id = random()"]
)
def test_whoever_wrote_it_may_know_the_answer(condition: str) -> None:
    assert not bounded(condition)


def test_a_list_too_long_to_look_at_limits_nothing() -> None:
    members = ", ".join(str(number) for number in range(10_001))
    assert not bounded(f"id IN ({members})")


@pytest.mark.parametrize(
    ("limits", "does_not"),
    [
        ("customer_id = ANY ((SELECT array_agg(id) FROM customers WHERE name = 'x')::int[])", "customer_id = ANY ((SELECT array_agg(id) FROM customers)::int[])"),
        ("customer_id = ANY (ARRAY(SELECT id FROM customers WHERE name = 'x'))", "customer_id = ANY (ARRAY(SELECT id FROM customers))"),
        ("status = ANY (string_to_array($1, ','))", "status = ANY (string_to_array((SELECT string_agg(name, ',') FROM customers), ','))"),
        ("customer_id = ANY (ARRAY[(SELECT 5), 6])", "customer_id = ANY (ARRAY[1] || ARRAY(SELECT id FROM customers))"),
        ("id <@ (SELECT int4range(id, id + 5) FROM customers WHERE id = 5)", "id <@ (SELECT int4range(min(id), max(id)) FROM customers)"),
        ("ARRAY[id] <@ ARRAY[1, 2]", "(SELECT array_agg(id) FROM customers) @> ARRAY[id]"),
        ("status LIKE (SELECT name FROM customers WHERE id = 5)", "status LIKE (SELECT min(name) FROM customers)"),
        ("status ~ (SELECT name FROM customers WHERE id = 5)", "status ~ (SELECT string_agg(name, '|') FROM customers)"),
    ],
)  # fmt: skip
def test_an_array_of_other_rows_limits_as_these_are_limited(limits: str, does_not: str) -> None:
    assert bounded(limits) and not bounded(does_not)
