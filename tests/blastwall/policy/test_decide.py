"""Three answers out of two, and every doubt is a denial."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blastwall.model import (
    ApprovalRequest,
    Decision,
    Denial,
    DenialCode,
    Effect,
    Facts,
    ObjectRef,
    Pending,
    Permit,
    Principal,
    Risk,
    Statement,
    StatementKind,
    Target,
)
from blastwall.policy import decide as mint
from blastwall.policy.decide import Policies, Question
from blastwall.policy.risk import RiskTable

POLICIES = """
@id("enter") permit (principal in Group::"agents", action == Action::"connect", resource);
@id("session") permit (principal in Group::"agents", action == Action::"session", resource);
@id("read") permit (principal in Group::"agents", action == Action::"read", resource);
@id("hold-write") @approvers("owners, dba")
permit (principal in Group::"agents", action == Action::"write", resource) when { context.bounded && context.approved };
@id("hold-define") @approvers("owners") @quorum("2")
permit (principal in Group::"agents", action == Action::"define", resource) when { context.approved };
@id("no-destroy") @hint("Ask first.") forbid (principal, action == Action::"destroy", resource);
@id("no-grant") forbid (principal, action == Action::"administer", resource) when { context.verb == "grant" };
@id("also-no-grant") @hint("Never.") forbid (principal, action == Action::"administer", resource);
@id("spent") @code("budget") forbid (principal, action in Action::"statement", resource)
when { context.exhausted.contains("rows") };
@id("risky") @approvers("security") @quorum("3") forbid (principal, action in Action::"statement", resource)
when { context.risk > 50 } unless { context.approved };
@id("secret-table") forbid (principal, action, resource) when {
  action in Action::"statement" && context.tables.contains("public.secrets")
};
@id("night") forbid (principal, action in Action::"statement", resource)
when { context.environment == "production" && context.hour == 3 };
@id("emergency") permit (principal in Group::"fire", action in Action::"statement", resource)
when { context.break_glass };
@id("owners-approve") permit (principal in Group::"owners", action == Action::"approve", resource)
when { context.routed && resource.hasTag("environment") && resource.getTag("environment") != "sealed" };
@id("never-approve-destruction") @hint("Run it yourself.") forbid (principal, action == Action::"approve", resource)
when { context.effect == "destroy" };
@id("audit") permit (principal in Group::"auditors", action == Action::"read-recording", resource);
@id("own") permit (principal, action == Action::"read-recording", resource) when { context.own };
"""
RISK = "[effects]\nsession=0\nread=10\nwrite=30\ndefine=40\ndestroy=70\nadminister=80\nunknown=60\n[verbs]\nrisky=45\n"

AGENT = Principal("https://idp", "s-1", "reporter", frozenset({"agents"}), "ada@example.com", "token")
TARGET = Target("shop", "postgres", "db", 5432, {"environment": "demo"})
OWNER = Principal("https://idp", "olga@example.com", "console", frozenset({"owners"}))


def load(text: str = POLICIES) -> Policies:
    return Policies.load({"p.cedar": text}, RiskTable.load(RISK, "risk.toml"))


POLICY = load()


def ask(
    effect: Effect = Effect.READ,
    verb: str = "select",
    *,
    principal: Principal = AGENT,
    target: Target = TARGET,
    kind: StatementKind = StatementKind.EXECUTE,
    hour: int = 12,
    exhausted: frozenset[str] = frozenset(),
    break_glass: bool = False,
    text: str = "text",
    **facts: object,
) -> Question:
    return Question(
        principal,
        target,
        kind,
        Facts(effect, verb, **facts),  # type: ignore[arg-type]  # passed through to the frozen dataclass under test
        hour,
        exhausted,
        break_glass,
        text,
    )


def decided(**question: object) -> Decision:
    return POLICY.decide(ask(**question))  # type: ignore[arg-type]  # as above


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
    )


def test_a_forbid_that_yields_to_approval_is_pending_too_and_everybodys_quorum_counts() -> None:
    assert decided(verb="risky") == Pending(
        ("risky",),
        ("security",),
        Risk(55, (("effect read", 10), ("verb risky", 45))),
        "rule risky asks security first: the effect of risky is read",
        3,
    )
    both = decided(effect=Effect.DEFINE, verb="risky")
    assert isinstance(both, Pending)
    assert (set(both.policies), set(both.approvers), both.quorum) == (
        {"risky", "hold-define"},
        {"security", "owners"},
        3,
    )


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
    assert denial.reason.startswith("rules also-no-grant, no-grant forbids this: ")
    assert denial.hint == "Never."


def test_without_a_rule_nothing_is_permitted_and_the_hint_is_the_effects() -> None:
    denial = decided(effect=Effect.WRITE, verb="update", bounded=False, reason="it has no WHERE")
    assert isinstance(denial, Denial)
    assert (denial.code, denial.policies) == (DenialCode.POLICY, ())
    assert denial.reason == "no rule permits this (write) on shop: it has no WHERE"
    assert "WHERE" in denial.hint


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


def test_observing_does_not_open_the_door() -> None:
    assert isinstance(
        decided(target=WATCHED, principal=OWNER, kind=StatementKind.CONNECT, effect=Effect.SESSION), Denial
    )


# -- remembering


def test_the_same_question_is_answered_with_the_same_decision() -> None:
    policies = load()
    question = ask()
    assert policies.decide(question) is policies.decide(question)


def test_an_equal_question_is_not_evaluated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = load()
    first = policies.decide(ask(text="SELECT 1"))
    asked = []
    monkeypatch.setattr(mint.cedarpy, "is_authorized", lambda *_: asked.append(1))
    second = policies.decide(ask(text="SELECT 2", principal=replace(AGENT, token_id="another", expires_at=9.0)))
    assert not asked
    assert isinstance(first, Permit)
    assert isinstance(second, Permit)
    assert (second.upstream_text, second.policies, second.risk) == ("SELECT 2", first.policies, first.risk)


DIFFERENT: list[dict[str, object]] = [
    {"principal": replace(AGENT, issuer="https://other")},
    {"principal": replace(AGENT, subject="s-2")},
    {"principal": replace(AGENT, agent="other")},
    {"principal": replace(AGENT, groups=frozenset({"agents", "more"}))},
    {"principal": replace(AGENT, on_behalf_of=None)},
    {"target": replace(TARGET, name="other")},
    {"target": replace(TARGET, protocol="mysql")},
    {"target": replace(TARGET, labels={"environment": "test"})},
    {"target": replace(TARGET, mode="observe")},
    {"kind": StatementKind.PREPARE},
    {"hour": 13},
    {"exhausted": frozenset({"bytes"})},
    {"break_glass": True},
    {"effect": Effect.SESSION},
    {"verb": "values"},
    {"objects": (ObjectRef("table", "a", "read"),)},
    {"flags": frozenset({"reset"})},
    {"bounded": False},
    {"statements": 2},
    {"reason": "because"},
]


@pytest.mark.parametrize("change", DIFFERENT, ids=lambda change: next(iter(change)))
def test_whatever_policy_can_see_makes_another_question(
    change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = load()
    policies.decide(ask())
    asked = []
    evaluate = mint.cedarpy.is_authorized

    def counted(*arguments: object) -> object:
        asked.append(1)
        return evaluate(*arguments)

    monkeypatch.setattr(mint.cedarpy, "is_authorized", counted)
    policies.decide(ask(**change))  # type: ignore[arg-type]  # as above
    assert asked


def test_an_agent_cannot_make_the_memory_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mint, "REMEMBERED", 8)
    policies = load()
    for number in range(100):
        policies.decide(ask(reason=str(number)))
    assert len(policies._same) <= 8
    assert len(policies._decided) <= 16
    known = len(policies._decided)
    policies.decide(ask(reason="long", text="x" * (mint.LONGEST_REMEMBERED + 1)))
    many = tuple(ObjectRef("table", str(number), "read") for number in range(mint.MOST_OBJECTS_REMEMBERED + 1))
    policies.decide(ask(objects=many))
    assert len(policies._decided) == known


def test_remembered_by_identity_survives_objects_that_are_gone() -> None:
    """Identities are only unique among the living: the memory must keep what it remembers alive."""
    policies = load()
    for number in range(2000):
        effect = Effect.READ if number % 2 else Effect.DESTROY
        assert isinstance(policies.decide(ask(effect, "x")), Permit if number % 2 else Denial)


# -- versions


def test_the_version_follows_policies_and_risk() -> None:
    table = RiskTable.load(RISK, "risk.toml")
    version = Policies.load({"p.cedar": POLICIES}, table).version
    assert version == load().version
    assert len(version) == 64
    others = {
        load(POLICIES + " ").version,
        Policies.load({"q.cedar": POLICIES}, table).version,
        Policies.load({"p.cedar": POLICIES}, RiskTable.load(RISK + "\n", "risk.toml")).version,
    }
    assert version not in others
    assert len(others) == 3


# -- people


def request(**changes: object) -> ApprovalRequest:
    made = ApprovalRequest(
        id="r",
        binding="b",
        session="s",
        principal=AGENT,
        target="shop",
        statement=Statement("UPDATE"),
        facts=Facts(Effect.WRITE, "update"),
        risk=Risk(30),
        approvers=("owners", "dba"),
        policy_version="v",
        requested_at=0.0,
        expires_at=1.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # a test's own changes


def test_an_owner_approves_what_was_routed_to_owners() -> None:
    assert POLICY.may_approve(OWNER, request(), TARGET) is None


@pytest.mark.parametrize(
    ("approver", "asked", "target", "expected"),
    [
        (OWNER, request(approvers=("dba",)), TARGET, "no rule permits"),
        (replace(OWNER, groups=frozenset({"dba"})), request(), TARGET, "no rule permits"),
        (OWNER, request(), replace(TARGET, labels={"environment": "sealed"}), "no rule permits"),
        (OWNER, request(), replace(TARGET, labels={}), "no rule permits"),
        (OWNER, request(facts=Facts(Effect.DESTROY, "drop")), TARGET, "never-approve-destruction"),
        (replace(AGENT, groups=frozenset({"owners"})), request(), TARGET, "an agent may not"),
        (
            replace(AGENT, groups=frozenset({"owners"}), on_behalf_of=None),
            request(),
            TARGET,
            "you may not decide your own",
        ),
        (replace(OWNER, subject="ADA@example.com "), request(), TARGET, "you may not decide your own"),
        (replace(OWNER, issuer="https://else", subject="ada@example.com"), request(), TARGET, "your own"),
        (replace(OWNER, subject="s-1"), request(), TARGET, "you may not decide your own"),
        (replace(OWNER, subject="reporter"), request(), TARGET, "you may not decide your own"),
        (replace(OWNER, agent="Reporter"), request(), TARGET, "you may not decide your own"),
        (replace(OWNER, on_behalf_of="boss@example.com"), request(), TARGET, "an agent may not"),
    ],
)
def test_who_may_not_approve(approver: Principal, asked: ApprovalRequest, target: Target, expected: str) -> None:
    denial = POLICY.may_approve(approver, asked, target)
    assert denial is not None
    assert denial.code is DenialCode.POLICY
    assert expected in denial.reason


def test_a_person_whose_token_names_them_twice_is_still_a_person() -> None:
    assert POLICY.may_approve(replace(OWNER, on_behalf_of="Olga@example.com"), request(), TARGET) is None


def test_recordings_are_for_auditors_and_those_they_are_about() -> None:
    auditor = Principal("https://idp", "ida", "console", frozenset({"auditors"}))
    ada = Principal("https://idp", "ada@example.com", "console")
    assert POLICY.may_read_recording(auditor, AGENT, TARGET) is None
    assert POLICY.may_read_recording(AGENT, AGENT, TARGET) is None
    assert POLICY.may_read_recording(ada, AGENT, TARGET) is None
    denial = POLICY.may_read_recording(OWNER, AGENT, TARGET)
    assert denial is not None
    assert "read-recording" in denial.reason
    nobody = replace(AGENT, subject="s-9", on_behalf_of=None)
    assert POLICY.may_read_recording(replace(OWNER, subject=""), nobody, TARGET) is not None
