"""Approval requests: the table, whose vote counts, and what an approval is bound to (the corpus' APR rows by id)."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.approvals import (
    LIVE,
    TRANSITIONS,
    Event,
    Vote,
    as_of,
    binding,
    from_document,
    judge_vote,
    next_state,
    request_id,
    to_document,
)
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    Denial,
    DenialCode,
    Effect,
    Facts,
    ObjectRef,
    Parameter,
    Principal,
    Risk,
    Statement,
    StatementKind,
)

AGENT = Principal(
    "https://idp", "agent-7", "reporter", frozenset({"analysts"}), "alice@corp.example", "tok-a", 1.0, 2.0
)
STATEMENT = Statement(
    "DELETE FROM orders WHERE id = $1", StatementKind.EXECUTE, (Parameter(b"7", False, 23),), "shop|app|public", 4, "s1"
)
BOUND = {"principal": AGENT, "session": "s-1", "target": "shop", "statement": STATEMENT, "policy_version": "v1"}
REQUEST = ApprovalRequest(
    id="a-1",
    binding=binding(**BOUND),
    session="s-1",
    principal=AGENT,
    target="shop",
    statement=STATEMENT,
    facts=Facts(
        Effect.WRITE, "delete", (ObjectRef("table", "public.orders", "write"),), frozenset({"returning"}), True, "why"
    ),
    risk=Risk(40, (("verb delete", 30), ("table orders", 10))),
    approvers=("owners",),
    policy_version="v1",
    requested_at=100.0,
    expires_at=200.0,
    quorum=2,
)


def person(name: str, **changes: object) -> Principal:
    return dataclasses.replace(
        Principal("https://idp", name, name, frozenset({"owners"}), None, f"tok-{name}"), **changes
    )


# --- the table ------------------------------------------------------------------------------------------------------


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


# --- the binding ----------------------------------------------------------------------------------------------------


def test_ok_128_the_same_statement_in_the_same_session_is_the_same_request():
    again = STATEMENT._replace(number=9, name="another")
    later = dataclasses.replace(AGENT, groups=frozenset(["analysts"]))
    assert binding(**{**BOUND, "statement": again, "principal": later}) == REQUEST.binding
    assert len(REQUEST.binding) == 64


def statement(**changes: object) -> dict[str, object]:
    return {"statement": STATEMENT._replace(**changes)}


def principal(**changes: object) -> dict[str, object]:
    return {"principal": dataclasses.replace(AGENT, **changes)}


DIFFERENT = {
    "APR-003 search_path": statement(surroundings="shop|app|evil"),
    "APR-005 session": {"session": "s-2"},
    "APR-005 agent": principal(agent="other"),
    "APR-005 subject": principal(subject="agent-8"),
    "APR-005 issuer": principal(issuer="https://other-idp"),
    "APR-005 person": principal(on_behalf_of="bob"),
    "APR-005 no person": principal(on_behalf_of=None),
    "APR-005 groups": principal(groups=frozenset({"analysts", "owners"})),
    "APR-005 another group": principal(groups=frozenset({"owners"})),
    "APR-007 target": {"target": "shop-replica"},
    "APR-015 bidi": statement(text=STATEMENT.text + " /* \u202e */"),
    "APR-016 homoglyph": statement(text=STATEMENT.text.replace("orders", "\u043erders")),
    "APR-025 edited": statement(text="DELETE FROM orders WHERE id = $1 "),
    "APR-025 case": statement(text=STATEMENT.text.lower()),
    "APR-028 value": statement(parameters=(Parameter(b"8", False, 23),)),
    "APR-028 type": statement(parameters=(Parameter(b"7", False, 25),)),
    "APR-028 format": statement(parameters=(Parameter(b"7", True, 23),)),
    "APR-028 null": statement(parameters=(Parameter(None, False, 23),)),
    "APR-028 empty": statement(parameters=(Parameter(b"", False, 23),)),
    "APR-028 more": statement(parameters=(*STATEMENT.parameters, Parameter(b"x"))),
    "APR-028 none": statement(parameters=()),
    "APR-028 only prepared": statement(kind=StatementKind.PREPARE),
    "policy": {"policy_version": "v2"},
}


def test_anything_else_is_another_request():
    bindings = {name: binding(**{**BOUND, **changes}) for name, changes in DIFFERENT.items()}
    assert len({REQUEST.binding, *bindings.values()}) == len(DIFFERENT) + 1


@given(st.lists(st.text(max_size=6), min_size=2, max_size=2), st.lists(st.text(max_size=6), min_size=2, max_size=2))
def test_text_cannot_move_from_one_field_to_the_next(one, other):
    def bound(pair: list[str]) -> str:
        changed = STATEMENT._replace(text=pair[0], surroundings=pair[1])
        return binding(**{**BOUND, "statement": changed})

    assert (bound(one) == bound(other)) == (one == other)


def test_apr_014_ids_carry_eighty_random_bits():
    assert request_id(bytes(range(10))) == "a-aaaqeayeaudaocaj"
    assert request_id(b"\xff" * 16) != request_id(b"\xfe" * 16)
    with pytest.raises(ValueError, match="10 random bytes"):
        request_id(b"short")


# --- the document ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        statement(parameters=(Parameter(None), Parameter(b"\x00\xff", True, 17), Parameter(b""))),
        statement(text="SELECT '\u202e\x00\n'"),
        {"principal": dataclasses.replace(AGENT, on_behalf_of=None, groups=frozenset())},
        {"facts": Facts(Effect.UNKNOWN, "")},
        {"risk": Risk(0), "approvers": (), "quorum": 1},
    ],
)
def test_a_request_survives_its_document(changes):
    request = dataclasses.replace(REQUEST, **changes)
    assert from_document(json.loads(json.dumps(to_document(request)))) == request


@pytest.mark.parametrize("spoil", [{"quorum": ...}, {"more": 1}, {"facts": {}}, {"principal": None}])
def test_a_document_of_another_shape_is_refused(spoil):
    document = {name: value for name, value in (to_document(REQUEST) | spoil).items() if value is not ...}
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_document(document)
