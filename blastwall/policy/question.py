"""A question to policy, and how Cedar sees it: context and entities in the terms of ``schema.cedarschema``. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from blastwall.blast import Blast
from blastwall.model import Effect, Facts, Principal, Risk, StatementKind, Target
from blastwall.policy.risk import UNLABELLED

# Object kinds that count as `tables`; "system" are relations of the server's own catalogue.
RELATIONS: Final = frozenset({"table", "view", "materialized view", "foreign table", "system"})


class Question(NamedTuple):
    """Everything a decision may depend on; ``upstream_text`` only travels along into the permit.

    ``hour`` is 0 to 23 in UTC. ``exhausted`` names the session budgets that are used up (rows, bytes, statements).
    ``blast`` is what running the statement would do, None where no policy asks.
    """

    principal: Principal
    target: Target
    statement_kind: StatementKind
    facts: Facts
    hour: int
    exhausted: frozenset[str] = frozenset()
    break_glass: bool = False
    upstream_text: str = ""
    blast: Blast | None = None


def is_light(kind: StatementKind, facts: Facts) -> bool:
    """Whether a statement changes nothing, so that its blast radius is known without a look: it reads, or is only named
    (the values it runs with are judged when it runs).
    """
    return kind is not StatementKind.EXECUTE or facts.effect in (Effect.SESSION, Effect.READ)


def environment_of(target: Target) -> str:
    """The target's ``environment`` label, "unknown" without one."""
    return target.labels.get("environment", UNLABELLED)


def context_of(question: Question, risk: Risk) -> dict[str, object]:
    """The schema's ``Ask``, not approved. What masking adds is there for targets that have any."""
    facts = question.facts
    masking: dict[str, object] = {}
    if question.target.masking is not None:
        masking = {"masked_columns": sorted(facts.masked_columns), "filters_masked": facts.filters_masked}
    blast = {} if question.blast is None else {"blast": question.blast.context()}
    return {
        "kind": question.statement_kind.value,
        "verb": facts.verb,
        "effect": facts.effect.value,
        "bounded": facts.bounded,
        "flags": sorted(facts.flags),
        "objects": sorted({str(ref) for ref in facts.objects}),
        "tables": sorted({ref.name for ref in facts.objects if ref.kind in RELATIONS}),
        "statements": facts.statements,
        "risk": risk.score,
        "hour": question.hour,
        "environment": environment_of(question.target),
        "exhausted": sorted(question.exhausted),
        "approved": False,
        "break_glass": question.break_glass,
        **masking,
        **blast,
    }


def principal_key(principal: Principal) -> tuple[object, ...]:
    """What policy sees of a principal: not its token, nor when that expires."""
    return principal.issuer, principal.subject, principal.agent, principal.groups, principal.on_behalf_of


def target_key(target: Target) -> tuple[object, ...]:
    """What policy sees of a target, and the mode that turns its answer."""
    return target.name, target.protocol, target.mode, tuple(sorted(target.labels.items()))


def masks(target: Target) -> bool:
    """Whether anything is masked there for whoever asks: rules that exempt somebody from all of them are empty."""
    return bool(getattr(target.masking, "rules", ()))


def question_key(question: Question) -> tuple[object, ...]:
    """Everything that policy, risk or the answer's wording can see."""
    facts = question.facts
    return (
        principal_key(question.principal),
        target_key(question.target),
        question.statement_kind.value,
        (facts.effect.value, facts.verb, facts.objects, facts.flags, facts.bounded, facts.statements, facts.reason),
        (question.target.masking is not None, masks(question.target)),
        (facts.masked_columns, facts.filters_masked, facts.refusal),
        question.hour,
        question.exhausted,
        question.break_glass,
    )


def agent_entity(principal: Principal) -> dict[str, object]:
    """An ``Agent`` in its groups."""
    attributes: dict[str, object] = {
        "issuer": principal.issuer,
        "subject": principal.subject,
        "agent": principal.agent,
        "groups": sorted(principal.groups),
    }
    if principal.on_behalf_of is not None:
        attributes["on_behalf_of"] = principal.on_behalf_of
    return {
        "uid": {"type": "Agent", "id": principal.identity},
        "attrs": attributes,
        "parents": [{"type": "Group", "id": group} for group in sorted(principal.groups)],
    }


def target_entity(target: Target) -> dict[str, object]:
    """A ``Target`` with its labels as tags."""
    return {
        "uid": {"type": "Target", "id": target.name},
        "attrs": {"name": target.name, "protocol": target.protocol},
        "parents": [],
        "tags": dict(target.labels),
    }


def action_entities() -> list[dict[str, object]]:
    """The schema's action group: evaluation runs without the schema, for its cost, and needs the group as entities."""
    parents = [{"type": "Action", "id": "statement"}]
    return [{"uid": {"type": "Action", "id": effect.value}, "attrs": {}, "parents": parents} for effect in Effect]
