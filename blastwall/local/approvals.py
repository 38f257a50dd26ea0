"""``ports.Approvals`` on the local store, and what the approver's command line needs beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from blastwall.approvals import Vote
from blastwall.local.store import Store
from blastwall.model import ApprovalRequest, ApprovalStatus, Denial, Principal
from blastwall.ports import Clock

Authorise = Callable[[Principal, ApprovalRequest], Denial | None]


@dataclass(frozen=True, slots=True)
class Filed:
    """A request with where it stands and who has voted."""

    request: ApprovalRequest
    status: ApprovalStatus
    votes: tuple[Vote, ...] = ()


class LocalApprovals:
    """People's decisions in the shared store; a decision made in another process is seen within about 50 ms."""

    def __init__(self, store: Store, clock: Clock) -> None:
        raise NotImplementedError

    async def request(self, request: ApprovalRequest) -> ApprovalStatus:
        raise NotImplementedError

    async def decided(self, id: str, timeout: float) -> ApprovalStatus:
        raise NotImplementedError

    async def redeem(self, binding: str) -> ApprovalStatus | None:
        raise NotImplementedError

    async def latest(self, binding: str) -> ApprovalStatus | None:
        raise NotImplementedError

    async def withdraw(self, id: str, note: str) -> ApprovalStatus:
        raise NotImplementedError

    async def vote(
        self, id: str, approver: Principal, approve: bool, note: str, authorise: Authorise
    ) -> ApprovalStatus | Denial:
        """Count one person's answer, or say why it does not count. ``authorise`` is policy's ``may_approve``."""
        raise NotImplementedError

    async def show(self, id: str) -> Filed | None:
        raise NotImplementedError

    async def ls(self, *, live: bool = False, limit: int = 200) -> Sequence[Filed]:
        raise NotImplementedError
