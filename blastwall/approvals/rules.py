"""The life of an approval request: states and transitions as a table, and whose vote counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hmac import compare_digest
from types import MappingProxyType

from blastwall.approvals.bounds import MOST_ROWS, counted, settled
from blastwall.approvals.demands import Voice, missing, spelt
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    ApprovalStatus,
    Denial,
    DenialCode,
    Principal,
    StatementKind,
)

MAX_NOTE = 1000  # characters
MAX_GRANT_SECONDS = 3600.0  # whatever policy says: after an hour nobody remembers what they looked at
MAX_GRANT_USES = 1000


class Event(StrEnum):
    """What can happen to a request."""

    APPROVE = "approve"  # the last approval of the quorum
    DENY = "deny"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    REDEEM = "redeem"  # the last use; those before it leave the state as it is
    SUPERSEDE = "supersede"


# What is not listed does not happen. REDEEMED is reached from APPROVED only and nothing leads out of it: one run. But
# for a connection (below): what it opened is still open, so it can be taken back.
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
OPEN_TRANSITIONS: Mapping[tuple[ApprovalState, Event], ApprovalState] = MappingProxyType(
    {
        (ApprovalState.REDEEMED, Event.DENY): ApprovalState.DENIED,
        (ApprovalState.REDEEMED, Event.WITHDRAW): ApprovalState.WITHDRAWN,
    }
)
LIVE: frozenset[ApprovalState] = frozenset(state for state, _ in TRANSITIONS)
_TAKEN_BACK = frozenset({ApprovalState.DENIED, ApprovalState.WITHDRAWN})

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
class Ballot:
    """An answer as a person gives it.

    ``shown`` is the hash of what was in front of that person (``view.shown_hash``): it must be what is stored.
    ``grant_seconds`` above 0 approves every statement of the same shape for so long, where policy allows that. ``rows``
    it may change at most; None: as many as the request proposes.
    """

    approve: bool
    shown: str
    note: str = ""
    grant_seconds: float = 0.0
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's answer to one request, counted."""

    approver: Principal
    approve: bool
    note: str
    at: float
    grant_seconds: float = 0.0
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """A request with where it stands and who has voted."""

    request: ApprovalRequest
    status: ApprovalStatus
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What the last approval gives: so many uses until then; ``same_shape``: to any statement of the shape.

    ``bound``: each use may change so many rows (None: any number).
    """

    uses: int
    expires_at: float
    same_shape: bool
    bound: int | None = None


def next_state(state: ApprovalState, event: Event, kind: StatementKind = StatementKind.EXECUTE) -> ApprovalState | None:
    """Where ``event`` takes a request in ``state``; None when it may not happen there. ``kind`` of its statement."""
    after = TRANSITIONS.get((state, event))
    if after is None and kind is StatementKind.CONNECT:
        after = OPEN_TRANSITIONS.get((state, event))
    return after


def decidable(request: ApprovalRequest, state: ApprovalState) -> bool:
    """May anybody still answer it? A connection that was approved and used can be denied: then its session ends."""
    return next_state(state, Event.DENY, request.statement.kind) is not None


def ends_session(request: ApprovalRequest, used: int, after: ApprovalState) -> bool:
    """Does the session end with this change? It does when what let it connect, and was used, is taken back."""
    return request.statement.kind is StatementKind.CONNECT and used > 0 and after in _TAKEN_BACK


def opens_until(request: ApprovalRequest, status: ApprovalStatus) -> float | None:
    """When a session ends at the latest that this approval lets connect; None: the approval says nothing of that.

    A person who lets it connect for ten minutes means the session, not the door.
    """
    return status.expires_at if request.statement.kind is StatementKind.CONNECT and status.same_shape else None


def end_reason(id: str, after: ApprovalState, note: str) -> str:
    """Why a session ended, in words for its agent and for the record."""
    return f"its approval {id} was {after}" + (f": {note}" if note else "")


def as_of(state: ApprovalState, expires_at: float, now: float) -> ApprovalState:
    """The state of a stored request at ``now``: what is live expires by the clock, even if nobody wrote it down."""
    if now >= expires_at:
        return next_state(state, Event.EXPIRE) or state
    return state


def judge_ballot(request: ApprovalRequest, ballot: Ballot, shown: str) -> Denial | None:
    """Why a ballot cannot count at all; ``shown`` is the hash of what would be shown of the stored request.

    Raises ValueError when the note is longer than 1,000 characters.
    """
    if len(ballot.note) > MAX_NOTE:
        raise ValueError(f"a note has at most {MAX_NOTE} characters")
    if not compare_digest(ballot.shown.encode(), shown.encode()):
        return Denial(
            DenialCode.POLICY,
            "what you were shown is not what is stored under this id",
            hint="look at the request again, then decide",
        )
    if ballot.grant_seconds and not ballot.approve:
        return Denial(DenialCode.POLICY, "only an approval can be for a while", hint="deny it without a duration")
    if ballot.grant_seconds and not request.shape:
        return Denial(
            DenialCode.POLICY,
            "this statement has no shape that could be told safely from others",
            hint="approve this one statement",
        )
    if not 0 <= ballot.grant_seconds <= MAX_GRANT_SECONDS:
        return Denial(
            DenialCode.POLICY,
            f"a grant lasts at most {MAX_GRANT_SECONDS / 60:.0f} minutes",
            hint="approve it for less",
        )
    return _judge_rows(request, ballot)


def _judge_rows(request: ApprovalRequest, ballot: Ballot) -> Denial | None:
    if ballot.rows is None:
        return None
    if not ballot.approve:
        return Denial(DenialCode.POLICY, "only an approval can be for a number of rows", hint="deny it without one")
    if not counted(request.facts):
        return Denial(
            DenialCode.POLICY,
            "nobody is told how many rows this statement changes, so no number can be held against it",
            hint="approve it without a number of rows, or have the agent write each change as a statement of its own",
        )
    if not 0 <= ballot.rows <= MOST_ROWS:
        return Denial(DenialCode.POLICY, f"a number of rows is from 0 to {MOST_ROWS}", hint="say fewer rows")
    return None


def granted(request: ApprovalRequest, votes: Sequence[Vote], now: float) -> Grant:
    """What the approving ``votes`` together give: a while only if each of them said so, and then the shortest; the
    smallest number of rows.
    """
    seconds = min((vote.grant_seconds for vote in votes if vote.approve), default=0.0)
    bound = settled(request, tuple(vote.rows for vote in votes if vote.approve))
    if seconds <= 0:
        return Grant(1, request.expires_at, False, bound)
    return Grant(MAX_GRANT_USES, now + seconds, True, bound)


def routed_to(request: ApprovalRequest, now: float) -> tuple[str, ...]:
    """The groups that may be asked at ``now``: those it was routed to, and after a while those it escalates to."""
    if request.escalate_at and now >= request.escalate_at:
        return tuple(dict.fromkeys((*request.approvers, *request.escalation)))
    return request.approvers


def judge_vote(
    request: ApprovalRequest,
    state: ApprovalState,
    votes: Sequence[Vote],
    approver: Principal,
    approve: bool,
    now: float = 0.0,
) -> ApprovalState | Denial:
    """Where the vote takes the request (REQUESTED: somebody else must approve, too), or why it does not count.

    ``state`` is the state as of now, ``votes`` those counted before. Whether policy lets this person decide is the
    caller's question; here is what holds under every policy: an agent never votes, nobody decides what is done for
    them, one person has one voice. A person is told by the subject, whatever the token's issuer; one denial is enough.
    """
    event = Event.APPROVE if approve else Event.DENY
    after = next_state(state, event, request.statement.kind)
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
    voices = voices_of(votes)
    if approver.subject.casefold() in {voice.person.subject.casefold() for voice in voices}:
        return Denial(
            DenialCode.POLICY,
            "you have approved this request already; one person is one vote",
            hint=f"{spelt(missing(request, voices))} must approve besides",
        )
    return state if missing(request, [*voices, Voice(approver, now)]) else after


def voices_of(votes: Sequence[Vote]) -> list[Voice]:
    """Those who approved."""
    return [Voice(vote.approver, vote.at) for vote in votes if vote.approve]


def unknown(id: str) -> Denial:
    """What somebody is told who names a request that there is not: nothing more than about one that is not theirs."""
    return Denial(DenialCode.POLICY, f"there is no request {id!r} that you may decide", hint="list those there are")


def _approvers(request: ApprovalRequest) -> str:
    return ", ".join(request.approvers) or "the approvers"


def _names(principal: Principal) -> frozenset[str]:
    """Every name this principal's human or agent could be recognised by, without regard to case."""
    return frozenset(
        name.casefold() for name in (principal.subject, principal.agent, principal.on_behalf_of) if name is not None
    )
