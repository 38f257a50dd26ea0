"""Budgets: counted per session, exhausted when reached, and a result is stopped when it passes them."""

from __future__ import annotations

import pytest

from blastwall.model import Masked
from fargate_proxy.ledger import BudgetSpent, Ledger


def test_without_budgets_nothing_is_ever_exhausted() -> None:
    ledger = Ledger({}, {})
    ledger.relayed(Masked(b"x" * 1000, rows=10_000))
    assert ledger.exhausted == frozenset()


def test_statements_are_exhausted_once_their_number_is_reached() -> None:
    ledger = Ledger({"statements": 2}, {"statements": 1})
    assert ledger.exhausted == frozenset()
    ledger.judged()
    assert ledger.exhausted == {"statements"}


@pytest.mark.parametrize("name", ["rows", "bytes"])
def test_a_result_is_stopped_when_it_passes_the_budget(name: str) -> None:
    ledger = Ledger({name: 10}, {})
    ledger.relayed(Masked(b"x" * 10, rows=10))
    with pytest.raises(BudgetSpent, match=name):
        ledger.relayed(Masked(b"x", rows=1))


def test_what_holds_no_row_is_not_stopped_for_rows_that_were_used_up_before() -> None:
    ledger = Ledger({"rows": 10}, {"rows": 11})
    ledger.relayed(Masked(b"ROLLBACK"))
    assert ledger.exhausted == {"rows"}, "and policy refuses the rest in words"
    with pytest.raises(BudgetSpent, match="rows"):
        ledger.relayed(Masked(b"x", rows=1))


def test_the_store_is_told_each_use_once() -> None:
    ledger = Ledger({}, {"rows": 5})
    ledger.relayed(Masked(b"abc", rows=2))
    ledger.judged()
    assert ledger.unnoted() == {"rows": 2, "bytes": 3, "statements": 1}
    assert ledger.unnoted() == {"rows": 0, "bytes": 0, "statements": 0}


def test_lookups_are_kept_for_the_session() -> None:
    ledger = Ledger({}, {"lookups": 3})
    assert ledger.lookups == 3 and ledger.unnoted()["lookups"] == 0
    ledger.lookups += 2
    assert ledger.unnoted() == {"rows": 0, "bytes": 0, "statements": 0, "lookups": 2}
    assert ledger.exhausted == frozenset()


def test_a_text_of_many_statements_is_as_many() -> None:
    ledger = Ledger({"statements": 5}, {})
    ledger.judged(0)
    ledger.judged(1)
    ledger.judged(3)
    assert ledger.statements == 5 and ledger.exhausted == {"statements"}


def test_what_the_store_did_not_take_it_is_told_again() -> None:
    ledger = Ledger({}, {"rows": 5})
    ledger.relayed(Masked(b"abc", rows=2))
    ledger.put_back(ledger.unnoted())
    ledger.relayed(Masked(b"d", rows=1))
    assert ledger.unnoted() == {"rows": 3, "bytes": 4, "statements": 0}
    assert ledger.unnoted() == {"rows": 0, "bytes": 0, "statements": 0}


@pytest.mark.parametrize("name", ["rows", "bytes"])
def test_where_nothing_stops_budgets_are_counted_all_the_same(name: str) -> None:
    """In observe mode, and where the glass is broken: policies say what would have been, and let it pass."""
    ledger = Ledger({name: 10}, {}, stops=False)
    ledger.relayed(Masked(b"x" * 11, rows=11))
    ledger.relayed(Masked(b"x" * 11, rows=11))
    assert ledger.exhausted == {name}
    ledger.stop_from_now()
    with pytest.raises(BudgetSpent, match=name):
        ledger.relayed(Masked(b"x", rows=1))
