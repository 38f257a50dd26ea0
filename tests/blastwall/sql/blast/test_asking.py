"""What cannot be counted by one harmless question is unknown, and says why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blastwall.blast import Blast
from blastwall.model import Parameter
from tests.blastwall.sql.blast.seeing import Seer

INT4, TEXT = 23, 25


def why(blast: Blast) -> str:
    assert not blast.known
    return " ".join(blast.reasons)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("DELETE FROM goods WHERE random() < 0.5", "calls random"),
        ("DELETE FROM goods WHERE id = nextval('s')", "more than read"),
        ("DELETE FROM goods WHERE pg_sleep(1) IS NULL", "more than read"),
        ("DELETE FROM goods WHERE fickle(id) = 1", "calls fickle"),
        ("DELETE FROM goods WHERE id IN (SELECT id FROM notes TABLESAMPLE system (10))", "samples"),
        ("DELETE FROM goods WHERE CURRENT OF c", "cursor"),
        ("DELETE FROM goods USING makers AS blastwall_start WHERE true", "begins with blastwall_"),
        ("DELETE FROM absent", "not there"),
        ("DELETE FROM pg_temp.goods", "temporary"),
        ("WITH gone AS (DELETE FROM notes RETURNING good) DELETE FROM goods USING gone WHERE id = good", "in a WITH"),
        (f"DELETE FROM goods WHERE name <> '{'x' * 17_000}'", "longer than"),
        (f"DELETE FROM goods WHERE id = {' + '.join(['1'] * 200)}", "nested"),
        ("UPDATE goods SET name = 'x' FROM LATERAL (SELECT clock_timestamp() AS t) AS z", "calls clock_timestamp"),
    ],
)
def test_reasons(seer: Seer, text: str, reason: str) -> None:
    seer.surroundings = replace(seer.surroundings, allowed_functions=frozenset({"public.fickle"}))
    assert reason in why(seer.see(text))


def test_a_function_that_the_owner_lists_is_counted_with_if_it_is_steady(seer: Seer) -> None:
    seer.surroundings = replace(seer.surroundings, allowed_functions=frozenset({"public.doubled"}))
    assert seer.see("DELETE FROM goods WHERE doubled(id) <= 10").rows == 5


def test_the_sessions_own_temporary_tables_are_out_of_sight(seer: Seer) -> None:
    seer.surroundings = replace(seer.surroundings, temp=frozenset({"goods"}))
    assert "temporary" in why(seer.see("DELETE FROM goods"))
    assert seer.see("DELETE FROM public.goods WHERE id = 1").known


def test_values_are_bound_as_they_came(seer: Seer) -> None:
    assert seer.see("DELETE FROM goods WHERE id = $1", Parameter(b"7", type_id=INT4)).rows == 1
    assert seer.see("DELETE FROM goods WHERE id < $1", Parameter((8).to_bytes(4, "big"), True, INT4)).rows == 7
    assert seer.see("DELETE FROM goods WHERE id < $1", Parameter(b"8")).rows == 7
    assert seer.see("DELETE FROM goods WHERE name = $1", Parameter(None, type_id=TEXT)).rows == 0
    hostile = Parameter(b"' OR true --", type_id=TEXT)
    assert seer.see("DELETE FROM goods WHERE name = $1", hostile).rows == 0


def test_values_that_the_question_has_no_use_for_are_left_out(seer: Seer) -> None:
    blast = seer.see("UPDATE goods SET name = $1 WHERE id = $2", Parameter(b"new"), Parameter(b"7"))
    assert (blast.rows, blast.known) == (1, True)
    assert [each.value for each in seer.asked[-1].parameters] == [b"7"]
    assert "$1" in seer.asked[-1].text and "$2" not in seer.asked[-1].text


def test_a_value_whose_type_another_place_may_decide_is_not_guessed(seer: Seer) -> None:
    text = "UPDATE goods SET name = $1 WHERE name = $1"
    assert "several places" in why(seer.see(text, Parameter(b"good 7")))
    assert seer.see(text, Parameter(b"good 7", type_id=TEXT)).rows == 1
    assert "no value" in why(seer.see("DELETE FROM goods WHERE id = $2", Parameter(b"7")))


def test_uncommitted_changes_of_the_session_make_it_unknown_and_the_number_is_still_told(seer: Seer) -> None:
    blast = seer.see("DELETE FROM goods WHERE id < 4", changed=True)
    assert "no other connection sees" in why(blast)
    assert blast.rows == 3


def test_questions_about_a_statement_run_under_its_own_search_path_and_ours_do_not(seer: Seer) -> None:
    seer.see("DELETE FROM goods WHERE id = 1")
    assert [each.own for each in seer.asked] == [True, False]


def test_long_lists_are_flat_and_counted(seer: Seer) -> None:
    numbers = ", ".join(str(number) for number in range(2000))
    assert seer.see(f"DELETE FROM goods WHERE id IN ({numbers})").rows == 100
    rows = ", ".join(f"({number}, 'maker')" for number in range(1000, 6000))
    assert seer.see(f"INSERT INTO makers VALUES {rows}").rows == 5000
