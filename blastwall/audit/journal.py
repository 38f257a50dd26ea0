"""What is to be audited and belongs to no connection: a refused login, a recording that is read, a sink that fails.

It is recorded as everything else is, in recordings of the protocol ``blastwall``: chained and signed, with the audit
event as their projection. There is no second way to write one.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from blastwall.audit.project import JOURNAL
from blastwall.model import Principal, Session, Target
from blastwall.ports import Clock, Recorder, Recording

GATEWAY: Final = Principal("blastwall", "gateway", "blastwall gateway")
BURST: Final = 100  # refused logins that are told one by one before they are told together
RATE: Final = 1.0  # a second, from then on: who knocks all day fills no disk


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
    """A recording of events, begun with the first of them. Without a durable place for one, :meth:`event` raises."""

    def __init__(self, recorder: Recorder, clock: Clock, who: Principal = GATEWAY, at: str = "blastwall") -> None:
        self._recorder = recorder
        self._clock = clock
        self._who = who
        self._target = Target(at, JOURNAL, "", 0)
        self._recording: Recording | None = None
        self._allowance = float(BURST)
        self._asked_at = clock.monotonic()
        self._untold = 0

    async def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Record an event; it is durable on return. Raises RecordingFault."""
        if self._recording is None:
            now = self._clock.now()
            begun = sha256(f"{self._who.identity} {now} {self._clock.monotonic()}".encode()).hexdigest()
            session = Session(f"j-{begun[:16]}", self._who, self._target.name, now, now)
            self._recording = self._recorder.open(session, self._target, "none", {})
        self._recording.event(name, fields)
        pending = self._recording.commit()
        if pending is not None:
            await pending

    async def refused_login(self, protocol: str, target: str, client: str, reason: str) -> None:
        """Record that somebody was not let in: what they say of themselves is not known to be true.

        Past a burst of 100, one event a second tells how many there were. Raises RecordingFault.
        """
        now = self._clock.monotonic()
        self._allowance = min(BURST, self._allowance + (now - self._asked_at) * RATE)
        self._asked_at = now
        self._untold += 1
        if self._allowance < 1.0:
            return
        self._allowance -= 1.0
        count, self._untold = self._untold, 0
        fields = {"protocol": protocol, "target": target[:200], "client": client, "reason": reason, "count": count}
        await self.event("login_failed", fields)

    def close(self, reason: str) -> None:
        """End the recording, if there is one. Raises RecordingFault."""
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.close(reason)
