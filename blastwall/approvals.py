"""The life of an approval request: states and transitions as a table, whose vote counts, what an approval is bound to.

Pure: the stores (``blastwall/local``, ``blastwall/aws``) keep what these functions decide, and follow the table.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar, cast

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

T = TypeVar("T", Parameter, ObjectRef, Principal, Statement, Facts, Risk, ApprovalRequest)


class Event(StrEnum):
    """What can happen to a request."""

    APPROVE = "approve"  # the last approval of the quorum
    DENY = "deny"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    REDEEM = "redeem"
    SUPERSEDE = "supersede"


# What is not listed does not happen. REDEEMED is reached from APPROVED only and nothing leads out of it: one run.
TRANSITIONS: Mapping[tuple[ApprovalState, Event], ApprovalState] = MappingProxyType(
    {
        (ApprovalState.REQUESTED, Event.APPROVE): ApprovalState.APPROVED,
        (ApprovalState.REQUESTED, Event.DENY): ApprovalState.DENIED,
        (ApprovalState.REQUESTED, Event.EXPIRE): ApprovalState.EXPIRED,
        (ApprovalState.REQUESTED, Event.WITHDRAW): ApprovalState.WITHDRAWN,
        (ApprovalState.REQUESTED, Event.SUPERSEDE): ApprovalState.SUPERSEDED,
        (ApprovalState.APPROVED, Event.REDEEM): ApprovalState.REDEEMED,
        (ApprovalState.APPROVED, Event.DENY): ApprovalState.DENIED,  # an approver may take it back until it is used
        (ApprovalState.APPROVED, Event.EXPIRE): ApprovalState.EXPIRED,
        (ApprovalState.APPROVED, Event.WITHDRAW): ApprovalState.WITHDRAWN,
        (ApprovalState.APPROVED, Event.SUPERSEDE): ApprovalState.SUPERSEDED,
    }
)
LIVE: frozenset[ApprovalState] = frozenset(state for state, _ in TRANSITIONS)

# Why a vote comes too late, by the state it finds.
_TOO_LATE: Mapping[ApprovalState, tuple[DenialCode, str]] = MappingProxyType(
    {
        ApprovalState.APPROVED: (DenialCode.POLICY, "the request is approved already"),
        ApprovalState.REDEEMED: (DenialCode.POLICY, "the approval has been used: the statement has run"),
        ApprovalState.DENIED: (DenialCode.DENIED, "the request has been denied"),
        ApprovalState.EXPIRED: (DenialCode.EXPIRED, "the request has expired"),
        ApprovalState.WITHDRAWN: (DenialCode.WITHDRAWN, "the agent has withdrawn the request or gone away"),
        ApprovalState.SUPERSEDED: (
            DenialCode.WITHDRAWN,
            "policy has changed since, and a newer request took its place",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's answer to one request."""

    approver: Principal
    approve: bool
    note: str
    at: float


def next_state(state: ApprovalState, event: Event) -> ApprovalState | None:
    """Where ``event`` takes a request in ``state``; None when it may not happen there."""
    return TRANSITIONS.get((state, event))


def as_of(state: ApprovalState, expires_at: float, now: float) -> ApprovalState:
    """The state of a stored request at ``now``: what is live expires by the clock, even if nobody wrote it down."""
    if now >= expires_at:
        return next_state(state, Event.EXPIRE) or state
    return state


def judge_vote(
    request: ApprovalRequest, state: ApprovalState, votes: Sequence[Vote], approver: Principal, approve: bool
) -> ApprovalState | Denial:
    """Where the vote takes the request (REQUESTED: the quorum is not met yet), or why it does not count.

    ``state`` is the state as of now, ``votes`` those counted before. Whether policy lets this person decide is the
    caller's question; here is what holds under every policy: an agent never votes, nobody decides what is done for
    them, one person has one voice. A person is told by the subject, whatever the token's issuer; one denial is enough.
    """
    event = Event.APPROVE if approve else Event.DENY
    after = next_state(state, event)
    if after is None:
        code, reason = _TOO_LATE[state]
        return Denial(code, reason, hint="the agent must ask again if it still wants to run this")
    works_for = approver.on_behalf_of
    for_another = works_for is not None and works_for.casefold() != approver.subject.casefold()
    if for_another or approver.token_id == request.principal.token_id:
        return Denial(
            DenialCode.IDENTITY,
            "this token speaks for an agent, and agents do not approve",
            hint="sign in as yourself and decide with your own token",
        )
    if _names(approver) & _names(request.principal):
        return Denial(
            DenialCode.POLICY,
            "nobody decides about a statement of their own, or one that runs on their behalf",
            hint=f"ask another member of {_approvers(request)}",
        )
    if not approve:
        return after
    approved = {vote.approver.subject.casefold() for vote in votes if vote.approve}
    if approver.subject.casefold() in approved:
        return Denial(
            DenialCode.POLICY,
            "you have approved this request already; one person is one vote",
            hint=f"{request.quorum - len(approved)} more of {_approvers(request)} must approve",
        )
    return after if len(approved) + 1 >= request.quorum else state


def _approvers(request: ApprovalRequest) -> str:
    return ", ".join(request.approvers) or "the approvers"


def _names(principal: Principal) -> frozenset[str]:
    """Every name this principal's human or agent could be recognised by, without regard to case."""
    return frozenset(
        name.casefold() for name in (principal.subject, principal.agent, principal.on_behalf_of) if name is not None
    )


def binding(*, principal: Principal, session: str, target: str, statement: Statement, policy_version: str) -> str:
    """SHA-256 (64 hex digits) over everything an approval is for; any difference makes another request.

    Every field is length-prefixed, so no two different inputs read the same; NULL and the empty value differ. The
    client's own name for a prepared statement and the statement's number are left out: they do not change what runs.
    """
    digest = hashlib.sha256()
    for field in _bound_fields(principal, session, target, statement, policy_version):
        digest.update(b"-" if field is None else b"%d:" % len(field) + field)
    return digest.hexdigest()


def _bound_fields(
    principal: Principal, session: str, target: str, statement: Statement, policy_version: str
) -> Iterator[bytes | None]:
    yield b"blastwall approval 1"
    for text in (principal.issuer, principal.subject, principal.agent, principal.on_behalf_of):
        yield None if text is None else _raw(text)
    yield b"%d" % len(principal.groups)
    yield from (_raw(group) for group in sorted(principal.groups))
    for text in (session, target, policy_version, statement.kind, statement.text, statement.surroundings):
        yield _raw(text)
    yield b"%d" % len(statement.parameters)
    for parameter in statement.parameters:
        yield parameter.value
        yield b"%d %d" % (parameter.type_id, parameter.binary)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def request_id(entropy: bytes) -> str:
    """An unguessable request id, ``a-`` and 16 base32 characters (80 bits), from at least 10 random bytes."""
    if len(entropy) < 10:
        raise ValueError("a request id needs at least 10 random bytes")
    return "a-" + base64.b32encode(entropy[:10]).decode("ascii").lower()


def to_document(request: ApprovalRequest) -> dict[str, Any]:
    """The request as plain JSON values, complete: text, parameters (base64) and facts."""
    document = asdict(request)
    document["statement"] = request.statement._asdict()
    document["statement"]["parameters"] = [parameter._asdict() for parameter in request.statement.parameters]
    document["principal"]["groups"] = sorted(request.principal.groups)
    document["facts"]["flags"] = sorted(request.facts.flags)
    for parameter in document["statement"]["parameters"]:
        value = parameter["value"]
        parameter["value"] = None if value is None else base64.b64encode(value).decode("ascii")
    return document


def from_document(document: Mapping[str, Any]) -> ApprovalRequest:
    """The inverse of :func:`to_document`. Raises ValueError, KeyError or TypeError for anything else."""
    statement, facts = document["statement"], document["facts"]
    parameters = tuple(
        _exact(Parameter, one, value=None if one["value"] is None else base64.b64decode(one["value"], validate=True))
        for one in statement["parameters"]
    )
    objects = tuple(_exact(ObjectRef, one) for one in facts["objects"])
    reasons = tuple((why, weight) for why, weight in document["risk"]["reasons"])
    return _exact(
        ApprovalRequest,
        document,
        principal=_exact(Principal, document["principal"], groups=frozenset(document["principal"]["groups"])),
        statement=_exact(Statement, statement, kind=StatementKind(statement["kind"]), parameters=parameters),
        facts=_exact(Facts, facts, effect=Effect(facts["effect"]), objects=objects, flags=frozenset(facts["flags"])),
        risk=_exact(Risk, document["risk"], reasons=reasons),
        approvers=tuple(document["approvers"]),
    )


def _exact(shape: type[T], members: Mapping[str, Any], /, **converted: object) -> T:
    """``shape`` from exactly its own fields: one left out would take its default, and defaults are for new values."""
    expected = set(getattr(shape, "_fields", ())) or {field.name for field in fields(cast(Any, shape))}
    if set(members) != expected:
        raise ValueError(
            f"not the document of an approval request: {shape.__name__} wants {', '.join(sorted(expected))}"
        )
    return shape(**{**members, **converted})
