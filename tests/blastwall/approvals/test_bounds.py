"""Which changes a bound is held against, what is proposed, and what several people's numbers come to."""

from __future__ import annotations

import dataclasses

import pytest

from blastwall.approvals.bounds import (
    Room,
    changes_rows,
    counted,
    hides_count,
    proposed,
    settled,
    unbounded,
)
from blastwall.blast import MOST_COUNTED
from blastwall.model import Effect, Facts, ObjectRef
from tests.blastwall.approvals.asking import REQUEST, ask

TABLE = (ObjectRef("table", "public.orders", "write"),)
DELETE = Facts(Effect.WRITE, "delete", TABLE)
WITHIN = Facts(Effect.WRITE, "select", TABLE, frozenset({"writes_within"}))


@pytest.mark.parametrize("verb", ["insert", "update", "delete", "merge", "execute"])
@pytest.mark.parametrize("effect", [Effect.WRITE, Effect.DESTROY])
def test_the_server_counts_changes_that_are_statements_of_their_own(verb: str, effect: Effect) -> None:
    facts = Facts(effect, verb, TABLE)
    assert counted(facts) and not hides_count(facts) and changes_rows(facts)


def test_loading_rows_is_counted() -> None:
    assert counted(Facts(Effect.WRITE, "copy from", TABLE, frozenset({"copy_in"})))
    assert not counted(Facts(Effect.READ, "copy to", TABLE, frozenset({"copy_out"})))


def test_changes_inside_a_query_are_not_told() -> None:
    assert hides_count(WITHIN) and not counted(WITHIN)
    for flag in ("rules", "writes_within"):
        facts = Facts(Effect.WRITE, "delete", TABLE, frozenset({flag}))
        assert hides_count(facts) and not counted(facts), "its own rows are counted, the others are not"
    assert hides_count(Facts(Effect.WRITE, "copy to", TABLE, frozenset({"copy_out"})))
    assert hides_count(Facts(Effect.WRITE, "explain", TABLE, frozenset({"explain", "explain_analyze"})))


@pytest.mark.parametrize(
    "facts",
    [
        Facts(Effect.READ, "select"),
        Facts(Effect.WRITE, "select", TABLE, frozenset({"locks_rows"})),
        Facts(Effect.WRITE, "explain", TABLE, frozenset({"explain"})),
        Facts(Effect.WRITE, "prepare", TABLE, frozenset({"prepare"})),
        Facts(Effect.WRITE, "prepare", TABLE, frozenset({"prepare", "writes_within"})),
        Facts(Effect.WRITE, "execute", (), frozenset({"execute"})),
        Facts(Effect.DESTROY, "truncate", TABLE),
        Facts(Effect.UNKNOWN, "delete", TABLE),
    ],
)
def test_what_changes_no_rows_has_no_bound(facts: Facts) -> None:
    assert not changes_rows(facts)
    assert not unbounded(ask(facts=facts, bound=None), None)


@pytest.mark.parametrize(("rows", "bound"), [(0, 10), (1, 12), (10, 21), (1000, 1110), (MOST_COUNTED, 1_100_010)])
def test_there_is_room_for_what_others_write_meanwhile(rows: int, bound: int) -> None:
    assert proposed(DELETE, {"known": True, "rows": rows}, Room()) == bound


@pytest.mark.parametrize("factor", [1.0, 1.1, 2.5])
def test_a_proposal_is_never_less_than_what_was_counted(factor: float) -> None:
    for rows in range(0, 3000, 7):
        assert (proposed(DELETE, {"known": True, "rows": rows}, Room(factor, 0)) or 0) >= rows


@pytest.mark.parametrize(
    "blast",
    [None, {}, {"known": False, "rows": 3}, {"known": True}, {"known": True, "rows": "3"}]
    + [{"known": True, "rows": rows} for rows in (-1, True, MOST_COUNTED + 1, 2**63 - 1)],
)
def test_what_was_not_counted_proposes_nothing(blast: dict[str, object] | None) -> None:
    assert proposed(DELETE, blast, Room()) is None


def test_a_count_that_cannot_be_held_against_anything_proposes_nothing() -> None:
    assert proposed(WITHIN, {"known": True, "rows": 3}, Room()) is None


def test_only_a_change_without_any_number_is_unbounded() -> None:
    nothing = dataclasses.replace(REQUEST, bound=None)
    assert unbounded(nothing, None)
    assert not unbounded(nothing, 3) and not unbounded(REQUEST, None)
    assert unbounded(dataclasses.replace(nothing, facts=WITHIN), None)


def test_the_smallest_number_holds() -> None:
    assert settled(REQUEST, (None, None)) == 5
    assert settled(REQUEST, (None, 50)) == 5
    assert settled(REQUEST, (50,)) == 50, "who decides alone may give more than was proposed"
    nothing = dataclasses.replace(REQUEST, bound=None)
    assert settled(nothing, (None,)) is None and settled(nothing, (None, 7)) == 7
