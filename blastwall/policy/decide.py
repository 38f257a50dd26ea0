"""The decision: Cedar's two answers made into the house's three. The only place that mints a Permit.

A statement is asked for as it stands (``context.approved`` false). If that is denied it is asked for again as if
people had approved it: deny, then permit is Pending; deny twice is Denial. Cedar skips a policy whose evaluation
fails, so a failing ``forbid`` would fail open: any evaluation error is a Denial.

Pure but for its caches: a decision is remembered by everything it depends on, and forgotten with its policy set.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import cedarpy

from blastwall.approvals.demands import demanded
from blastwall.blast import NOTHING, Blast, unknown
from blastwall.model import (
    ApprovalRequest,
    Decision,
    Demand,
    Denial,
    DenialCode,
    Effect,
    Facts,
    Guard,
    Pending,
    Permit,
    Principal,
    Risk,
    StatementKind,
    Target,
)
from blastwall.policy.check import SCHEMA, Rule, compile_policies
from blastwall.policy.memory import Memory
from blastwall.policy.question import (
    Question,
    action_entities,
    agent_entity,
    context_of,
    environment_of,
    is_light,
    masks,
    principal_key,
    question_key,
    target_entity,
    target_key,
)
from blastwall.policy.risk import RiskTable
from blastwall.policy.vocabulary import HINTS

__all__ = ["Policies", "Question", "Standing"]

REMEMBERED: Final = 4096  # decisions kept by value (twice that at most) and by identity
LONGEST_REMEMBERED: Final = (
    4096  # characters of text; with the next line it bounds what an agent can make the caches hold
)
MOST_OBJECTS_REMEMBERED: Final = 64
OBSERVE: Final = "observe"
EXCESSIVE: Final = "excessive"  # the flag of what is refused for how much it asks for: understood, and too much
MISNAMED: Final = "misnamed"  # the flag of what masking refuses for a name that is not there
STATEMENT: Final = "statement"  # the group of all actions that a statement can be

_NUMBERED: Final = re.compile(r"`(policy\d+)`")  # how the engine's errors name a policy
_ACTIONS_BY_KIND: Final = {StatementKind.CONNECT: "connect", StatementKind.CANCEL: "session"}
_OBSERVED_KINDS: Final = frozenset({StatementKind.PREPARE, StatementKind.EXECUTE, StatementKind.CANCEL})


@dataclass(frozen=True, slots=True)
class _Answer:
    """One of Cedar's answers; ``rules`` are the permits that allowed, or the forbids that denied, if any."""

    allowed: bool
    rules: tuple[Rule, ...]
    errors: tuple[str, ...]


class Policies:
    """A checked policy set with its risk table. Immutable but for its caches; make a new one to change a rule.

    ``version`` is the SHA-256 (hex) over schema, policies and risk table. Not for use by several threads at once.
    """

    def __init__(self, texts: Mapping[str, str], risk: RiskTable) -> None:
        """``texts``: file name to Cedar text. Raises ConfigFault with every problem at once, by file and line."""
        checked = compile_policies(texts)
        self.rules: Mapping[str, Rule] = checked.rules
        self.risk = risk
        self.version = _version(texts, risk)
        self._foreseeing = _foreseeing(checked.rules)
        self._set = checked.policies
        self._numbered = checked.numbered
        self._ground = cedarpy.Entities.from_json_str(json.dumps(action_entities()))
        self._worlds: Memory[tuple[object, ...], cedarpy.Entities] = Memory(REMEMBERED // 4)
        self._decided: Memory[tuple[object, ...], Decision] = Memory(REMEMBERED)
        # By identity of the question's parts, which the entry keeps alive: saves hashing them for every statement.
        self._same: dict[tuple[object, ...], tuple[Decision, Question]] = {}

    @classmethod
    def load(cls, texts: Mapping[str, str], risk: RiskTable) -> Policies:
        """``texts``: file name to Cedar text. Raises ConfigFault with every problem at once, by file and line."""
        return cls(texts, risk)

    def decide(self, question: Question, *, approved: str | None = None, guard: Guard | None = None) -> Decision:
        """``approved``: the id of a redeemed approval; only the second question is asked, the permit carries it, and
        the ``guard`` that people's approval puts on it. Without one ``guard`` is for a permit that rules gave because
        of the blast radius: what was counted is what may be changed.
        """
        if approved is not None:
            decision = self._settle(question, approved)
            if guard is None or not isinstance(decision, Permit):
                return decision
            return _mint(question, decision.policies, decision.risk, approval=decision.approval, guard=guard)
        if question.blast is not None and question.blast is not NOTHING:  # another one for each statement
            return self._guarded(self._settle(question, None), question, guard)
        key = (
            id(question.principal),
            id(question.target),
            id(question.facts),
            id(question.statement_kind),
            question.hour,
            question.exhausted,
            question.break_glass,
        )
        entry = self._same.get(key)
        decision = self._recall(question, key) if entry is None else entry[0]
        if type(decision) is Permit and decision.upstream_text != question.upstream_text:
            return _mint(question, decision.policies, decision.risk, would_have=decision.would_have)
        return decision

    def renew(self, permit: Permit, upstream_text: str) -> Permit:
        """The permit for another text of which all is known that it was given for: the same facts, the same hour.

        Only for one that nobody approved: an approval is for one text.
        """
        assert permit.approval is None and permit.guard is None, "an approval is for one text"
        return Permit(upstream_text, permit.policies, permit.risk, permit.prepare_only, None, permit.would_have)

    def _guarded(self, decision: Decision, question: Question, guard: Guard | None) -> Decision:
        if guard is None or not isinstance(decision, Permit) or decision.would_have is not None:
            return decision
        if not any(self.rules[id].reads_blast for id in decision.policies):
            return decision
        return _mint(question, decision.policies, decision.risk, guard=guard)

    def needs_blast(self, question: Question) -> bool:
        """Whether a rule that can speak about this question reads ``context.blast``: then it must be in there."""
        if not self._foreseeing or question.facts.refusal:  # which nothing lets through
            return False
        groups = self._foreseeing.get(_action_of(question), frozenset())
        return "" in groups or not groups.isdisjoint(question.principal.groups)

    def supposing(self, question: Question, given: Blast | None) -> Question:
        """The question with what its rules read of the blast radius; ``given`` None: nobody looked."""
        if not self.needs_blast(question):
            return question
        if is_light(question.statement_kind, question.facts):
            return question._replace(blast=NOTHING)
        return question._replace(blast=given or unknown("Nobody looked what it would do."))

    def may_approve(
        self,
        approver: Principal,
        request: ApprovalRequest,
        target: Target,
        grant_seconds: float = 0.0,
        unbounded: bool = False,
    ) -> Denial | None:
        """None: this person may decide this request. Never the requester, nor the person it works for, nor an agent.

        ``grant_seconds`` above 0: for all statements of its shape for so long; a rule must permit `grant`, too.
        ``unbounded``: it changes rows, and nobody says how many at most; a rule must permit that as well.

        These three hold whatever the policies say: names are compared without case and across issuers, so that a second
        identity provider does not make a second person.
        """
        requester = request.principal
        if approver.on_behalf_of and not _same_person(approver.on_behalf_of, approver.subject):
            return _refusal("an agent may not decide requests; a person must", "Sign in as yourself.")
        if _names(approver) & _names(requester):
            return _refusal(
                "you may not decide your own request, nor one made on your behalf",
                f"Ask somebody else in {', '.join(request.approvers) or 'the approving group'}.",
            )
        context = {
            "routed": not approver.groups.isdisjoint(request.approvers),
            "verb": request.facts.verb,
            "effect": request.facts.effect.value,
            "risk": request.risk.score,
            "quorum": request.quorum,
            "environment": environment_of(target),
        }
        limits = {"bounded": request.facts.bounded, "flags": sorted(request.facts.flags)}
        refusal = self._admit("approve", approver, target, context)
        if refusal is None and unbounded:
            refusal = self._admit("unbounded", approver, target, context | limits)
            if refusal is not None:
                reason = f"nobody knows how many rows it changes, and {refusal.reason}"
                refusal = replace(refusal, reason=reason, hint=HINTS["unbounded"])
        if refusal is not None or grant_seconds <= 0:
            return refusal
        return self._admit("grant", approver, target, context | limits | {"seconds": math.ceil(grant_seconds)})

    def may_undo(self, person: Principal, owner: Principal, target: Target) -> Denial | None:
        """None: ``person`` may see and bring back what ``owner`` has overwritten at ``target``. No agent may."""
        if person.on_behalf_of and not _same_person(person.on_behalf_of, person.subject):
            return _refusal("an agent may not see what was overwritten; a person may", "Sign in as yourself.")
        own = person.identity == owner.identity or _same_person(person.subject, owner.on_behalf_of or "")
        return self._admit("undo", person, target, {"own": own, "environment": environment_of(target)})

    def may_read_recording(self, reader: Principal, owner: Principal, target: Target) -> Denial | None:
        """None: ``reader`` may read a recording of ``owner``'s session at ``target``."""
        own = reader.identity == owner.identity or _same_person(reader.subject, owner.on_behalf_of or "")
        return self._admit("read-recording", reader, target, {"own": own, "environment": environment_of(target)})

    def _admit(self, action: str, person: Principal, target: Target, context: Mapping[str, object]) -> Denial | None:
        answer = self._ask(action, person, target, context)
        if answer.errors:
            return _failed(answer, Risk(0))
        if answer.allowed:
            return None
        who = _forbidding(answer.rules) if answer.rules else "no rule permits"
        return _refusal(f"{who} {action} on {target.name}", _hint(answer.rules, action, target), answer.rules)

    def _recall(self, question: Question, identities: tuple[object, ...]) -> Decision:
        key = question_key(question)
        decision = self._decided.get(key)
        if decision is None:
            decision = self._settle(question, None)
        if len(question.upstream_text) <= LONGEST_REMEMBERED and len(question.facts.objects) <= MOST_OBJECTS_REMEMBERED:
            self._decided.put(key, decision)
            if len(self._same) >= REMEMBERED:
                self._same.clear()
            self._same[identities] = (decision, question)
        return decision

    def _settle(self, question: Question, approved: str | None) -> Decision:
        """What masking refuses is refused whatever the policies say, whoever approved it and in whatever mode."""
        facts, target = question.facts, question.target
        if facts.refusal:
            risk = self.risk.score(facts, environment=environment_of(target), hour=question.hour)
            hint = HINTS[MISNAMED if MISNAMED in facts.flags else "masked"]
            return Denial(DenialCode.POLICY, facts.refusal, hint, (), risk)
        return _observe(self._judge(question, approved), question)

    def _judge(self, question: Question, approved: str | None) -> Decision:
        facts, target = question.facts, question.target
        risk = self.risk.score(facts, environment=environment_of(target), hour=question.hour)
        context = context_of(question, risk)
        action = _action_of(question)
        held: tuple[Rule, ...] = ()
        if approved is None:
            first = self._ask(action, question.principal, target, context)
            if first.errors:
                return _failed(first, risk)
            if first.allowed:
                return _mint(question, _ids(first.rules), risk)
            held = first.rules
        second = self._ask(action, question.principal, target, {**context, "approved": True})
        if second.errors:
            return _failed(second, risk)
        if not second.allowed:
            return _denial(question, action, second.rules, risk)
        if approved is not None:
            return _mint(question, _ids(second.rules), risk, approval=approved)
        holding = tuple(rule for rule in (*held, *second.rules) if rule.approvers)
        if question.statement_kind is StatementKind.PREPARE:
            return _mint(question, _ids(holding), risk)
        return _pending(question, holding, risk)

    def _ask(self, action: str, principal: Principal, target: Target, context: Mapping[str, object]) -> _Answer:
        request = {
            "principal": {"type": "Agent", "id": principal.identity},
            "action": {"type": "Action", "id": action},
            "resource": {"type": "Target", "id": target.name},
            "context": context,
        }
        try:
            result = cedarpy.is_authorized(request, self._set, self._world(principal, target))
        except ValueError as error:  # names that JSON or Cedar cannot carry, such as a lone surrogate
            return _Answer(False, (), (str(error),))
        diagnostics = result.diagnostics
        rules = tuple(sorted((self._numbered[name] for name in diagnostics.reasons), key=lambda rule: rule.id))
        errors = tuple(_NUMBERED.sub(lambda found: self._numbered[found[1]].id, error) for error in diagnostics.errors)
        if result.decision is cedarpy.Decision.NoDecision and not errors:
            errors = ("the policy engine gave no decision",)
        return _Answer(result.allowed and not errors, rules, errors)

    def _world(self, principal: Principal, target: Target) -> cedarpy.Entities:
        key = (principal_key(principal), target_key(target))
        world = self._worlds.get(key)
        if world is None:
            world = self._ground.with_added_json_str(json.dumps([agent_entity(principal), target_entity(target)]))
            self._worlds.put(key, world)
        return world


class Standing:
    """The policies that stand now: whoever decides asks for each statement anew, and a reload puts others here."""

    __slots__ = ("policies",)

    def __init__(self, policies: Policies) -> None:
        self.policies = policies


def _action_of(question: Question) -> str:
    return _ACTIONS_BY_KIND.get(question.statement_kind, question.facts.effect.value)


def _foreseeing(rules: Mapping[str, Rule]) -> Mapping[str, frozenset[str]]:
    """The actions about which a rule reads ``context.blast``, and the groups it speaks about ("": everybody)."""
    every = frozenset(effect.value for effect in Effect)
    found: dict[str, frozenset[str]] = {}
    for rule in rules.values():
        if rule.reads_blast:
            actions = every if not rule.actions or STATEMENT in rule.actions else every.intersection(rule.actions)
            for action in actions:
                found[action] = found.get(action, frozenset()) | {rule.group}
    return found


def _mint(
    question: Question,
    policies: tuple[str, ...],
    risk: Risk,
    *,
    approval: str | None = None,
    would_have: str | None = None,
    guard: Guard | None = None,
) -> Permit:
    """Make a permit. There is no other place that does."""
    return Permit(
        question.upstream_text,
        policies,
        risk,
        question.statement_kind is StatementKind.PREPARE,
        approval,
        would_have,
        guard,
    )


def _observe(decision: Decision, question: Question) -> Decision:
    """On a target in observe mode statements pass, and the permit says what would have happened.

    Connecting is decided as ever: a target that is only observed is not thereby open to everybody with a token. Where
    columns are masked, what nobody understands and what administers stays refused: masks do not hold in it.
    """
    if question.target.mode != OBSERVE or isinstance(decision, Permit):
        return decision
    if masks(question.target) and question.facts.effect in (Effect.ADMINISTER, Effect.UNKNOWN):
        return decision
    if question.statement_kind not in _OBSERVED_KINDS:
        return decision
    word = "pending" if isinstance(decision, Pending) else "denial"
    return _mint(question, decision.policies, decision.risk, would_have=f"{word}: {decision.reason}")


def _pending(question: Question, holding: tuple[Rule, ...], risk: Risk) -> Pending:
    approvers = tuple(dict.fromkeys(group for rule in holding for group in rule.approvers))
    demands = demanded([Demand(rule.approvers, rule.quorum) for rule in holding])
    asks = "asks" if len(holding) == 1 else "ask"
    whom = " and ".join(" or ".join(demand.groups) for demand in demands)
    reason = f"{_listed(holding)} {asks} {whom} first: {_because(question.facts)}"
    quorum = max((demand.quorum for demand in demands), default=1)
    return Pending(_ids(holding), approvers, risk, reason, quorum, demands)


def _denial(question: Question, action: str, rules: tuple[Rule, ...], risk: Risk) -> Denial:
    facts = question.facts
    because = _because(facts)
    if rules and all(rule.code == DenialCode.BUDGET for rule in rules):
        code = DenialCode.BUDGET
        because = f"this session has used up its budget of {', '.join(sorted(question.exhausted))}"
    elif facts.effect is Effect.UNKNOWN and EXCESSIVE not in facts.flags:
        code = DenialCode.UNKNOWN
    else:
        coded = [rule.code for rule in rules if rule.code and rule.code != DenialCode.BUDGET]
        code = DenialCode(coded[0]) if coded else DenialCode.POLICY
    who = f"no rule permits this ({action}) on {question.target.name}"
    if rules:
        who = f"{_forbidding(rules)} this"
    wanted = EXCESSIVE if EXCESSIVE in facts.flags else action
    return Denial(code, f"{who}: {because}", _hint(rules, wanted, question.target), _ids(rules), risk)


def _failed(answer: _Answer, risk: Risk) -> Denial:
    reason = f"the policy could not be evaluated: {'; '.join(answer.errors)}"
    hint = "Tell whoever keeps the policies; this does not run until they are mended."
    return Denial(DenialCode.FAULT, reason, hint, (), risk)


def _refusal(reason: str, hint: str, rules: tuple[Rule, ...] = ()) -> Denial:
    return Denial(DenialCode.POLICY, reason, hint, _ids(rules))


def _because(facts: Facts) -> str:
    return facts.reason or f"the effect of {facts.verb} is {facts.effect.value}"


def _hint(rules: tuple[Rule, ...], wanted: str, target: Target) -> str:
    usual = HINTS.get(f"{wanted}_{target.protocol}", HINTS.get(wanted, ""))
    return next((rule.hint for rule in rules if rule.hint), usual)


def _ids(rules: tuple[Rule, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(rule.id for rule in rules))


def _forbidding(rules: tuple[Rule, ...]) -> str:
    return f"{_listed(rules)} {'forbids' if len(rules) == 1 else 'forbid'}"


def _listed(rules: tuple[Rule, ...]) -> str:
    return ("rule " if len(rules) == 1 else "rules ") + ", ".join(_ids(rules))


def _names(principal: Principal) -> set[str]:
    names = (principal.subject, principal.agent, principal.on_behalf_of)
    return {name.strip().casefold() for name in names if name and name.strip()}


def _same_person(one: str, other: str) -> bool:
    return bool(one.strip()) and one.strip().casefold() == other.strip().casefold()


def _version(texts: Mapping[str, str], risk: RiskTable) -> str:
    parts = [SCHEMA, risk.text]
    for file in sorted(texts):
        parts += [file, texts[file]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
