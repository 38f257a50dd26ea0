"""One connection's recording as it is made: ``ports.Recording`` over any sink.

The hot path is here. Appending packs a few bytes into a list and refers to large buffers; a commit joins, hashes and
hands the sink one block. What does not fit that budget (facts as JSON, redaction) is done once per distinct value.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Any, Final

from librt.strings import BytesWriter
from mypy_extensions import i64

from blastwall.errors import RecordingFault
from blastwall.model import (
    Decision,
    Denial,
    Direction,
    Effect,
    Facts,
    Masked,
    Parameter,
    Permit,
    Secret,
    Session,
    Statement,
    StatementKind,
    Target,
)
from blastwall.recording.blocks import SPILL, Blocks, Sink
from blastwall.recording.bodies import (
    INTENT_FIELDS,
    KINDS,
    PARAMETER,
    RELAYED_FIELDS,
    encode_json,
    encode_text,
    header_of,
    judgement,
    write_head,
    write_parameters,
    write_u16,
    write_u32,
)
from blastwall.recording.checkpoints import EVERY_SECONDS, Checkpoints
from blastwall.recording.codec import COMPRESS_FROM, MAX_BODY, RECORD, Flag, RecordType
from blastwall.recording.judged import Judged, Repeat, identities
from blastwall.recording.manifest import Signer, make_manifest
from blastwall.recording.redact import Redactor, without

# Plain integers: an enum's lookups and unions would be a third of what an intent costs.
_HEADER: Final = int(RecordType.HEADER)
_JUDGEMENT: Final = int(RecordType.JUDGEMENT)
_INTENT: Final = int(RecordType.INTENT)
_RELAYED: Final = int(RecordType.RELAYED)
_EVENT: Final = int(RecordType.EVENT)
_END: Final = int(RecordType.END)
_MANIFEST: Final = int(RecordType.MANIFEST)
_REDACTED: Final = int(Flag.REDACTED)
_UPSTREAM: Final = int(Flag.UPSTREAM)
_CONTINUED: Final = int(Flag.CONTINUED)
_TO_TARGET: Final = int(Flag.TO_TARGET)
_TO_AGENT: Final = Direction.TO_AGENT
_EXECUTE: Final = StatementKind.EXECUTE
_READ: Final = Effect.READ
_EXECUTE_CODE: Final = KINDS[_EXECUTE]  # looking it up hashes an enum, in Python
_RECORD_SIZE: Final = RECORD.size
_INTENT_EXTRA: Final = INTENT_FIELDS.size
_RELAYED_EXTRA: Final = RELAYED_FIELDS.size
_PARAMETER_EXTRA: Final = PARAMETER.size

MAX_PIECE: Final = 16 * 1024 * 1024  # bytes of one relayed record; larger chunks take several
MAX_REMOVED: Final = 64  # redacted statements whose answers are still searched for what was taken out
MAX_JUDGEMENTS: Final = 512  # (facts, decision) pairs remembered; past that they are forgotten and written again
COPIED: Final = 4096  # bytes below which a buffer is copied among its neighbours rather than referred to
SPARE: Final = 16 * 1024  # bytes of room kept for the next block


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
        self._ticks = ticks
        self._now = now
        self._redactor = redactor
        self._signer = signer
        self._origin = ticks()
        self._parts: list[bytes] = []  # pending, up to the last buffer that was too large to copy
        self._out = BytesWriter()  # pending, after that
        self._size = 0  # bytes of both, and their number of records
        self._count = 0
        self._refusal: RecordingFault | None = None
        self._judgements: dict[tuple[object, ...], tuple[int, Facts]] = {}
        self._quick: dict[tuple[object, ...], Judged] = {}
        self._last: Judged | None = None  # the judgement of the statement before: most are like it
        self._last_named: Judged | None = None  # the same of texts that are only named
        self._judgement = 0  # the last id given out
        self._removed: dict[int, tuple[bytes, ...]] = {}  # statement -> what redaction took out of it
        self._tag, self._word = "", b""  # the completion word that was recorded last, and its bytes
        self._statements = 0
        self._denied = 0
        self._rows = 0
        self._bytes = 0
        own = header_of(id, session, target, connection, now() if started_at is None else started_at, self._origin)
        body = redactor.scrub(encode_json({**header, **own}))
        self._header: dict[str, Any] = json.loads(body)
        self._checkpoints: Checkpoints | None = None
        if signer is not None:
            self._checkpoints = Checkpoints(signer, self._header, now=now, every=checkpoint_seconds, aside=signing)
        self._blocks.begin()
        self._append(_HEADER, 0, 0, body)
        self._write()

    def intent(self, statement: Statement, facts: Facts, decision: Decision) -> None:
        """Append what is asked and what was decided. Raises RecordingFault, also for a text beyond :data:`MAX_BODY`."""
        if self._refusal is not None:
            raise self._refusal
        if type(decision) is not Permit:
            if type(decision) is Denial:
                self._denied += 1
            self._intend(statement, facts, decision, None)
            return
        # By identity first: hashing a decision by value costs more than all the rest.
        known = self._last_named if decision.prepare_only else self._last
        if known is None or not known.fits(facts, decision, statement.surroundings):
            known = self._quick.get(identities(facts, decision, statement.surroundings))
            if known is not None:
                if decision.prepare_only:
                    self._last_named = known
                else:
                    self._last = known
        if known is None or not self._repeat(known, statement, decision):
            self._intend(statement, facts, decision, known)

    def _repeat(self, known: Judged, statement: Statement, permit: Permit) -> bool:
        """Append an intent that differs from an earlier one in its parameters only; False: it is not like that."""
        again = known.again
        if (
            again is None
            or again.text is not statement.text
            or again.kind is not statement.kind
            or (again.upstream is not permit.upstream_text and again.upstream != permit.upstream_text)
            or (again.name is not statement.name and again.name != statement.name)
        ):
            return False
        parameters = statement.parameters
        if len(parameters) != again.count:
            return False
        length = len(again.body) + len(statement.results)
        shortest = self._redactor.shortest
        for parameter in parameters:
            if parameter.withheld:
                return False
            length += _PARAMETER_EXTRA
            value = parameter.value
            if value is not None:
                size = len(value)
                length += size
                if size >= shortest and self._redactor.suspects_value(value):
                    return False
        if length > MAX_BODY:
            return False
        out = self._out
        start = i64(len(out))
        try:
            write_head(out, length, _INTENT, again.flags, statement.number, self._ticks() - self._origin)
            out.write(again.body)
            write_parameters(out, parameters)
            out.write(statement.results)
        except BaseException:
            out.truncate(start)
            raise
        self._intended(length)
        return True

    def _intend(self, statement: Statement, facts: Facts, decision: Decision, known: Judged | None) -> None:
        text = statement.text
        parameters = statement.parameters
        upstream = ""
        flags = 0
        if type(decision) is Permit and decision.upstream_text != text:
            upstream = decision.upstream_text
            flags = _UPSTREAM
        for parameter in parameters:
            if parameter.withheld:
                parameters = without(parameters)
                statement = statement._replace(parameters=parameters)
                flags |= _REDACTED
                break
        redactor = self._redactor
        removed: tuple[bytes, ...] = ()
        suspected = redactor.suspects(text, parameters) or (flags != 0 and redactor.suspects(upstream, ()))
        if suspected:
            text, upstream, parameters, changed, removed = self._redact(statement, upstream, facts)
            if changed:
                flags |= _REDACTED
                if removed:
                    self._remember_removed(statement.number, removed)
        if facts.masked_columns:
            if parameters and (facts.filters_masked or facts.effect is not _READ):
                # Which of them goes with which column nobody has worked out: what is compared with or written into a
                # masked column would stand here in the clear.
                parameters = redactor.hidden(parameters)
                flags |= _REDACTED
            if "writes_masked" in facts.flags:
                text, upstream = redactor.veiled(text), redactor.veiled(upstream)
                flags |= _REDACTED
        if known is None:
            reference = self._reference(facts, decision, statement.surroundings, removed)
            if type(decision) is Permit:
                known = self._keep(reference, facts, decision, statement.surroundings)
        else:
            reference = known.number
        try:
            body = text.encode()
        except UnicodeEncodeError:
            body = encode_text(text)
        sent = encode_text(upstream) if flags & _UPSTREAM else b""
        name = encode_text(statement.name)[:0xFFFF] if statement.name else b""
        results = statement.results
        fixed = _INTENT_EXTRA + len(body) + len(sent) + len(name)
        length = fixed + len(results)
        if parameters:
            if len(parameters) > 0xFFFF:
                raise RecordingFault(f"{len(parameters):,} parameters are more than a record holds (65,535).")
            for parameter in parameters:
                length += _PARAMETER_EXTRA
                value = parameter.value
                if value is not None:
                    length += len(value)
        if length > MAX_BODY:
            raise RecordingFault(
                f"A statement of {length:,} bytes is too large to be recorded (limit {MAX_BODY:,}); send it in parts."
            )
        out = self._out
        start = i64(len(out))
        try:
            write_head(out, length, _INTENT, flags, statement.number, self._ticks() - self._origin)
            write_u32(out, reference)
            out.append(_EXECUTE_CODE if statement.kind is _EXECUTE else KINDS[statement.kind])
            write_u16(out, len(name))
            write_u16(out, len(parameters))
            write_u32(out, len(body))
            write_u32(out, len(sent))
            out.write(body)
            out.write(sent)
            out.write(name)
            if known is not None and not (suspected or flags & _REDACTED or facts.masked_columns):
                _lay_out(known, statement, decision, flags, out, fixed)
            write_parameters(out, parameters)
            out.write(results)
        except BaseException:
            out.truncate(start)
            raise
        self._intended(length)

    def _intended(self, length: int) -> None:
        self._size += _RECORD_SIZE + length
        self._count += 1
        self._statements += 1
        if self._size >= SPILL:
            self._write()

    def _keep(self, reference: int, facts: Facts, permit: Permit, surroundings: str) -> Judged:
        if len(self._quick) >= MAX_JUDGEMENTS:
            self._quick.clear()
        known = self._quick[identities(facts, permit, surroundings)] = Judged(reference, facts, permit, surroundings)
        if permit.prepare_only:
            self._last_named = known
        else:
            self._last = known
        return known

    def _redact(
        self, statement: Statement, upstream: str, facts: Facts
    ) -> tuple[str, str, tuple[Parameter, ...], bool, tuple[bytes, ...]]:
        redactor = self._redactor
        if statement.kind is StatementKind.CONNECT or statement.kind is StatementKind.CANCEL:
            text = redactor.plain(statement.text)
            return text, redactor.plain(upstream), statement.parameters, text != statement.text, ()
        parsed = bool(facts.fingerprint)
        asked = redactor.redact(statement.text, statement.parameters, parsed=parsed)
        sent = redactor.redact(upstream, (), parsed=parsed)
        return asked.text, sent.text, asked.parameters, asked.changed or sent.changed, asked.values + sent.values

    def _remember_removed(self, statement: int, values: tuple[bytes, ...]) -> None:
        if len(self._removed) >= MAX_REMOVED:
            del self._removed[next(iter(self._removed))]
        self._removed[statement] = values

    def _reference(self, facts: Facts, decision: Decision, surroundings: str, removed: tuple[bytes, ...]) -> int:
        """The judgement's number; it is written when it is a new one."""
        key: tuple[object, ...]
        if type(decision) is Permit:
            risk = decision.risk
            key = (id(facts), decision.policies, risk.score, risk.reasons)
            key += (decision.prepare_only, decision.approval, decision.would_have, surroundings)
        else:
            key = (id(facts), decision, surroundings)
        known = self._judgements.get(key)
        return known[0] if known is not None else self._judge(key, facts, decision, surroundings, removed)

    def _judge(
        self, key: tuple[object, ...], facts: Facts, decision: Decision, surroundings: str, removed: tuple[bytes, ...]
    ) -> int:
        if len(self._judgements) >= MAX_JUDGEMENTS:
            self._judgements.clear()
        self._judgement += 1
        reference = self._judgement
        self._judgements[key] = (reference, facts)  # holds the facts, so that their id() stays theirs
        body = self._redactor.scrub(encode_json(judgement(facts, decision, surroundings)), removed)
        self._append(_JUDGEMENT, 0, reference, body)
        return reference

    def relayed(self, masked: Masked) -> Awaitable[None] | None:
        """Append what travelled under a permit. Past 256 KiB it is written; what is large is not copied before.

        Returns what to wait for when the sink has taken in all it can hold.
        """
        if self._refusal is not None:
            raise self._refusal
        data = masked.data
        statement = masked.statement
        flags = 0 if masked.direction is _TO_AGENT else _TO_TARGET
        if self._removed and statement in self._removed:
            data = self._redactor.blank(data, self._removed[statement])
            flags |= _REDACTED
        if len(data) > MAX_PIECE:
            data = self._relay_pieces(data, statement, flags)
        if masked.tag != self._tag:
            self._tag = masked.tag
            self._word = encode_text(masked.tag)[:255]
        word = self._word
        error = encode_text(masked.error)[:255] if masked.error else b""
        size = len(data)
        length = _RELAYED_EXTRA + len(word) + len(error) + size
        rows = masked.rows
        out = self._out
        start = i64(len(out))
        try:
            write_head(out, length, _RELAYED, flags, statement, self._ticks() - self._origin)
            write_u32(out, rows)
            write_u32(out, masked.cells)
            out.append(len(word))
            out.append(len(error))
            out.write(word)
            out.write(error)
            self._add(data)
        except BaseException:
            out.truncate(start)
            raise
        self._count += 1
        self._bytes += size
        self._rows += rows
        self._size += _RECORD_SIZE + length
        if self._size < SPILL:
            return None
        self._write()
        return self._blocks.room()

    def _relay_pieces(self, data: bytes, statement: int, flags: int) -> bytes:
        """Append all but the last piece of a chunk that is too large for one record; return the last piece."""
        while len(data) > MAX_PIECE:
            piece, data = data[:MAX_PIECE], data[MAX_PIECE:]
            head = RELAYED_FIELDS.pack(0, 0, 0, 0)
            self._append(_RELAYED, flags | _CONTINUED, statement, head + piece)
            self._bytes += len(piece)
            self._write()
        return data

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Append a session event. ``fields`` are JSON values without secrets; known ones are taken out all the same."""
        if self._refusal is not None:
            raise self._refusal
        body = self._redactor.scrub(encode_json({"name": name, "fields": dict(fields)}))
        self._append(_EVENT, 0, 0, body)

    def protect(self, *secrets: Secret) -> None:
        """Keep these out of everything appended from now on: the agent's token, the vended credential."""
        self._redactor.add(secrets)
        # Repeats were made of texts that nobody searched for these.
        self._quick.clear()
        self._last = self._last_named = None

    def commit(self) -> Awaitable[None] | None:
        """Hand everything pending to the sink as one block. Raises RecordingFault."""
        if self._refusal is not None:
            raise self._refusal
        if self._count:
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
        if self._count:
            self._write()
        try:
            self._blocks.check()
        except RecordingFault as fault:
            self._refusal = fault
            raise
        if self._checkpoints is not None:
            due = self._checkpoints.due(self._ticks() - self._origin, self._blocks)
            for type_, body in due:
                self._append(type_, 0, 0, body)
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
            self._parts, self._out = [], BytesWriter()
            self._blocks.close()

    def _finish(self, reason: str) -> None:
        ended = self._now()
        reason = self._redactor.plain(reason)
        totals: dict[str, object] = {
            "statements": self._statements,
            "denied": self._denied,
            "rows": self._rows,
            "relayed_bytes": self._bytes,
        }
        self._append(_END, 0, 0, encode_json({"reason": reason, "ended_at": ended, "totals": totals}))
        self._write()
        self._blocks.wait()
        manifest = make_manifest(
            self._header,
            ended_at=ended,
            duration_ns=self._ticks() - self._origin,
            reason=reason,
            totals=totals,
            records=self._blocks.sequence,
            blocks=self._blocks.count,
            length=self._blocks.length,
            chain=self._blocks.value,
            signer=self._signer,
        )
        self._append(_MANIFEST, 0, 0, manifest)
        self._write()
        self._blocks.end(manifest)

    def _append(self, type_: int, flags: int, statement: int, body: bytes) -> None:
        if len(body) > MAX_BODY:
            raise RecordingFault(f"A record of {len(body):,} bytes is too large (limit {MAX_BODY:,}).")
        head = RECORD.pack(len(body), type_, flags, statement, self._ticks() - self._origin)
        self._out.write(head)
        self._add(body)
        self._size += _RECORD_SIZE + len(body)
        self._count += 1

    def _add(self, data: bytes) -> None:
        """Append the end of a record: a copy of it, or the buffer itself where that is large."""
        if len(data) < COPIED:
            self._out.write(data)
            return
        self._parts.append(self._out.getvalue())
        self._parts.append(data)
        self._out = BytesWriter()

    def _write(self) -> None:
        parts, out, size, count = self._parts, self._out, self._size, self._count
        self._size = self._count = 0
        rest = out.getvalue()
        if size < SPARE:
            out.truncate(0)
        else:
            self._out = BytesWriter()
        try:
            if not parts:
                if size < COMPRESS_FROM:
                    self._blocks.put(rest, count)
                else:
                    self._blocks.write((rest,), size, count)
                return
            self._parts = []
            if rest:
                parts.append(rest)
            self._blocks.write(parts, size, count)
        except RecordingFault as fault:
            self._refusal = fault
            raise


def _lay_out(
    known: Judged, statement: Statement, decision: Decision, flags: int, out: BytesWriter, length: int
) -> None:
    """Keep the ``length`` bytes just written for the next time, where the text looks like one that has a next."""
    if type(decision) is Permit and length < COPIED and (statement.parameters or statement.name):
        known.again = Repeat(
            statement.text,
            decision.upstream_text,
            statement.name,
            statement.kind,
            len(statement.parameters),
            flags,
            out.getvalue()[-length:],
        )
