"""Names to columns: as the server finds them, or not at all."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Predicates
from tests.blastwall.sql.masking.masks import found, masked, refusal


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ssn FROM customers, (SELECT ssn FROM customers) AS q",  # two of that name
        "SELECT customers.ssn FROM customers, audit.customers",
        "SELECT c.nothing FROM customers AS c",
        "SELECT nothing FROM customers",
        "SELECT shop2.public.customers.ssn FROM customers",
        "SELECT a.b.customers.ssn FROM customers",
        "SELECT ctid FROM customers AS a, customers AS b WHERE a.ssn IS NOT NULL",
    ],
)
def test_what_no_name_certainly_means_is_refused(text: str) -> None:
    assert refusal(text) or found(text).facts.effect.value == "unknown"


@pytest.mark.parametrize("name", ["nothing", "c.nothing", "d.ssn"])
def test_a_mistyped_name_is_told_from_what_masking_cannot_follow(name: str) -> None:
    facts = found(f"SELECT {name}, ssn FROM customers AS c").facts
    assert facts.refusal.startswith(name.split(".")[0])
    assert "misnamed" in facts.flags
    assert "misnamed" not in found("SELECT length(ssn) FROM customers").facts.flags


def test_a_name_means_the_nearest_column() -> None:
    # The sub-query's own email is no masked column, so that WHERE computes with nothing masked.
    text = "SELECT id FROM customers WHERE EXISTS (SELECT 1 FROM (SELECT 'x' AS email) AS q WHERE email = 'x')"
    assert not refusal(text)
    assert refusal("SELECT id FROM customers WHERE EXISTS (SELECT 1 FROM orders WHERE email = 'x')")


def test_a_schema_in_front_goes_with_the_relation() -> None:
    upstream = masked("SELECT public.customers.ssn, shop.public.customers.id FROM public.customers")
    assert upstream.startswith("SELECT customers.ssn, customers.id FROM (SELECT ")


def test_a_column_comes_before_a_row_of_its_name() -> None:
    upstream = masked("SELECT c FROM (SELECT ssn AS c FROM customers) AS c")
    assert upstream.startswith("SELECT c FROM (SELECT ssn AS c FROM (SELECT CASE")


def test_columns_of_unknown_items_do_not_hide_what_is_masked() -> None:
    """json_each gives columns that the tables do not hold; email may be one of them or the outer level's."""
    text = "SELECT (SELECT email FROM json_each('{}') LIMIT 1) FROM customers"
    finding = found(text, Predicates.ALLOW)
    outputs = finding.treatment.outputs
    assert finding.facts.refusal or (outputs is not None and outputs[0].masks)
