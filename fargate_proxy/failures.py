"""When a recording fails: what is said of it, and how a target that asked for best effort goes on without."""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Awaitable, Callable, Mapping

from blastwall.errors import RecordingFault
from blastwall.model import Denial, Facts, Masked, Permit, Secret, Session, Statement, Target
from blastwall.ports import Recorder, Recording

log = logging.getLogger("blastwall.recording")

EVENT = "recording_failed"


class Tally:
    """How many recordings have failed since somebody asked: for the metric that wakes an operator. Thread-safe."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self._count += 1

    def take(self) -> dict[str, float]:
        """The metric, and from now on count anew."""
        with self._lock:
            count, self._count = self._count, 0
        return {"RecordingFailed": float(count)}


#: Of this process.
TALLY = Tally()


def tell(recorder: Recorder, session: Session, target: Target, connection: str, recording: str, reason: str) -> None:
    """Log the failure, and record it in a recording of its own: audit events are made of recordings.

    Where nothing at all can be recorded any more (a full disk), the log is what remains. It waits for the disk: call it
    off the event loop. Never raises RecordingFault.
    """
    fields = {
        "recording": recording,
        "connection": connection,
        "recording_mode": target.recording,
        "reason": reason,
    }
    about = {"event": EVENT, "session": session.id, "agent": session.principal.agent, "target": target.name}
    TALLY.add()
    log.error("%s", json.dumps(about | fields, sort_keys=True))
    try:
        header = {"protocol": target.protocol, "mode": target.mode, "purpose": EVENT}
        own = recorder.open(session, target, f"f-{secrets.token_hex(8)}", header)
        own.event(EVENT, fields)
        own.close(reason)
    except RecordingFault as fault:
        log.error("that a recording failed could not be recorded either: %s", fault)


class BestEffort:
    """A recording of a target stamped ``best_effort``: its failure is told once, and stops nothing."""

    def __init__(self, recording: Recording, failed: Callable[[str], None]) -> None:
        self._recording = recording
        self._failed: Callable[[str], None] | None = failed
        self.id = recording.id

    def intent(self, statement: Statement, facts: Facts, decision: Permit | Denial) -> None:
        self._try(lambda: self._recording.intent(statement, facts, decision))

    def relayed(self, masked: Masked) -> Awaitable[None] | None:
        return self._wait(self._try(lambda: self._recording.relayed(masked)))

    def flush(self) -> None:
        self._try(self._recording.flush)

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        self._try(lambda: self._recording.event(name, fields))

    def protect(self, *secrets: Secret) -> None:
        self._recording.protect(*secrets)

    def commit(self) -> Awaitable[None] | None:
        return self._wait(self._try(self._recording.commit))

    def close(self, reason: str) -> None:
        self._try(lambda: self._recording.close(reason))

    def _wait(self, pending: Awaitable[None] | None) -> Awaitable[None] | None:
        return None if pending is None else self._awaited(pending)

    async def _awaited(self, pending: Awaitable[None]) -> None:
        try:
            await pending
        except RecordingFault as fault:
            self._tell(fault)

    def _try(self, call: Callable[[], Awaitable[None] | None]) -> Awaitable[None] | None:
        try:
            return call()
        except RecordingFault as fault:
            self._tell(fault)
            return None

    def _tell(self, fault: RecordingFault) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            failed(str(fault))
