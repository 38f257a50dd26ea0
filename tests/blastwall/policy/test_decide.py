"""Three answers out of two, and every doubt is a denial."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blastwall.masking.patterns import names
from blastwall.masking.plan import Strategy
from blastwall.masking.rules import Rule, Rules
from blastwall.model import (
    Demand,
    Denial,
    DenialCode,
    Effect,
    ObjectRef,
    Pending,
    Permit,
    Risk,
    StatementKind,
)
from blastwall.policy.decide import Question
from tests.blastwall.policy.asking import AGENT, OWNER, POLICIES, POLICY, TARGET, ask, decided, load, request

# -- permit, pending, denial


def test_what_a_rule_permits_is_permitted_with_its_rule_and_risk() -> None:
    assert decided() == Permit("text", ("read",), Risk(10, (("effect read", 10),)))


def test_what_would_be_permitted_if_approved_is_pending() -> None:
    facts = "UPDATE changes public.carts"
    assert decided(effect=Effect.WRITE, verb="update", reason=facts) == Pending(
        ("hold-write",),
        ("owners", "dba"),
        Risk(30, (("effect write", 30),)),
        f"rule hold-write asks owners or dba first: {facts}",
        1,
        (Demand(("owners", "dba")),),
    )


def test_a_forbid_that_yields_to_approval_is_pending_too_and_everybodys_quorum_counts() -> None:
    assert decided(verb="risky") == Pending(
        ("risky",),
        ("security",),
        Risk(55, (("effect read", 10), ("verb risky", 45))),
        "rule risky asks security first: the effect of risky is read",
        3,
        (Demand(("security",), 3),),
    )
    both = decided(effect=Effect.DEFINE, verb="risky")
    assert isinstance(both, Pending)
    assert (set(both.policies), set(both.approvers), both.quorum) == (
        {"risky", "hold-define"},
        {"security", "owners"},
        3,
    )
    assert set(both.demands) == {Demand(("security",), 3), Demand(("owners",), 2)}, "each rule's own people"
    assert "owners and security" in both.reason or "security and owners" in both.reason


def test_what_no_approval_would_change_is_denied_with_its_rule_reason_and_hint() -> None:
    assert decided(effect=Effect.DESTROY, verb="drop table", reason="DROP TABLE removes public.orders") == Denial(
        DenialCode.POLICY,
        "rule no-destroy forbids this: DROP TABLE removes public.orders",
        "Ask first.",
        ("no-destroy",),
        Risk(70, (("effect destroy", 70),)),
    )


def test_all_forbidding_rules_are_named_and_the_first_hint_is_given() -> None:
    denial = decided(effect=Effect.ADMINISTER, verb="grant")
    assert isinstance(denial, Denial)
    assert denial.policies == ("also-no-grant", "no-grant")
    assert denial.reason.startswith("rules also-no-grant, no-grant forbid this: ")
    assert denial.hint == "Never."


def test_a_host_is_not_spoken_to_of_tables() -> None:
    host = replace(TARGET, protocol="ssh")
    for effect in (Effect.UNKNOWN, Effect.WRITE):
        told = [decided(effect=effect, verb="x", bounded=False, target=target) for target in (TARGET, host)]
        assert all(isinstance(one, Denial) and one.hint for one in told)
        assert not any(word in told[1].hint for word in ("table", "WHERE", "SQL", "migration")), told[1].hint


def test_without_a_rule_nothing_is_permitted_and_the_hint_is_the_effects() -> None:
    denial = decided(effect=Effect.WRITE, verb="update", bounded=False, reason="it has no WHERE")
    assert isinstance(denial, Denial)
    assert (denial.code, denial.policies) == (DenialCode.POLICY, ())
    assert denial.reason == "no rule permits this (write) on shop: it has no WHERE"
    assert "WHERE" in denial.hint


def test_what_asks_for_too_much_is_told_to_ask_for_less() -> None:
    denial = decided(effect=Effect.UNKNOWN, verb="select", flags=frozenset({"excessive"}), reason="It is too much.")
    assert isinstance(denial, Denial)
    assert denial.code is DenialCode.POLICY, "it was understood"
    assert denial.hint.startswith("Ask for less")


def test_a_stranger_is_denied() -> None:
    denial = decided(principal=replace(AGENT, groups=frozenset({"agent"})))
    assert isinstance(denial, Denial)
    assert denial.policies == ()


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"effect": Effect.UNKNOWN, "verb": "?"}, DenialCode.UNKNOWN),
        ({"effect": Effect.DESTROY, "verb": "drop"}, DenialCode.POLICY),
        ({"exhausted": frozenset({"rows"})}, DenialCode.BUDGET),
        ({"exhausted": frozenset({"bytes"})}, None),  # no rule says anything about bytes
        ({"effect": Effect.DESTROY, "verb": "drop", "exhausted": frozenset({"rows"})}, DenialCode.POLICY),
    ],
)
def test_the_code_says_why(question: dict[str, object], code: DenialCode | None) -> None:
    decision = decided(**question)
    assert (decision.code if isinstance(decision, Denial) else None) is code


def test_a_used_up_budget_is_named() -> None:
    denial = decided(exhausted=frozenset({"rows", "bytes"}))
    assert isinstance(denial, Denial)
    assert denial.reason == "rule spent forbids this: this session has used up its budget of bytes, rows"


# -- what policy sees


@pytest.mark.parametrize(
    ("question", "rule"),
    [
        ({"objects": (ObjectRef("table", "public.secrets", "read"),)}, "secret-table"),
        ({"objects": (ObjectRef("view", "public.secrets", "read"),)}, "secret-table"),
        ({"objects": (ObjectRef("function", "public.secrets", "call"),)}, None),
        ({"target": replace(TARGET, labels={"environment": "production"}), "hour": 3}, "night"),
        ({"target": replace(TARGET, labels={"environment": "production"}), "hour": 4}, None),
        ({"target": replace(TARGET, labels={}), "hour": 3}, None),
    ],
)
def test_objects_labels_and_hours_reach_the_rules(question: dict[str, object], rule: str | None) -> None:
    decision = decided(**question)
    assert (decision.policies[0] if isinstance(decision, Denial) else None) == rule


def test_break_glass_is_a_fact_that_rules_may_use() -> None:
    fireman = replace(AGENT, groups=frozenset({"fire"}))
    assert isinstance(decided(principal=fireman, break_glass=True), Permit)
    assert isinstance(decided(principal=fireman), Denial)
    assert decided(break_glass=True).policies == ("read",)


def test_names_that_would_break_out_of_cedar_text_stay_names() -> None:
    evil = replace(AGENT, subject='x", Group::"agents', agent='"\\\n', groups=frozenset({'agents" || true'}))
    assert isinstance(decided(principal=evil), Denial)
    table = (ObjectRef("table", 'public.secrets", "x', "read"),)
    assert isinstance(decided(objects=table), Permit)


# -- kinds


def test_connecting_is_an_action_of_its_own() -> None:
    permit = decided(kind=StatementKind.CONNECT, effect=Effect.SESSION, verb="connect")
    assert isinstance(permit, Permit)
    assert permit.policies == ("enter",)
    denial = decided(kind=StatementKind.CONNECT, effect=Effect.SESSION, principal=OWNER)
    assert isinstance(denial, Denial)
    assert "one of your groups" in denial.hint


def test_cancelling_goes_by_the_session_rule_whatever_is_cancelled() -> None:
    assert decided(kind=StatementKind.CANCEL, effect=Effect.WRITE, verb="cancel").policies == ("session",)


def test_naming_a_held_statement_is_permitted_but_only_naming_it() -> None:
    permit = decided(kind=StatementKind.PREPARE, effect=Effect.WRITE, verb="update")
    assert isinstance(permit, Permit)
    assert permit.prepare_only
    assert permit.policies == ("hold-write",)
    ready = decided(kind=StatementKind.PREPARE)
    assert isinstance(ready, Permit)
    assert ready.prepare_only
    assert isinstance(decided(kind=StatementKind.PREPARE, effect=Effect.DESTROY, verb="drop"), Denial)


# -- approvals redeemed


def test_an_approval_is_carried_by_the_permit_it_opens() -> None:
    permit = POLICY.decide(ask(Effect.WRITE, "update"), approved="request-7")
    assert isinstance(permit, Permit)
    assert (permit.approval, permit.policies, permit.prepare_only) == ("request-7", ("hold-write",), False)


def test_an_approval_opens_nothing_that_policy_denies() -> None:
    for question in (ask(Effect.DESTROY, "drop"), ask(Effect.WRITE, "update", exhausted=frozenset({"rows"}))):
        assert isinstance(POLICY.decide(question, approved="request-7"), Denial)


def test_an_approval_is_not_remembered_for_the_next_one() -> None:
    question = ask(Effect.WRITE, "update", reason="once")
    assert isinstance(POLICY.decide(question), Pending)
    assert isinstance(POLICY.decide(question, approved="request-7"), Permit)
    assert isinstance(POLICY.decide(question), Pending)
    again = POLICY.decide(question, approved="request-8")
    assert isinstance(again, Permit)
    assert again.approval == "request-8"


# -- failing closed

OVERFLOW = "context.risk * 9223372036854775807 * 9223372036854775807 > 1"


@pytest.mark.parametrize("approved", [None, "request-7"])
@pytest.mark.parametrize("effect", ["forbid", "permit"])
def test_an_erring_rule_denies_whatever_the_others_say(effect: str, approved: str | None) -> None:
    """Cedar skips a rule that errs: an erring forbid would let everything through that another rule permits."""
    erring = f'@id("erring") {effect} (principal, action in Action::"statement", resource) when {{ {OVERFLOW} }};'
    denial = load(POLICIES + erring).decide(ask(), approved=approved)
    assert isinstance(denial, Denial)
    assert denial.code is DenialCode.FAULT
    assert "policy erring: integer overflow" in denial.reason


def test_an_error_in_the_second_question_only_denies_too() -> None:
    erring = f'@id("erring") @approvers("x") forbid (principal, action in Action::"statement", resource) when {{ context.approved && {OVERFLOW} }};'
    policies = load(POLICIES + erring)
    assert isinstance(policies.decide(ask()), Permit)
    denial = policies.decide(ask(Effect.WRITE, "update"))
    assert isinstance(denial, Denial)
    assert denial.code is DenialCode.FAULT


@pytest.mark.parametrize(
    "question",
    [
        ask(verb="\ud800"),
        ask(objects=(ObjectRef("table", "public.\udfff", "read"),)),
        ask(principal=replace(AGENT, subject="\ud800")),
        ask(statements=1 << 80),
    ],
)
def test_what_the_engine_cannot_carry_is_denied_as_a_fault(question: Question) -> None:
    denial = POLICY.decide(question)
    assert isinstance(denial, Denial)
    assert denial.code is DenialCode.FAULT


def test_an_erring_rule_lets_nobody_approve() -> None:
    erring = '@id("e") forbid (principal, action == Action::"approve", resource) when { context.quorum * 9223372036854775807 * 3 > 1 };'
    denial = load(POLICIES + erring).may_approve(OWNER, request(), TARGET)
    assert denial is not None
    assert denial.code is DenialCode.FAULT


# -- observe mode

WATCHED = replace(TARGET, mode="observe")


@pytest.mark.parametrize(
    ("question", "would_have"),
    [
        ({}, None),
        (
            {"effect": Effect.DESTROY, "verb": "drop"},
            "denial: rule no-destroy forbids this: the effect of drop is destroy",
        ),
        (
            {"effect": Effect.WRITE, "verb": "update"},
            "pending: rule hold-write asks owners or dba first: the effect of update is write",
        ),
    ],
)
def test_observing_permits_and_says_what_would_have_been(question: dict[str, object], would_have: str | None) -> None:
    for _ in range(2):  # decided, then remembered
        permit = decided(target=WATCHED, **question)
        assert isinstance(permit, Permit)
        assert permit.would_have == would_have
    other = decided(target=WATCHED, text="other", **question)
    assert isinstance(other, Permit)
    assert (other.upstream_text, other.would_have) == ("other", would_have)


def test_what_masking_refuses_no_rule_no_mode_and_nobody_permits() -> None:
    refusal = "reads public.customers.ssn, which is masked, in a way that would show it"
    for changes in ({}, {"target": WATCHED}, {"target": WATCHED, "kind": StatementKind.PREPARE}):
        for _ in range(2):  # decided, then remembered
            denial = decided(refusal=refusal, **changes)
            assert isinstance(denial, Denial)
            assert (denial.code, denial.reason, denial.policies) == (DenialCode.POLICY, refusal, ())
            assert denial.hint.startswith("A plain SELECT of a masked column shows its mask")
    assert isinstance(decided(), Permit)
    assert isinstance(POLICY.decide(ask(refusal=refusal), approved="a-1"), Denial)


def test_a_mistyped_name_is_no_matter_of_masks() -> None:
    denial = decided(refusal="nmae is not a column of anything in FROM.", flags=frozenset({"misnamed"}))
    assert isinstance(denial, Denial)
    assert denial.hint.startswith("Check the name")


MASKED_RULES = """
@id("read") permit (principal, action == Action::"read", resource)
unless { context has masked_columns && context.masked_columns.contains("public.customers.ssn") };
@id("guesses") @approvers("owners") forbid (principal, action == Action::"read", resource)
when { context has filters_masked && context.filters_masked } unless { context.approved };
"""


def test_policies_see_masked_columns_of_targets_that_have_masking() -> None:
    policies = load(MASKED_RULES)
    masked = replace(TARGET, masking=object())
    ssn, email = frozenset({"public.customers.ssn"}), frozenset({"public.customers.email"})
    for _ in range(2):
        assert isinstance(policies.decide(ask(target=masked, masked_columns=ssn)), Denial)
        assert isinstance(policies.decide(ask(target=masked, masked_columns=email)), Permit)
        assert isinstance(policies.decide(ask(target=masked, masked_columns=email, filters_masked=True)), Pending)
        assert isinstance(policies.decide(ask(target=masked)), Permit)
        assert isinstance(policies.decide(ask(masked_columns=ssn, filters_masked=True)), Permit), "no masking there"


def test_observing_does_not_open_the_door() -> None:
    assert isinstance(
        decided(target=WATCHED, principal=OWNER, kind=StatementKind.CONNECT, effect=Effect.SESSION), Denial
    )


def test_observing_lets_nothing_by_that_masks_could_not_follow() -> None:
    rules = Rules((Rule(Strategy.REDACT, names("public.customers.ssn", 3)),))
    for effect in (Effect.UNKNOWN, Effect.ADMINISTER):
        assert isinstance(decided(target=WATCHED, effect=effect, verb="x"), Permit)
        assert isinstance(decided(target=replace(WATCHED, masking=rules), effect=effect, verb="x"), Denial)
        assert isinstance(decided(target=replace(WATCHED, masking=Rules()), effect=effect, verb="x"), Permit)
    assert isinstance(decided(target=replace(WATCHED, masking=rules), effect=Effect.WRITE, verb="update"), Permit)
