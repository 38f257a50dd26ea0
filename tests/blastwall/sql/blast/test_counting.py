"""Counting ends: at a number, in time, or with the planner's estimate, and says which."""

from __future__ import annotations

import json

import pytest

from blastwall.blast import UNCOUNTED, Count
from blastwall.sql.blast import counting, flow
from blastwall.sql.blast.asking import Unforeseen
from blastwall.sql.blast.counting import planned_rows
from tests.blastwall.sql.blast.seeing import Seer


def test_what_takes_too_long_is_estimated_and_unknown(seer: Seer) -> None:
    seer.slow = True
    blast = seer.see("DELETE FROM goods WHERE id > 0")
    assert blast.tables[0].count is Count.ESTIMATE
    assert (blast.known, blast.rows_exact, blast.rows > 0) == (False, False, True)
    assert "Counting it takes too long." in blast.reasons
    assert blast.context()["rows"] == UNCOUNTED
    assert [each.text.startswith("EXPLAIN") for each in seer.asked[1:]] == [False, False, True]
    stored = seer.see("INSERT INTO makers SELECT id, name FROM goods")
    assert (stored.known, stored.tables[0].count, stored.rows > 0) == (False, Count.ESTIMATE, True)


def test_the_statements_own_rows_are_counted_even_when_those_behind_them_are_not(seer: Seer) -> None:
    seer.refuse = "blastwall_0"
    blast = seer.see("DELETE FROM makers WHERE id < 4")
    assert (blast.known, blast.rows, blast.tables[0].count) == (False, 3, Count.EXACT)
    assert [each.count for each in blast.tables[1:]] == [Count.UNKNOWN, Count.UNKNOWN]


def test_counting_stops_at_a_limit(seer: Seer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_COUNTED", 20)
    monkeypatch.setattr(counting, "MOST_COUNTED", 20)
    monkeypatch.setattr("blastwall.sql.blast.changes.MOST_COUNTED", 20)
    blast = seer.see("DELETE FROM goods")
    assert (blast.rows, blast.tables[0].count) == (21, Count.AT_LEAST)
    assert blast.context()["rows"] == UNCOUNTED
    assert seer.see("INSERT INTO makers SELECT id, name FROM goods").tables[0].count is Count.AT_LEAST


def test_the_planners_answer_is_read_or_refused() -> None:
    assert planned_rows(json.dumps([{"Plan": {"Plan Rows": 12}}])) == 12
    for text in ("", "[]", "[{}]", '[{"Plan": {"Plan Rows": null}}]'):
        with pytest.raises(Unforeseen):
            planned_rows(text)
