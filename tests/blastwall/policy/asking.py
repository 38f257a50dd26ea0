"""A small policy set, and questions to it."""

from __future__ import annotations

from dataclasses import replace

from blastwall.model import (
    ApprovalRequest,
    Decision,
    Effect,
    Facts,
    Principal,
    Risk,
    Statement,
    StatementKind,
    Target,
)
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
