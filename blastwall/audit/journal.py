"""What is to be audited and belongs to no connection: a refused login, a recording that is read, a sink that fails.

It is recorded as everything else is, in recordings of the protocol ``blastwall``: chained and signed, with the audit
event as their projection. There is no second way to write one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Final

from blastwall.audit.project import JOURNAL
from blastwall.errors import RecordingFault
from blastwall.model import Principal, Session, Target
from blastwall.ports import Clock, Recorder, Recording

log = logging.getLogger("blastwall.journal")

GATEWAY: Final = Principal("blastwall", "gateway", "blastwall gateway")
BURST: Final = 100  # refused logins that are told one by one before they are told together
RATE: Final = 1.0  # a second, from then on: who knocks all day fills no disk

SETTLE_SECONDS: Final = 5.0  # until what is left of a flood is told


async def note(
    recorder: Recorder, clock: Clock, who: Principal, name: str, fields: Mapping[str, object], at: str = "blastwall"
) -> None:
    """Record one thing that ``who`` did, with regard to the target ``at``. Raises RecordingFault."""
    journal = Journal(recorder, clock, who, at)
    try:
        await journal.event(name, fields)
    finally:
        journal.close("noted")


class Journal:
    """A recording of events, begun with the first of them. Without a durable place for one, :meth:`event` raises, and
    the next begins another: a disk that was full does not end it.
    """

    def __init__(self, recorder: Recorder, clock: Clock, who: Principal = GATEWAY, at: str = "blastwall") -> None:
        self._recorder = recorder
        self._clock = clock
        self._who = who
        self._target = Target(at, JOURNAL, "", 0)
        self._recording: Recording | None = None
        self._beginning = asyncio.Lock()
        self._allowance = float(BURST)
        self._asked_at = clock.monotonic()
        self._untold = 0
        self._last: dict[str, object] = {}  # the refused login that came last

    async def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Record an event; it is durable on return. Raises RecordingFault."""
        recording = await self._begun()
        try:
            recording.event(name, fields)
            pending = recording.commit()
            if pending is not None:
                await pending
        except RecordingFault:
            if self._recording is recording:
                self._recording = None
            await asyncio.to_thread(_give_up, recording)
            raise

    async def _begun(self) -> Recording:
        """The recording; it is begun off the event loop, for it waits for the disk."""
        async with self._beginning:
            if self._recording is None:
                now = self._clock.now()
                begun = sha256(f"{self._who.identity} {now} {self._clock.monotonic()}".encode()).hexdigest()
                session = Session(f"j-{begun[:16]}", self._who, self._target.name, now, now)
                self._recording = await asyncio.to_thread(self._recorder.open, session, self._target, "none", {})
            return self._recording

    async def refused_login(self, protocol: str, target: str, client: str, reason: str) -> None:
        """Record that somebody was not let in: what they say of themselves is not known to be true.

        Past a burst of 100, one event a second tells how many there were. Raises RecordingFault; those that could not
        be told are counted with the next.
        """
        self._last = {"protocol": protocol, "target": target[:200], "client": client, "reason": reason}
        self._untold += 1
        await self.settle()

    async def settle(self) -> None:
        """Tell of the refused logins that were not told yet, if it is time: a flood that is over has no next one to be
        told with. Raises RecordingFault.
        """
        now = self._clock.monotonic()
        self._allowance = min(BURST, self._allowance + (now - self._asked_at) * RATE)
        self._asked_at = now
        if not self._untold or self._allowance < 1.0:
            return
        self._allowance -= 1.0
        count, self._untold = self._untold, 0
        try:
            await self.event("login_failed", {**self._last, "count": count})
        except BaseException:
            self._untold += count
            raise

    async def settle_for_ever(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            try:
                await self.settle()
            except RecordingFault as fault:
                log.error("refused logins could not be recorded: %s", fault)

    def close(self, reason: str) -> None:
        """End the recording, if there is one, with what was not told yet. Raises RecordingFault."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        try:
            if self._untold:
                recording.event("login_failed", {**self._last, "count": self._untold})
                self._untold = 0
        finally:
            recording.close(reason)


def _give_up(recording: Recording) -> None:
    """What was recorded until then stays, and another completes it."""
    with suppress(RecordingFault):
        recording.close("it could not be recorded any more")
