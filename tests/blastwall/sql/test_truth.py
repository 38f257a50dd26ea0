"""The eight answers, and what a condition's least answer says."""

from __future__ import annotations

import itertools

import pytest

from blastwall.sql.parser import parse
from blastwall.sql.truth import (
    ANY,
    FALSE,
    NULL,
    OPPOSITE,
    TARGET,
    TRUE,
    UNLINKED,
    Term,
    always,
    anybody,
    bit,
    both,
    derived,
    either,
    least,
    linked,
    negated,
    possible,
    shape,
    spread,
    token,
    truth_of,
    wild,
    words,
)
from blastwall.sql.values import ANYTHING, NOW, Pool, Sample, Variable

ROWS = [Sample(index, Pool()) for index in range(100)]


def where(text: str) -> object:
    return parse(f"SELECT 1 WHERE {text}").statements[0].stmt.select_stmt.where_clause


def test_and_or_and_not_are_those_of_sql() -> None:
    known = (FALSE, NULL, TRUE)
    for one, other in itertools.product(known, repeat=2):
        assert both((one, other)) == min(one, other)
        assert either((one, other)) == max(one, other)


def test_what_nobody_knows_never_becomes_evidence() -> None:
    """ANY may be any of the three: whatever is answered must hold for each of them, or be ANY."""
    for one, other in itertools.product((FALSE, NULL, TRUE, ANY), repeat=2):
        for combine in (both, either):
            answer = combine((one, other))
            choices = itertools.product(*((FALSE, NULL, TRUE) if each == ANY else (each,) for each in (one, other)))
            real = {combine(choice) for choice in choices}
            assert answer == ANY or real == {answer}, (combine.__name__, one, other)


def test_de_morgan_holds() -> None:
    for one, other in itertools.product((FALSE, NULL, TRUE, ANY), repeat=2):
        assert OPPOSITE[both((one, other))] == either((OPPOSITE[one], OPPOSITE[other]))


def test_not_matching_is_as_good_as_a_value() -> None:
    """NOT IN another table's keys names certain rows; IN them may name all."""
    assert least([negated(linked("a", 1))], Pool()) <= FALSE
    assert OPPOSITE[UNLINKED] > TRUE


def test_twice_not_is_nothing() -> None:
    for answer, opposite in OPPOSITE.items():
        assert OPPOSITE[opposite] == answer
    for one, other in itertools.product(OPPOSITE, repeat=2):
        assert OPPOSITE[OPPOSITE[both((one, other))]] == both((one, other))
    assert least([negated(negated(linked("a", 1)))], Pool()) == UNLINKED


def test_the_least_answer_is_the_best_evidence() -> None:
    pool = Pool()
    assert least([always(TRUE)], pool) == TRUE
    assert least([always(TRUE), anybody], pool) == ANY
    assert least([bit("a")], pool) == FALSE
    assert least([linked("a", 1)], pool) == UNLINKED
    assert least([linked("a", 2)], pool) == FALSE
    assert least([always(TRUE), negated(always(NULL))], pool) == NULL
    assert least([anybody, always(NULL)], pool) == ANY, "false AND NULL is false, and its opposite true"


def test_what_is_never_true_is_impossible() -> None:
    assert not possible(always(FALSE), Pool())
    assert not possible(always(NULL), Pool())
    assert possible(bit("a"), Pool())
    assert possible(anybody, Pool())


def test_the_same_question_has_the_same_answer_in_a_row() -> None:
    assert all(bit("a")(row) == bit("a")(row) for row in ROWS)
    assert all({bit("a", True)(row), bit("a", False)(row)} == {TRUE, FALSE} for row in ROWS)


def test_a_token_is_one_value_that_no_row_was_made_to_match() -> None:
    term = token("now() - $1")
    assert {term.value(row) for row in ROWS} == {term.value(ROWS[0])}
    assert term.value(ROWS[0]).days < NOW
    assert not term.wild


def test_terms_hand_on_what_they_are_made_of() -> None:
    column = Term("c", lambda row: row.value(Variable("c")), frozenset({TARGET}), plain=True, columns=frozenset({"c"}))
    both = derived("both", [column, wild("x")], lambda row: 1)
    assert both.wild
    assert both.of == {TARGET}
    assert both.columns == {"c"}
    assert not both.plain
    made = spread("md5(c)", [column], 0)
    assert made.guessed
    assert made.plain
    assert made.columns == {"c"}
    assert wild("x").value(ROWS[0]) is ANYTHING


def test_scalars_as_conditions() -> None:
    assert truth_of(Term("t", lambda row: True))(ROWS[0]) == TRUE
    assert truth_of(Term("n", lambda row: None))(ROWS[0]) == NULL
    assert truth_of(Term("s", lambda row: "off"))(ROWS[0]) == FALSE
    assert truth_of(Term("5", lambda row: 5))(ROWS[0]) == ANY
    other = Term("o", lambda row: True, frozenset({"other"}))
    assert truth_of(other)(ROWS[0]) == ANY


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a = 1", "a    =  1", True),
        ("a = 1", "a = 2", False),
        ("f(a)", "f(b)", False),
        ("a LIKE 'x'", "a ILIKE 'x'", False),
        ("EXISTS (SELECT 1)", "EXISTS (SELECT 1)", True),
        ("a AND b", "a OR b", False),
    ],
)
def test_the_shape_of_an_expression_does_not_depend_on_its_place(one: str, other: str, same: bool) -> None:
    assert (shape(where(one)) == shape(where(f"  {other}"))) is same


def test_names_of_keys_and_of_times_that_are_over() -> None:
    assert all(words().is_key(name) for name in ("id", "customer_id", "ID", "uuid"))
    assert not any(words().is_key(name) for name in ("idle", "paid", "stock"))
    assert all(words().is_past(name) for name in ("created_at", "updated_on", "date_joined"))
    assert not any(words().is_past(name) for name in ("expires_at", "due"))
