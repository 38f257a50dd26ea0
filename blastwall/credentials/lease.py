"""Leases: what was vended to which session, written down before it is made, so that it is found again and ended.

Pure values and the contract of where they are kept; ``blastwall/local`` and ``blastwall/aws`` keep them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from blastwall.model import Session

#: Whoever takes a lease to end it has this long before another may try (seconds).
CLAIM_SECONDS: Final = 30.0
#: After a failed attempt the next one comes after this, and after so many of them after the longer (seconds).
SOON: Final = 12
RETRY_SECONDS: Final = 5.0
LATER_SECONDS: Final = 30.0
#: A session has this many leases at most: one for each gateway process that serves it, and each profile.
MOST_LEASES: Final = 100

_SESSION: Final = re.compile(r"(?=.{1,48}\Z)[a-z0-9]+(-[a-z0-9]+)*")


class LeaseState(StrEnum):
    """OPEN: it may exist at the target. ENDING: it is being taken back. CLOSED: it was shown to be dead."""

    OPEN = "open"
    ENDING = "ending"
    CLOSED = "closed"


class LeaseTaken(Exception):
    """There is a lease of that session and id already."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One credential of one session. ``id`` is the user's name at the target, or what else names it there.

    ``holder`` is the process that was handed the secret: nobody else can use it, so it need not outlive the holder.
    ``kind`` and ``profile`` are the configuration's; the target is named, never copied: it is looked up when it ends.
    """

    session: str
    id: str
    target: str
    kind: str
    profile: str
    holder: str
    made_at: float
    expires_at: float
    state: LeaseState = LeaseState.OPEN
    note: str = ""


class Leases(Protocol):
    """Where leases are kept, for all processes."""

    async def write(self, lease: Lease) -> None:
        """Write down an open lease. Raises LeaseTaken, and TokenFault when its session has ended."""
        ...

    async def claim(self, lease: Lease, now: float) -> bool:
        """Take an unclosed lease to end it; False when it is closed, or somebody else took it in the last 30 s."""
        ...

    async def retry(self, lease: Lease, at: float, note: str) -> None:
        """It could not be ended: let the next one try from ``at`` on."""
        ...

    async def close(self, lease: Lease, at: float, note: str) -> None:
        """It is dead. ``note`` says how that was shown."""
        ...

    async def attempts(self, lease: Lease) -> int:
        """How often it could not be ended."""
        ...

    async def abandoned(self, holder: str, now: float) -> Sequence[Lease]:
        """Unclosed leases that nobody else looks after: of dead holders, of ended sessions (another's after ten
        seconds), and those that could not be ended and are due again."""
        ...

    async def of(self, session: str) -> Sequence[Lease]:
        """The session's leases that are not closed."""
        ...

    async def history(self, session: str) -> Sequence[Lease]:
        """All of the session's leases, closed ones too."""
        ...


def cap(session: Session, maximum_seconds: float, now: float) -> float:
    """When a credential made now expires at the latest: with the session, the token or the policy's maximum."""
    return min(session.expires_at, session.principal.expires_at, now + maximum_seconds)


def role_name(session: str, number: int = 1) -> str:
    """The name at the target of a session's ``number``-th login: ``bw_s_abc``, ``bw_s_abc__2`` ...

    Raises ValueError for what is no session id (letters, digits, single hyphens between them): so no two give one name.
    """
    if not _SESSION.fullmatch(session) or not 1 <= number <= MOST_LEASES:
        raise ValueError(f"{session!r} number {number} names no login")
    name = "bw_" + session.replace("-", "_")
    return name if number == 1 else f"{name}__{number}"


def retry_at(now: float, attempts: int) -> float:
    """When to try again to end a lease that could not be ended ``attempts`` times before."""
    return now + (RETRY_SECONDS if attempts < SOON else LATER_SECONDS)
