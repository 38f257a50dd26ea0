"""Expressions: every class of node either passes a use on or refuses the statement."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Predicates
from tests.blastwall.sql.masking.masks import found, refusal

COMPUTING = [
    "ssn || 'x'", "ssn COLLATE \"C\"", "coalesce(ssn, '')", "nullif(ssn, '')", "ssn::varchar", "ARRAY[ssn]", "ROW(ssn, 1)",
    "greatest(ssn, 'a')", "CASE WHEN true THEN ssn END", "CASE ssn WHEN 'a' THEN 1 END", "ssn IS NULL", "ssn = ANY ('{}')",
    "(ARRAY[ssn])[1]", "xmlelement(name a, ssn)", "xmlforest(ssn)", "json_build_object('a', ssn)", "profile -> 'ssn'",
    "profile['ssn']", "min(ssn)", "string_agg('x', ',' ORDER BY ssn)", "mode() WITHIN GROUP (ORDER BY ssn)",
    "count(DISTINCT ssn)", "lag(ssn) OVER (ORDER BY id)", "ARRAY(SELECT ssn)", "'x' IN (SELECT ssn)", "ssn IN (SELECT 'x')",
    "(SELECT upper(ssn))", "EXISTS (SELECT 1 WHERE ssn = 'x')", "JSON_OBJECT('a': ssn)", "JSON_ARRAY(ssn)", "ssn BETWEEN 'a' AND 'b'",
    "ssn SIMILAR TO 'a'", "ssn IS DISTINCT FROM 'a'", "substring(ssn FROM 1 FOR 1)", "position('1' IN ssn)",
]  # fmt: skip


@pytest.mark.parametrize("expression", COMPUTING)
def test_whatever_computes_is_a_use(expression: str) -> None:
    text = f"SELECT {expression} FROM customers"
    assert "masked column" in refusal(text)
    outputs = found(text, Predicates.ALLOW).treatment.outputs or ()
    assert refusal(text, Predicates.ALLOW) or all(each.sink is None for each in outputs)


PASSING = ["ssn", "(ssn)", "(SELECT ssn)", "(SELECT (SELECT ssn))", "count(ssn)", "EXISTS (SELECT ssn)"]


@pytest.mark.parametrize("expression", PASSING)
def test_what_passes_it_on_is_none(expression: str) -> None:
    assert not refusal(f"SELECT {expression} FROM customers")


def test_a_node_of_no_list_is_refused_beside_masks() -> None:
    text = "SELECT XMLSERIALIZE(content '<a/>'::xml AS text), ssn FROM customers"
    assert not refusal(text)
    assert "does not follow" in refusal("SELECT (NULL::customers).*, ssn FROM customers") or refusal(
        "SELECT (NULL::customers).*, ssn FROM customers"
    )


def test_a_deep_expression_is_followed_without_recursion() -> None:
    deep = " || ".join(["name"] * 400)
    assert not refusal(f"SELECT {deep}, ssn FROM customers")
    assert refusal(f"SELECT {deep} || ssn FROM customers")
