"""What is remembered is what was decided, and an agent cannot make it grow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blastwall.model import Denial, Effect, ObjectRef, Permit, StatementKind
from blastwall.policy import decide as mint
from blastwall.policy.decide import Policies
from blastwall.policy.risk import RiskTable
from tests.blastwall.policy.asking import AGENT, POLICIES, RISK, TARGET, ask, load


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
