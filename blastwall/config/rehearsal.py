"""Running a policy set's regression suite: each case is decided for real, nothing is sent anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from blastwall.config.bundle import Bundle
from blastwall.config.cases import Approve, Case, GivenFacts, Person, Suite
from blastwall.model import (
    ApprovalRequest,
    Decision,
    Denial,
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
from blastwall.policy.decide import Question

JudgeText = Callable[[Target, str], Facts]
Result = Decision | None  # None: allowed, by a question that mints no permit

_FOR_PEOPLE = frozenset({"approve", "grant", "unbounded", "undo", "read-recording"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case went. ``wrong`` is empty when all was as expected; ``rules`` are those that decided it."""

    case: Case
    file: str
    line: int
    got: str
    rules: tuple[str, ...]
    wrong: tuple[str, ...]


def run_cases(suite: Suite, bundle: Bundle, judge: JudgeText) -> Iterator[Outcome]:
    """Decide each case. Raises what ``judge`` raises."""
    for number, case in enumerate(suite.cases):
        result = _decide(case, suite, bundle, judge)
        place = suite.document.problem(("cases", number), "")
        rules = () if result is None else result.policies
        yield Outcome(case, place.file, place.line, word(result), rules, tuple(_wrong(case, result)))


def untouched(outcomes: Sequence[Outcome], bundle: Bundle) -> tuple[str, ...]:
    """Rules that decided no case; permits for what people do are left out, for no decision carries their names."""
    touched = {rule for outcome in outcomes for rule in outcome.rules}
    return tuple(
        sorted(
            id
            for id, rule in bundle.policies.rules.items()
            if id not in touched and not (rule.actions and set(rule.actions) <= _FOR_PEOPLE)
        )
    )


def word(result: Result) -> str:
    """permit, pending or denial."""
    if result is None or isinstance(result, Permit):
        return "permit"
    return "pending" if isinstance(result, Pending) else "denial"


def _decide(case: Case, suite: Suite, bundle: Bundle, judge: JudgeText) -> Result:
    configured = bundle.targets[case.target]
    target = replace(configured, labels={**configured.labels, **case.labels})
    principal = _principal(suite.people[case.by_whom])
    policies = bundle.policies
    if case.recording_of is not None:
        return policies.may_read_recording(principal, _principal(suite.people[case.recording_of]), target)
    if case.approve is not None:
        request = _request(case.approve, suite, target)
        return policies.may_approve(principal, request, target, case.approve.grant_seconds, case.approve.unbounded)
    kind, facts = case.kind, Facts(Effect.SESSION, "connect")
    if case.connect:
        kind = StatementKind.CONNECT
    elif case.facts is not None:
        facts = _facts(case.facts)
    else:
        facts = judge(target, case.statement or "")
    question = Question(principal, target, kind, facts, case.hour, frozenset(case.exhausted), case.break_glass)
    return policies.decide(policies.supposing(question, case.blast.blast() if case.blast is not None else None))


def _wrong(case: Case, result: Result) -> Iterator[str]:
    """What differs from the expectation, in the order a reader wants to know it."""
    got = word(result)
    if got != case.expect:
        reason = "" if result is None or isinstance(result, Permit) else f" ({result.reason})"
        yield f"expected {case.expect}, got {got}{reason}"
    rules = () if result is None else result.policies
    if case.by is not None and set(case.by) != set(rules):
        yield f"expected {_listed(case.by)} to decide, but {_listed(rules)} did"
    code = result.code.value if isinstance(result, Denial) else None
    if case.code is not None and case.code != code:
        yield f"expected code {case.code}, got {code or 'none'}"
    approvers = result.approvers if isinstance(result, Pending) else ()
    if case.approvers is not None and set(case.approvers) != set(approvers):
        yield f"expected approvers {_listed(case.approvers)}, got {_listed(approvers)}"
    quorum = result.quorum if isinstance(result, Pending) else None
    if case.quorum is not None and case.quorum != quorum:
        yield f"expected a quorum of {case.quorum}, got {quorum or 'none'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "no rule"


def _principal(person: Person) -> Principal:
    return Principal(
        issuer=person.issuer,
        subject=person.subject or person.agent,
        agent=person.agent,
        groups=frozenset(person.groups),
        on_behalf_of=person.on_behalf_of,
    )


def _facts(given: GivenFacts) -> Facts:
    return Facts(
        effect=given.effect,
        verb=given.verb,
        objects=tuple(_object(written) for written in given.objects),
        flags=given.flags,
        bounded=given.bounded,
        statements=given.statements,
        reason=given.reason,
        masked_columns=given.masked_columns,
        filters_masked=given.filters_masked,
        refusal=given.refusal,
    )


def _object(written: str) -> ObjectRef:
    access, _, rest = written.partition(" ")
    kind, _, name = rest.rpartition(" ")
    return ObjectRef(kind, name, access)


def _request(approve: Approve, suite: Suite, target: Target) -> ApprovalRequest:
    return ApprovalRequest(
        id="case",
        binding="",
        session="",
        principal=_principal(suite.people[approve.requester]),
        target=target.name,
        statement=Statement(""),
        facts=Facts(Effect.WRITE, "update", flags=approve.flags),
        risk=Risk(0),
        approvers=approve.approvers,
        policy_version="",
        requested_at=0.0,
        expires_at=0.0,
    )
