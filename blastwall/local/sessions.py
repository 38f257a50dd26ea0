"""``ports.Sessions`` on the local store: live sessions shared by all gateway processes of this machine."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

from blastwall.local.store import Store
from blastwall.model import Principal, Session, Target
from blastwall.ports import Clock


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as an operator sees it. ``ended_at`` None: it lives."""

    session: Session
    connections: tuple[str, ...]
    usage: Mapping[str, int]
    ended_at: float | None = None
    reason: str = ""
    ended_by: str = ""


class LocalSessions:
    """Sessions by (token, target)."""

    def __init__(self, store: Store, clock: Clock) -> None:
        raise NotImplementedError

    async def open(self, principal: Principal, target: Target, break_glass: str | None = None) -> Session:
        """Raises TokenFault when the token has expired, its session was killed, or its agent is locked."""
        raise NotImplementedError

    async def attach(self, session: Session, connection: str) -> None:
        raise NotImplementedError

    async def detach(self, session: Session, connection: str, usage: Mapping[str, int]) -> None:
        raise NotImplementedError

    async def usage(self, session: Session) -> Mapping[str, int]:
        raise NotImplementedError

    def ended(self, session: Session) -> Awaitable[str]:
        """Completes with the reason when the session is killed, its agent is locked, or it expires."""
        raise NotImplementedError

    async def kill(self, id: str, reason: str, by: str) -> bool:
        """End a session in every process; its token opens no new one at that target. False: no such live session."""
        raise NotImplementedError

    async def lock(self, agent: str, reason: str, by: str) -> int:
        """End all sessions of an agent and refuse new ones until :meth:`unlock`. Returns how many ended."""
        raise NotImplementedError

    async def unlock(self, agent: str) -> bool:
        raise NotImplementedError

    async def show(self, id: str) -> SessionRow | None:
        raise NotImplementedError

    async def ls(self, *, live: bool = True, limit: int = 200) -> Sequence[SessionRow]:
        raise NotImplementedError

    async def sweep(self) -> int:
        """Detach the connections of processes that are gone. Returns how many."""
        raise NotImplementedError
