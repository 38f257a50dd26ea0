"""Texts of one statement or more: what needs a look, and what the looks make together."""

from __future__ import annotations

import pytest

from blastwall.blast import NOTHING
from blastwall.sql.blast import Situation, needs_asking
from blastwall.sql.blast.foreseeing import SEVERAL
from blastwall.sql.parser import parse
from blastwall.sql.surroundings import Surroundings
from tests.blastwall.sql.blast.seeing import Seer

LIGHT = [
    "SELECT * FROM goods", "BEGIN", "SET timezone = 'UTC'", "PREPARE p AS DELETE FROM goods", "EXPLAIN DELETE FROM goods",
    "CREATE TABLE fresh (id int)", "", "COMMIT; SELECT 1",
]  # fmt: skip


@pytest.mark.parametrize("text", LIGHT)
def test_what_changes_nothing_is_asked_nothing(seer: Seer, text: str) -> None:
    assert not needs_asking(Situation(parse(text), Surroundings()))
    assert seer.see(text) is NOTHING
    assert seer.asked == []


@pytest.mark.parametrize(
    "text", ["DELETE FROM goods", "SELECT 1; DROP TABLE goods", "EXPLAIN ANALYZE DELETE FROM goods"]
)
def test_what_changes_something_is(text: str) -> None:
    assert needs_asking(Situation(parse(text), Surroundings()))


def test_one_change_among_light_statements_is_that_change(seer: Seer) -> None:
    assert seer.see("BEGIN; DELETE FROM goods WHERE id < 4; COMMIT") == seer.see("DELETE FROM goods WHERE id < 4")
    assert seer.see("EXPLAIN ANALYZE DELETE FROM goods WHERE id < 4") == seer.see("DELETE FROM goods WHERE id < 4")


def test_several_changes_add_up_and_are_unknown(seer: Seer) -> None:
    blast = seer.see("DELETE FROM goods WHERE id < 4; TRUNCATE notes")
    assert (blast.known, blast.rows, blast.irreversible) == (False, 53, True)
    assert blast.reasons[0] == SEVERAL
    assert [each.by for each in blast.tables] == ["delete", "on delete set null", "truncate"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("COPY goods FROM STDIN", "only when they have come"),
        ("EXECUTE p", "does not know"),
        ("WITH x AS (DELETE FROM goods RETURNING id) SELECT * FROM x", "in a query"),
        ("SELECT * INTO copy FROM goods", "in a query"),
        ("GRANT SELECT ON goods TO PUBLIC", "on no list (GrantStmt)"),
        ("DO $$ BEGIN END $$", "on no list (DoStmt)"),
    ],
)
def test_what_is_not_foreseen_says_so(seer: Seer, text: str, reason: str) -> None:
    blast = seer.see(text)
    assert not blast.known and blast.irreversible
    assert any(reason in each for each in blast.reasons), blast.reasons


def test_without_a_catalogue_nothing_is_known(seer: Seer) -> None:
    seer.surroundings = Surroundings()
    assert not seer.see("DELETE FROM goods").known
