"""The life of an approval request: states and transitions as a table, who may not vote, and what an approval is bound to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from blastwall.model import ApprovalRequest, ApprovalState, Denial, Principal, Statement


class Event(StrEnum):
    """What can happen to a request."""

    APPROVE = "approve"  # the last approval of the quorum
    DENY = "deny"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    REDEEM = "redeem"
    SUPERSEDE = "supersede"


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's answer to one request."""

    approver: Principal
    approve: bool
    note: str
    at: float


def next_state(state: ApprovalState, event: Event) -> ApprovalState | None:
    """Where ``event`` takes a request in ``state``; None when it may not happen there."""
    raise NotImplementedError


def binding(*, principal: Principal, session: str, target: str, statement: Statement, policy_version: str) -> str:
    """SHA-256 (64 hex digits) over everything an approval is for; any difference is another request."""
    raise NotImplementedError


def request_id(entropy: bytes) -> str:
    """An unguessable request id, ``a-`` and 16 base32 characters, from at least 10 random bytes."""
    raise NotImplementedError


def judge_vote(
    request: ApprovalRequest, state: ApprovalState, votes: Sequence[Vote], approver: Principal, approve: bool
) -> ApprovalState | Denial:
    """Where the vote takes the request (REQUESTED: the quorum is not met yet), or why it does not count."""
    raise NotImplementedError


def to_document(request: ApprovalRequest) -> dict[str, Any]:
    """The request as plain JSON values, complete: text, parameters (base64) and facts."""
    raise NotImplementedError


def from_document(document: Mapping[str, Any]) -> ApprovalRequest:
    """The inverse of :func:`to_document`. Raises ValueError, KeyError or TypeError for anything else."""
    raise NotImplementedError
