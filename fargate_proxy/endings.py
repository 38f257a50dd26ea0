"""What follows a session's end: what was vended to it is taken back, tried, and written down, whoever ended it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from blastwall.credentials.telling import outliving, record_revocations
from blastwall.errors import Fault, OurFault
from blastwall.model import Credential, Revocation, Session, Target
from blastwall.ports import Recorder, Sessions, Vendor

log = logging.getLogger("blastwall.endings")

#: What nobody looks after (a gateway died, a target was away) is looked for this often (seconds).
RECLAIM_SECONDS: Final = 5.0
#: What is being taken back when the gateway ends has this long (seconds).
FINISH_SECONDS: Final = 10.0
#: A store that does not say whether a session has ended is asked again after so long, so many times (seconds).
AGAIN_SECONDS: Final = 5.0
MOST_ATTEMPTS: Final = 720
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


@dataclass(slots=True)
class _Following:
    """What is known of a session's credentials. ``needed``: there is, or may be, one that ends with it."""

    task: asyncio.Task[None] | None = None
    vending: int = 0
    needed: bool = False
    over: bool = False  # the session has ended: what it has is being taken back
    users: set[str] = field(default_factory=set)
    outliving: dict[str, Credential] = field(default_factory=dict)

    def note(self, credential: Credential) -> None:
        if credential.kind == "role":
            self.needed = True
            self.users.add(credential.user)
        elif credential.kind == "iam":
            self.needed = True
            self.outliving[credential.user] = credential

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


def _nobody_is_told(credential: Credential) -> None:
    """Too many sessions are followed: the reclaiming finds what is theirs."""


class Endings:
    """Takes credentials back when their session ends. ``targets`` are the configuration's at the moment."""

    def __init__(
        self, sessions: Sessions, vendor: Vendor, recorder: Recorder, targets: Callable[[], Mapping[str, Target]]
    ) -> None:
        self._sessions = sessions
        self._vendor = vendor
        self._recorder = recorder
        self._targets = targets
        self._followed: dict[str, _Following] = {}

    @contextlib.contextmanager
    def vending(self, session: Session) -> Iterator[Callable[[Credential], None]]:
        """Around the making of a credential: see to it that whatever was made ends with the session.

        The session is followed before anything is made, so that a client that goes away meanwhile, or a session that
        ends meanwhile, leaves nothing to be found later. Yields what is told of the credential once it is there. Once
        for each session, however many connections.
        """
        following = self._followed.get(session.id)
        if following is None:
            if len(self._followed) >= MOST_FOLLOWED:
                yield _nobody_is_told
                return
            following = self._followed[session.id] = _Following()
            following.task = asyncio.create_task(self._await_end(session, following))
        following.vending += 1
        try:
            yield following.note
        except BaseException:
            following.needed = True  # it may have been made all the same
            raise
        finally:
            following.vending -= 1
            if not following.vending and not following.needed:
                following.cancel()
                self._followed.pop(session.id, None)

    async def _await_end(self, session: Session, following: _Following) -> None:
        try:
            reason = await self._end_of(session)
            following.needed = following.over = True  # what is being made right now has nobody else
            outliving_all = tuple(map(outliving, following.outliving.values()))
            try:
                taken = tuple(await self._vendor.revoke(session))
            except Fault as fault:  # the reclaiming takes over; until it has, somebody should know
                users = following.users or (() if following.outliving else {"a credential"})
                taken = tuple(Revocation(user, "role", False, str(fault), 0.0) for user in sorted(users))
            await self._recorded(session, reason, (*taken, *outliving_all))
        except Fault as fault:
            log.error("the end of session %s cannot be followed: %s", session.id, fault)
        finally:
            if self._followed.get(session.id) is following:
                del self._followed[session.id]

    async def _end_of(self, session: Session) -> str:
        """Why it ended. A store that does not answer is asked again: the session may well go on meanwhile."""
        for _ in range(MOST_ATTEMPTS):
            try:
                return await self._sessions.ended(session)
            except Fault as fault:
                log.error("session %s cannot be followed at present: %s", session.id, fault)
            await asyncio.sleep(AGAIN_SECONDS)
        raise OurFault("its store has not answered for too long")

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
        for following in self._followed.values():
            if not following.over:
                following.cancel()
        followers = [following.task for following in self._followed.values() if following.task is not None]
        if followers:  # whoever is taking something back has begun it at the target: nobody could go on with that now
            _, late = await asyncio.wait(followers, timeout=FINISH_SECONDS)
            for task in late:
                task.cancel()
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
