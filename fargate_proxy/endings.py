"""What follows a session's end: what was vended to it is taken back, tried, and written down, whoever ended it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from blastwall.credentials.telling import outliving, record_revocations
from blastwall.errors import Fault, UpstreamFault
from blastwall.model import Credential, Revocation, Session, Target
from blastwall.ports import Recorder, Sessions, Vendor

log = logging.getLogger("blastwall.endings")

#: What nobody looks after (a gateway died, a target was away) is looked for this often (seconds).
RECLAIM_SECONDS: Final = 5.0
#: Sessions whose end is followed at a time; beyond that the reclaiming finds what is theirs.
MOST_FOLLOWED: Final = 10_000


class Reclaimed(Protocol):
    """One credential that was taken back although nobody asked."""

    @property
    def session(self) -> Session | None: ...

    @property
    def revocation(self) -> Revocation: ...


Reclaim = Callable[[], Awaitable[Sequence[Reclaimed]]]
Wait = Callable[[float], Awaitable[object]]


class Endings:
    """Takes credentials back when their session ends. ``targets`` are the configuration's at the moment."""

    def __init__(
        self, sessions: Sessions, vendor: Vendor, recorder: Recorder, targets: Callable[[], Mapping[str, Target]]
    ) -> None:
        self._sessions = sessions
        self._vendor = vendor
        self._recorder = recorder
        self._targets = targets
        self._followed: dict[str, asyncio.Task[None]] = {}

    def follow(self, session: Session, credential: Credential) -> None:
        """See to it that the credential ends with its session. Once for each session, however many connections."""
        ends = credential.kind in ("role", "iam") and session.id not in self._followed
        if ends and len(self._followed) < MOST_FOLLOWED:
            self._followed[session.id] = asyncio.create_task(self._await_end(session, credential))

    async def _await_end(self, session: Session, credential: Credential) -> None:
        try:
            reason = await self._sessions.ended(session)
            if credential.kind == "iam":
                await self._recorded(session, reason, (outliving(credential),))
                return
            try:
                await self._recorded(session, reason, await self._vendor.revoke(session))
            except UpstreamFault as fault:
                failed = Revocation(credential.user, credential.kind, False, str(fault), 0.0)
                await self._recorded(session, reason, (failed,))
        except Fault as fault:  # the store, say: the reclaiming takes over once it answers again
            log.error("the end of session %s cannot be followed: %s", session.id, fault)
        finally:
            self._followed.pop(session.id, None)

    async def reclaim_for_ever(self, reclaim: Reclaim, wait: Wait = asyncio.sleep) -> None:
        """Runs for ever, from the gateway's start on: takes back what an earlier process left.

        ``wait`` returns after so many seconds, or earlier when there may be something to take back.
        """
        failed: set[str] = set()
        while True:
            # It begins to wait before it looks: what happens while it looks is not missed.
            coming = asyncio.ensure_future(wait(RECLAIM_SECONDS))
            try:
                await asyncio.sleep(0)
                try:
                    for found in await reclaim():
                        await self._tell(found, failed)
                except Fault as fault:
                    log.error("abandoned credentials cannot be looked for: %s", fault)
                await coming
            finally:
                coming.cancel()

    async def finish(self, surrender: Reclaim) -> None:
        """The gateway ends: follow no more, and take back what this process vended, for nobody else can use it."""
        followers = list(self._followed.values())
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        self._followed.clear()
        for found in await surrender():
            await self._tell(found, set())

    async def _tell(self, found: Reclaimed, failed: set[str]) -> None:
        """A failure is told once: it is tried again every few seconds."""
        user = found.revocation.user
        if not found.revocation.verified and user in failed:
            return
        (failed.discard if found.revocation.verified else failed.add)(user)
        if found.session is None:
            log.warning("a credential without a session, %s: %s", user, found.revocation.proof)
            return
        await self._recorded(found.session, "nobody looked after it any more", (found.revocation,))

    async def _recorded(self, session: Session, reason: str, revocations: Sequence[Revocation]) -> None:
        """Off the event loop: a recording waits for its disk when it begins, and for who signs it when it ends."""
        await asyncio.to_thread(self._record, session, reason, revocations)

    def _record(self, session: Session, reason: str, revocations: Sequence[Revocation]) -> None:
        record_revocations(self._recorder, session, self._targets().get(session.target), reason, revocations)
