"""Columns as the database describes them, held against what was judged."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import UNTOUCHED, Mask, Output, Plan, Predicates, Strategy, Treatment
from blastwall.protocols.postgres.brief import UNTOUCHED_BRIEF, Brief
from blastwall.protocols.postgres.layout import (
    CONCEAL,
    PASS,
    SEARCH,
    SEARCH_DOCUMENT,
    SINK,
    Disagreement,
    columns,
    formatted,
)
from blastwall.protocols.postgres.replies import Field

SSN = Mask("public.customers.ssn", Strategy.REDACT, Predicates.DENY, "'***'", "masking.yaml:1", 25)
EMAIL = Mask("public.customers.email", Strategy.HASH, Predicates.DENY, "'***'", "masking.yaml:2", 25)
CUSTOMERS, ORDERS = 1000, 2000
PLAN = Plan({CUSTOMERS: {2: SSN, 3: EMAIL}})


def field(table: int, column: int, type_id: int = 25, format: int = 0) -> Field:
    return Field("c", table, column, type_id, -1, -1, format)


def brief(*outputs: Output, explain: bool = False) -> Brief:
    return Brief(Treatment(True, outputs), explain)


def actions(given: Brief, *fields: Field) -> list[int]:
    return [column.action for column in columns(given, fields, PLAN)]


ID = Output("id", origin=(CUSTOMERS, 1))
MASKED = Output("ssn", masks=(SSN,), origin=(0, 0))
RAW = Output("email", sink=EMAIL, origin=(CUSTOMERS, 3))


def test_what_agrees_is_treated() -> None:
    fields = (field(CUSTOMERS, 1, 23), field(0, 0), field(CUSTOMERS, 3, format=1))
    made = columns(brief(ID, MASKED, RAW), fields, PLAN)
    assert [column.action for column in made] == [PASS, SEARCH, SINK]
    assert (made[2].mask, made[2].binary, made[2].type_id) == (EMAIL, True, 25)


def test_a_union_all_of_a_column_is_masked_where_both_say_that_it_comes_from_no_table() -> None:
    united = Output("email", sink=EMAIL, origin=(0, 0))
    assert actions(brief(united), field(0, 0)) == [SINK]
    for other in (field(CUSTOMERS, 2), field(CUSTOMERS, 3), field(0, 0, 1700)):
        with pytest.raises(Disagreement):
            columns(brief(united), (other,), PLAN)


@pytest.mark.parametrize(
    ("outputs", "fields"),
    [
        ((ID,), ()),
        ((ID,), (field(CUSTOMERS, 1), field(CUSTOMERS, 4))),
        ((ID,), (field(ORDERS, 1),)),  # a swapped table
        ((ID,), (field(0, 0),)),
        ((MASKED,), (field(CUSTOMERS, 2),)),  # the rewrite did not happen
        ((Output("x"),), (field(CUSTOMERS, 2),)),
        ((Output("x"),), (field(CUSTOMERS, 3),)),
        ((Output("x"),), (field(CUSTOMERS, 0),)),  # whole rows
        ((Output("email", sink=EMAIL),), (field(0, 0),)),  # raw, and computed with
        ((Output("email", sink=EMAIL),), (field(CUSTOMERS, 2),)),
        ((RAW,), (field(CUSTOMERS, 3, 1700),)),
    ],
)
def test_what_disagrees_is_refused(outputs: tuple[Output, ...], fields: tuple[Field, ...]) -> None:
    with pytest.raises(Disagreement):
        columns(brief(*outputs), fields, PLAN)


def test_an_untouched_statement_that_returns_a_masked_column_is_refused_too() -> None:
    for given in (UNTOUCHED_BRIEF, Brief(UNTOUCHED)):
        with pytest.raises(Disagreement, match=r"public\.customers\.ssn"):
            columns(given, (field(CUSTOMERS, 2),), PLAN)
        assert actions(given, field(CUSTOMERS, 1), field(CUSTOMERS, -1), field(ORDERS, 2)) == [SEARCH] * 3


def test_types_that_are_not_looked_into() -> None:
    types = {23: PASS, 1700: PASS, 2950: PASS, 1184: PASS, 1007: PASS, 25: SEARCH, 17: SEARCH, 114: SEARCH_DOCUMENT}
    types |= {3802: SEARCH_DOCUMENT, 1009: SEARCH, 2249: SEARCH, 16500: SEARCH, 705: SEARCH}
    assert {oid: actions(UNTOUCHED_BRIEF, field(0, 0, oid))[0] for oid in types} == types


def test_plans_are_concealed() -> None:
    explain = brief(Output("QUERY PLAN", origin=(0, 0)), explain=True)
    made = columns(explain, (field(0, 0),), PLAN)
    assert made[0].action == CONCEAL
    assert made[0].telling is not None
    assert made[0].telling.search(b"(email = 1)")
    with pytest.raises(Disagreement, match="plan"):
        actions(explain, field(CUSTOMERS, 2))
    assert actions(Brief(UNTOUCHED, True), field(0, 0)) == [SEARCH]


def test_formats_are_none_one_or_each() -> None:
    fields = (field(1, 1), field(1, 2))
    for formats, wanted in (((), [0, 0]), ((1,), [1, 1]), ((0, 1), [0, 1])):
        assert [each.format for each in formatted(fields, formats)] == wanted


def test_what_a_rule_shows_is_not_looked_into() -> None:
    plan = Plan({CUSTOMERS: {2: SSN}}, shown=frozenset({(CUSTOMERS, 3), (CUSTOMERS, 2)}))
    made = columns(UNTOUCHED_BRIEF, (field(CUSTOMERS, 3), field(CUSTOMERS, 1), field(0, 0), field(ORDERS, 3)), plan)
    assert [column.action for column in made] == [PASS, SEARCH, SEARCH, SEARCH]
    with pytest.raises(Disagreement, match="ssn"):  # a mask is a mask
        columns(UNTOUCHED_BRIEF, (field(CUSTOMERS, 2),), plan)
