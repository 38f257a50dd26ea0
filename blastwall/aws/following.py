"""``ports.Sessions`` of a task: the table's blocking calls beside the event loop, and one watch over all sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from blastwall.aws.sessions import SessionTable
from blastwall.aws.standing import EXPIRED, REASONS, Standing
from blastwall.errors import Fault, OurFault
from blastwall.model import Principal, Session, Target

log = logging.getLogger("blastwall.sessions")

LOOK_SECONDS: Final = 0.5  # between two looks at all followed sessions: a batch of 50 costs one call
RENEW_SECONDS: Final = 20.0  # a third of what a session is given up after
RENEWED_AT_ONCE: Final = 8
LATE_SECONDS: Final = 2.0  # an end that the table tells comes first: it is written down there
LONGEST_TIMER: Final = 7 * 86_400.0
BATCH: Final = 50
MOST_HEARD: Final = 10_000  # words that are remembered: far more than are told in the minutes that they are found


async def _deaf(word: str) -> None:
    """Where nobody listens."""


class AwsSessions:
    """Implements ``ports.Sessions``. Use it in one event loop.

    ``holder`` is the task's name as the vendor is told it: while sessions are followed, it says that it lives.
    """

    def __init__(self, table: SessionTable, holder: str = "") -> None:
        self._table = table
        self._holder = holder
        self._followed: dict[str, tuple[Session, set[asyncio.Future[str]]]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._heard: dict[str, None] = {}
        self._running: set[asyncio.Task[None]] = set()
        self.hear: Callable[[str], Awaitable[None]] = _deaf

    async def tell(self, word: str) -> None:
        """Have every task hear a word (no secret, at most 64 characters) within a second; see ``hear``.

        Each task that follows a session calls its ``hear`` once with each. Raises OurFault.
        """
        await asyncio.to_thread(self._table.tell, word)

    async def open(self, principal: Principal, target: Target, break_glass: str | None = None) -> Session:
        return await asyncio.to_thread(self._table.open, principal, target, break_glass)

    async def attach(self, session: Session, connection: str) -> None:
        await asyncio.to_thread(self._table.attach, session, connection)

    async def detach(self, session: Session, connection: str, usage: Mapping[str, int]) -> None:
        await asyncio.to_thread(self._table.detach, session, connection, dict(usage))

    async def usage(self, session: Session) -> Mapping[str, int]:
        return await asyncio.to_thread(self._table.usage, session)

    async def show(self, id: str) -> Standing | None:
        """One session as it stands now."""
        return await asyncio.to_thread(self._table.show, id)

    def ended(self, session: Session) -> Coroutine[Any, Any, str]:
        """Completes with the reason when the session is killed, its agent is locked, or it expires or idles out."""
        return self._ended(session)

    async def _ended(self, session: Session) -> str:
        if await asyncio.to_thread(self._table.show, session.id) is None:
            raise OurFault(f"there is no session {session.id!r} in the table {self._table.name}")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        _, waiting = self._followed.setdefault(session.id, (session, set()))
        waiting.add(future)
        if self._watch is None or self._watch.done():
            self._watch = loop.create_task(self._look(), name="sessions")
        # Whatever becomes of the looking, and however long a call to the table takes: no session outlives its time.
        left = session.expires_at - self._table.clock.now()
        timer = loop.call_later(min(max(left, 0.0) + LATE_SECONDS, LONGEST_TIMER), self._expire, session)
        try:
            return await future
        finally:
            timer.cancel()
            waiting.discard(future)
            if not waiting:
                self._followed.pop(session.id, None)

    def _expire(self, session: Session) -> None:
        if session.expires_at <= self._table.clock.now():
            self._tell(session.id, REASONS[EXPIRED])

    async def _look(self) -> None:
        """Runs while somebody waits. A table that does not answer ends nothing: its sessions expire by themselves."""
        loop = asyncio.get_running_loop()
        renewing: asyncio.Task[None] | None = None
        due = loop.time()
        while self._followed:
            sessions = [session for session, _ in self._followed.values()]
            if loop.time() >= due and (renewing is None or renewing.done()):
                due = loop.time() + RENEW_SECONDS
                renewing = self._beside(self._renew(sessions))
            for start in range(0, len(sessions), BATCH):
                await self._look_at(sessions[start : start + BATCH])
            self._beside(self._listen())
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_at(self, batch: Sequence[Session]) -> None:
        """One batch that cannot be read, or holds what does not read, keeps no other one from being seen."""
        try:
            for id, reason in (await asyncio.to_thread(self._table.look, batch)).items():
                self._tell(id, reason)
        except Exception as fault:
            if isinstance(fault, Fault):
                log.error("sessions cannot be followed at present: %s", fault)
            else:
                log.exception("defect in following sessions")
            for session in batch:
                self._expire(session)

    async def _renew(self, sessions: Sequence[Session]) -> None:
        """Say that this task lives, and its sessions with it: beside the looking, which a kill waits for."""
        gate = asyncio.Semaphore(RENEWED_AT_ONCE)

        async def one(call: Callable[[], None]) -> None:
            async with gate:
                await asyncio.to_thread(call)

        calls = [partial(self._table.renew, session) for session in sessions]
        if self._holder:
            calls.insert(0, partial(self._table.beat, self._holder))
        done = await asyncio.gather(*map(one, calls), return_exceptions=True)
        faults = [fault for fault in done if isinstance(fault, Exception)]
        if faults:
            log.error("%d of %d sessions could not be renewed: %s", len(faults), len(calls), faults[0])

    def _beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Nothing else must make an end be seen later."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _listen(self) -> None:
        try:
            told = await asyncio.to_thread(self._table.told)
        except Fault as fault:
            log.warning("other tasks cannot be heard at present: %s", fault)
            return
        for word in sorted(told - self._heard.keys()):
            self._heard[word] = None  # answers may overtake each other: none makes a word new again
            self._beside(self._let_hear(word))
        while len(self._heard) > MOST_HEARD:
            del self._heard[next(iter(self._heard))]

    async def _let_hear(self, word: str) -> None:
        try:
            await self.hear(word)
        except (Fault, OSError) as fault:
            log.warning("what another task asked for was not done: %s", fault)

    def _tell(self, id: str, reason: str) -> None:
        _, waiting = self._followed.get(id, (None, set[asyncio.Future[str]]()))
        for future in waiting:
            if not future.done():
                future.set_result(reason)
