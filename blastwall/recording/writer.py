"""One connection's recording as it is made: ``ports.Recording`` over any sink.

The hot path is here. Appending writes a few bytes behind those that wait, and refers to large buffers; a commit hashes
and hands the sink one block. What does not fit that budget (facts as JSON, redaction) is done once per distinct value.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Any, Final

from mypy_extensions import i64

from blastwall.errors import RecordingFault
from blastwall.model import Decision, Direction, Facts, Masked, Secret, Session, Statement, Target
from blastwall.recording.blocks import SPILL, Blocks, Sink
from blastwall.recording.bodies import (
    RELAYED_FIELDS,
    encode_json,
    encode_text,
    header_of,
    write_head,
    write_pair,
    write_u16,
)
from blastwall.recording.checkpoints import EVERY_SECONDS, Checkpoints
from blastwall.recording.codec import Flag, RecordType
from blastwall.recording.intents import Intents
from blastwall.recording.manifest import Signer, make_manifest
from blastwall.recording.pending import Pending
from blastwall.recording.redact import Redactor

# Plain integers: an enum's lookups and unions would be a third of what an intent costs.
_HEADER: Final = int(RecordType.HEADER)
_RELAYED: Final = int(RecordType.RELAYED)
_EVENT: Final = int(RecordType.EVENT)
_END: Final = int(RecordType.END)
_MANIFEST: Final = int(RecordType.MANIFEST)
_REDACTED: Final = int(Flag.REDACTED)
_CONTINUED: Final = int(Flag.CONTINUED)
_TO_TARGET: Final = int(Flag.TO_TARGET)
_TO_AGENT: Final = Direction.TO_AGENT
_RELAYED_EXTRA: Final = RELAYED_FIELDS.size

MAX_PIECE: Final = 16 * 1024 * 1024  # bytes of one relayed record; larger chunks take several


class Writer:
    """A recording under way. Not thread-safe: one connection's task appends to it.

    After a failed write every call but :meth:`close` raises the same RecordingFault: a record with a hole is no record.
    ``ticks`` is monotonic time in nanoseconds, ``now`` wall time in seconds. ``background`` runs the hashing and
    writing of large blocks, one at a time for each recording; ``signing`` (None: the caller's thread) asks a signer
    that is far away for checkpoints.
    """

    def __init__(
        self,
        id: str,
        session: Session,
        target: Target,
        connection: str,
        header: Mapping[str, object],
        sink: Sink,
        *,
        ticks: Callable[[], int],
        now: Callable[[], float],
        redactor: Redactor,
        signer: Signer | None = None,
        compress: bool = False,
        background: Executor | None = None,
        signing: Executor | None = None,
        checkpoint_seconds: float = EVERY_SECONDS,
        started_at: float | None = None,
    ) -> None:
        self.id = id
        self._blocks = Blocks(id, session.id, sink, compress=compress, background=background)
        self._pending = Pending(ticks)
        self._intents = Intents(self._pending, redactor)
        self._now = now
        self._redactor = redactor
        self._signer = signer
        self._refusal: RecordingFault | None = None
        self._tag, self._word = "", b""  # the completion word that was recorded last, and its bytes
        self._rows: i64 = 0
        self._bytes: i64 = 0
        own = header_of(
            id, session, target, connection, now() if started_at is None else started_at, self._pending.origin
        )
        body = redactor.scrub(encode_json({**header, **own}))
        self._header: dict[str, Any] = json.loads(body)
        self._checkpoints: Checkpoints | None = None
        if signer is not None:
            self._checkpoints = Checkpoints(signer, self._header, now=now, every=checkpoint_seconds, aside=signing)
        self._blocks.begin()
        self._pending.append(_HEADER, 0, 0, body)
        self._write()

    def intent(self, statement: Statement, facts: Facts, decision: Decision) -> None:
        """Append what is asked and what was decided. Raises RecordingFault, also for a text beyond :data:`MAX_BODY`."""
        if self._refusal is not None:
            raise self._refusal
        self._intents.append(statement, facts, decision)
        if self._pending.size >= SPILL:
            self._write()

    def relayed(self, masked: Masked) -> Awaitable[None] | None:
        """Append what travelled under a permit. Past 256 KiB it is written; what is large is not copied before.

        Returns what to wait for when the sink has taken in all it can hold.
        """
        if self._refusal is not None:
            raise self._refusal
        data = masked.data
        statement = masked.statement
        flags = 0 if masked.direction is _TO_AGENT else _TO_TARGET
        removed = self._intents.removed
        if len(removed) > 0 and statement in removed:
            data = self._redactor.blank(data, removed[statement])
            flags |= _REDACTED
        if len(data) > MAX_PIECE:
            data = self._relay_pieces(data, statement, flags)
        if masked.tag is not self._tag and masked.tag != self._tag:
            self._tag = masked.tag
            self._word = encode_text(masked.tag)[:255]
        word = self._word
        error = encode_text(masked.error)[:255] if masked.error else b""
        size: i64 = len(data)
        length = _RELAYED_EXTRA + len(word) + len(error) + size
        rows = masked.rows
        pending = self._pending
        out = pending.out
        start = i64(len(out))
        try:
            write_head(out, length, _RELAYED, flags, statement, pending.at())
            write_pair(out, rows, masked.cells)
            write_u16(out, i64(len(word)) << 8 | i64(len(error)))
            out.write(word)
            if len(error) > 0:
                out.write(error)
            pending.add(data)
        except BaseException:
            out.truncate(start)
            raise
        pending.counted(length)
        self._bytes += size
        self._rows += rows
        if pending.size < SPILL:
            return None
        self._write()
        return self._blocks.room()

    def _relay_pieces(self, data: bytes, statement: int, flags: int) -> bytes:
        """Append all but the last piece of a chunk that is too large for one record; return the last piece."""
        while len(data) > MAX_PIECE:
            piece, data = data[:MAX_PIECE], data[MAX_PIECE:]
            head = RELAYED_FIELDS.pack(0, 0, 0, 0)
            self._pending.append(_RELAYED, flags | _CONTINUED, statement, head + piece)
            self._bytes += len(piece)
            self._write()
        return data

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Append a session event. ``fields`` are JSON values without secrets; known ones are taken out all the same."""
        if self._refusal is not None:
            raise self._refusal
        body = self._redactor.scrub(encode_json({"name": name, "fields": dict(fields)}))
        self._pending.append(_EVENT, 0, 0, body)

    def protect(self, *secrets: Secret) -> None:
        """Keep these out of everything appended from now on: the agent's token, the vended credential."""
        self._intents.protect(secrets)

    def commit(self) -> Awaitable[None] | None:
        """Hand everything pending to the sink as one block. Raises RecordingFault."""
        if self._refusal is not None:
            raise self._refusal
        if self._pending.count:
            self._write()
        try:
            return self._blocks.settle()
        except RecordingFault as fault:
            self._refusal = fault
            raise

    @property
    def live(self) -> bool:
        """Does it still take records? No more once it was closed or failed."""
        return self._refusal is None

    def flush(self) -> None:
        """Write what is pending without asking when it is durable, and look after the sink and the checkpoints.

        For a timer. Raises RecordingFault, also when the sink has lost what was written before.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._pending.count:
            self._write()
        try:
            self._blocks.check()
        except RecordingFault as fault:
            self._refusal = fault
            raise
        if self._checkpoints is not None:
            due = self._checkpoints.due(self._pending.at(), self._blocks)
            for type_, body in due:
                self._pending.append(type_, 0, 0, body)
            if due:
                self._write()

    def close(self, reason: str) -> None:
        """End the recording: totals, then the signed manifest as the last block and beside the file. Idempotent.

        A recording that failed before is only closed. Raises RecordingFault when the end itself cannot be written.
        """
        try:
            if self._refusal is None:
                self._finish(reason)
        finally:
            self._refusal = self._refusal or RecordingFault("This recording is closed.")
            self._blocks.close()

    def _finish(self, reason: str) -> None:
        ended = self._now()
        reason = self._redactor.plain(reason)
        totals: dict[str, object] = {
            "statements": self._intents.statements,
            "denied": self._intents.denied,
            "rows": self._rows,
            "relayed_bytes": self._bytes,
        }
        self._pending.append(_END, 0, 0, encode_json({"reason": reason, "ended_at": ended, "totals": totals}))
        self._write()
        self._blocks.wait()
        manifest = make_manifest(
            self._header,
            ended_at=ended,
            duration_ns=self._pending.at(),
            reason=reason,
            totals=totals,
            records=self._blocks.sequence,
            blocks=self._blocks.count,
            length=self._blocks.length,
            chain=self._blocks.value,
            signer=self._signer,
        )
        self._pending.append(_MANIFEST, 0, 0, manifest)
        self._write()
        self._blocks.end(manifest)

    def _write(self) -> None:
        try:
            self._pending.write(self._blocks)
        except RecordingFault as fault:
            self._refusal = fault
            raise
