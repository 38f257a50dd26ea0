"""Whose vote counts, and where it takes a request (the corpus' APR rows by id)."""

from __future__ import annotations

import itertools

import pytest

from blastwall.approvals import (
    LIVE,
    MAX_GRANT_SECONDS,
    TRANSITIONS,
    Ballot,
    Event,
    Vote,
    as_of,
    decidable,
    ends_session,
    granted,
    judge_vote,
    next_state,
    routed_to,
)
from blastwall.approvals.rules import Grant, judge_ballot
from blastwall.model import ApprovalState, Denial, DenialCode, Effect, Facts, Statement, StatementKind
from tests.blastwall.approvals.asking import REQUEST, ask, person


def test_every_way_through_the_table_ends_and_runs_at_most_once():
    final = set(ApprovalState) - LIVE
    for events in itertools.product(Event, repeat=4):
        state, redeemed = ApprovalState.REQUESTED, 0
        for event in events:
            after = next_state(state, event)
            if after is None:
                continue
            assert state in LIVE
            redeemed += after is ApprovalState.REDEEMED
            state = after
        assert redeemed <= 1
    assert final == {TRANSITIONS[key] for key in TRANSITIONS} - {ApprovalState.APPROVED}


def test_only_an_approved_request_is_redeemed():
    assert [state for state in ApprovalState if next_state(state, Event.REDEEM)] == [ApprovalState.APPROVED]


@pytest.mark.parametrize("state", list(ApprovalState))
def test_what_is_live_expires_by_the_clock_and_what_is_over_stays(state):
    assert as_of(state, 200.0, 199.999) is state
    assert as_of(state, 200.0, 200.0) is (ApprovalState.EXPIRED if state in LIVE else state)


# --- votes ----------------------------------------------------------------------------------------------------------


def test_two_people_make_a_quorum_of_two():
    assert judge_vote(REQUEST, ApprovalState.REQUESTED, (), person("bob"), True) is ApprovalState.REQUESTED
    bobs = Vote(person("bob"), True, "", 1.0)
    assert judge_vote(REQUEST, ApprovalState.REQUESTED, (bobs,), person("carol"), True) is ApprovalState.APPROVED


def test_one_denial_is_enough_even_by_one_who_approved():
    bobs = Vote(person("bob"), True, "", 1.0)
    assert judge_vote(REQUEST, ApprovalState.REQUESTED, (bobs,), person("bob"), False) is ApprovalState.DENIED


def test_an_approval_can_be_taken_back_until_it_is_used():
    assert judge_vote(REQUEST, ApprovalState.APPROVED, (), person("bob"), False) is ApprovalState.DENIED
    assert isinstance(judge_vote(REQUEST, ApprovalState.REDEEMED, (), person("bob"), False), Denial)


@pytest.mark.parametrize(
    "twin",
    [
        person("bob"),
        person("bob", token_id="tok-other"),
        person("bob", agent="bob-on-his-phone"),
        person("BOB"),
        person("bob", issuer="https://other-idp"),
    ],
)
def test_apr_024_one_person_with_two_accounts_is_one_vote(twin):
    verdict = judge_vote(REQUEST, ApprovalState.REQUESTED, (Vote(person("bob"), True, "", 1.0),), twin, True)
    assert isinstance(verdict, Denial)
    assert "one person is one vote" in verdict.reason


@pytest.mark.parametrize(
    "approver",
    [
        person("alice@corp.example"),
        person("ALICE@corp.example"),
        person("agent-7"),
        person("x", agent="reporter"),
        person("agent-7", issuer="https://other-idp"),
    ],
)
@pytest.mark.parametrize("approve", [True, False])
def test_nobody_decides_about_their_own_statement(approver, approve):
    verdict = judge_vote(REQUEST, ApprovalState.REQUESTED, (), approver, approve)
    assert isinstance(verdict, Denial)
    assert verdict.code is DenialCode.POLICY
    assert "owners" in verdict.hint


@pytest.mark.parametrize("approver", [person("bob", on_behalf_of="dora"), person("bob", token_id="tok-a")])
def test_apr_009_a_token_that_speaks_for_an_agent_never_approves(approver):
    verdict = judge_vote(REQUEST, ApprovalState.REQUESTED, (), approver, True)
    assert isinstance(verdict, Denial)
    assert verdict.code is DenialCode.IDENTITY


@pytest.mark.parametrize("state", [state for state in ApprovalState if state is not ApprovalState.REQUESTED])
def test_a_late_approval_says_what_it_found(state):
    verdict = judge_vote(REQUEST, state, (), person("bob"), True)
    assert isinstance(verdict, Denial)
    assert verdict.reason
    assert verdict.hint


def test_others_are_asked_only_after_a_while_and_with_the_first() -> None:
    request = ask(escalation=("security", "owners"), escalate_at=150.0)
    assert routed_to(request, 149.9) == ("owners",)
    assert routed_to(request, 150.0) == ("owners", "security")
    assert routed_to(REQUEST, 1e12) == ("owners",)


def test_a_ballot_for_something_else_than_was_shown_does_not_count() -> None:
    assert judge_ballot(REQUEST, Ballot(True, "a" * 64), "a" * 64) is None
    for approve in (True, False):
        refused = judge_ballot(REQUEST, Ballot(approve, "b" * 64), "a" * 64)
        assert isinstance(refused, Denial) and "not what is stored" in refused.reason


@pytest.mark.parametrize(
    ("ballot", "says"),
    [
        (Ballot(False, "x", "", 60.0), "only an approval"),
        (Ballot(True, "x", "", MAX_GRANT_SECONDS + 1), "at most 60 minutes"),
        (Ballot(True, "x", "", -1.0), "at most"),
        (Ballot(True, "x", "", float("nan")), "at most"),
    ],
)
def test_a_grant_has_bounds(ballot: Ballot, says: str) -> None:
    refused = judge_ballot(ask(shape="s" * 64), ballot, "x")
    assert isinstance(refused, Denial) and says in refused.reason


def test_a_statement_without_a_shape_is_approved_one_at_a_time() -> None:
    refused = judge_ballot(REQUEST, Ballot(True, "x", "", 60.0), "x")
    assert isinstance(refused, Denial) and "no shape" in refused.reason


def test_a_grant_is_what_all_who_approved_gave() -> None:
    votes = [Vote(person("bob"), True, "", 1.0, 600.0), Vote(person("carol"), True, "", 2.0, 60.0)]
    assert granted(REQUEST, votes, 1000.0) == Grant(1000, 1060.0, True, 5)
    once = [*votes, Vote(person("dora"), True, "", 3.0)]
    assert granted(REQUEST, once, 1000.0) == Grant(1, REQUEST.expires_at, False, 5)


def test_a_note_has_a_limit() -> None:
    with pytest.raises(ValueError, match="1000 characters"):
        judge_ballot(REQUEST, Ballot(True, "x", "n" * 1001), "x")


def test_the_smallest_number_of_rows_of_all_who_approve_holds() -> None:
    votes = [Vote(person("bob"), True, "", 1.0, rows=3), Vote(person("carol"), True, "", 2.0, rows=8)]
    assert granted(REQUEST, votes, 10.0).bound == 3
    assert granted(REQUEST, votes[1:], 10.0).bound == 8


@pytest.mark.parametrize(
    ("changes", "ballot", "because"),
    [
        ({}, {"rows": -1}, "a number of rows is from 0"),
        ({}, {"rows": 10**9 + 1}, "a number of rows is from 0"),
        ({}, {"rows": 1, "approve": False}, "only an approval"),
        ({"facts": Facts(Effect.DEFINE, "create table")}, {"rows": 1}, "nobody is told how many rows"),
    ],
)
def test_a_number_of_rows_must_mean_something(
    changes: dict[str, object], ballot: dict[str, object], because: str
) -> None:
    verdict = judge_ballot(ask(**changes), Ballot(**({"approve": True, "shown": "s"} | ballot)), "s")
    assert isinstance(verdict, Denial) and because in verdict.reason


@pytest.mark.parametrize("rows", [None, 0, 5, 10**9])
def test_a_number_of_rows_that_does_is_taken(rows: int | None) -> None:
    assert judge_ballot(REQUEST, Ballot(True, "s", rows=rows), "s") is None


def test_only_a_connection_can_be_taken_back_after_its_use():
    connection = ask(statement=Statement("connect to shop at shop", StatementKind.CONNECT))
    for event, after in ((Event.DENY, ApprovalState.DENIED), (Event.WITHDRAW, ApprovalState.WITHDRAWN)):
        assert next_state(ApprovalState.REDEEMED, event) is None
        assert next_state(ApprovalState.REDEEMED, event, StatementKind.CONNECT) is after
        assert ends_session(connection, 1, after) and not ends_session(connection, 0, after)
        assert not ends_session(REQUEST, 1, after)
    assert not ends_session(connection, 1, ApprovalState.SUPERSEDED), "policy changed: it is asked anew, not cut off"
    assert decidable(connection, ApprovalState.REDEEMED) and not decidable(REQUEST, ApprovalState.REDEEMED)
    assert judge_vote(connection, ApprovalState.REDEEMED, (), person("bob"), False) is ApprovalState.DENIED
    assert isinstance(judge_vote(connection, ApprovalState.REDEEMED, (), person("bob"), True), Denial)
    assert ApprovalState.REDEEMED not in LIVE, "nothing more can be redeemed of it"
