"""What agents ask and what was decided, as records. Judgements that many intents share are written once.

The hot path is here: what stays the same when a text is run again was laid out the first time.
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter
from mypy_extensions import i64

from blastwall.errors import RecordingFault
from blastwall.model import Decision, Denial, Effect, Facts, Parameter, Permit, Secret, Statement, StatementKind
from blastwall.recording.bodies import (
    INTENT_FIELDS,
    KINDS,
    PARAMETER,
    encode_json,
    encode_text,
    judgement,
    write_head,
    write_pair,
    write_parameters,
    write_u32,
)
from blastwall.recording.codec import MAX_BODY, Flag, RecordType
from blastwall.recording.judged import Judged, Repeat, identities
from blastwall.recording.pending import COPIED, Pending
from blastwall.recording.redact import Redactor, without

# Plain integers: an enum's lookups and unions would be a third of what an intent costs.
_JUDGEMENT: Final = int(RecordType.JUDGEMENT)
_INTENT: Final = int(RecordType.INTENT)
_REDACTED: Final = int(Flag.REDACTED)
_UPSTREAM: Final = int(Flag.UPSTREAM)
_EXECUTE: Final = StatementKind.EXECUTE
_READ: Final = Effect.READ
_EXECUTE_CODE: Final = KINDS[_EXECUTE]  # looking it up hashes an enum, in Python
_INTENT_EXTRA: Final = INTENT_FIELDS.size
_PARAMETER_EXTRA: Final = PARAMETER.size

MAX_REMOVED: Final = 64  # redacted statements whose answers are still searched for what was taken out
MAX_JUDGEMENTS: Final = 512  # (facts, decision) pairs remembered; past that they are forgotten and written again


class Intents:
    """Appends one recording's intents to ``pending``. ``removed`` is what redaction took out of which statement."""

    def __init__(self, pending: Pending, redactor: Redactor) -> None:
        self._pending = pending
        self._redactor = redactor
        self._judgements: dict[tuple[object, ...], tuple[int, Facts]] = {}
        self._quick: dict[tuple[object, ...], Judged] = {}
        self._last: Judged | None = None  # the judgement of the statement before: most are like it
        self._last_named: Judged | None = None  # the same of texts that are only named
        self._judgement = 0  # the last id given out
        self.removed: dict[int, tuple[bytes, ...]] = {}
        self.statements: i64 = 0
        self.denied: i64 = 0

    def protect(self, secrets: tuple[Secret, ...]) -> None:
        """From now on these stand in no intent."""
        self._redactor.add(secrets)
        # Repeats were made of texts that nobody searched for these.
        self._quick.clear()
        self._last = self._last_named = None

    def append(self, statement: Statement, facts: Facts, decision: Decision) -> None:
        """Append what is asked and what was decided. Raises RecordingFault for a text beyond :data:`MAX_BODY`."""
        if type(decision) is not Permit:
            if type(decision) is Denial:
                self.denied += 1
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
            or (again.text is not statement.text and again.text != statement.text)
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
        pending = self._pending
        out = pending.out
        start = i64(len(out))
        try:
            write_head(out, length, _INTENT, again.flags, statement.number, pending.at())
            out.write(again.body)
            write_parameters(out, parameters)
            out.write(statement.results)
        except BaseException:
            out.truncate(start)
            raise
        pending.counted(length)
        self.statements += 1
        return True

    def _intend(self, statement: Statement, facts: Facts, decision: Decision, known: Judged | None) -> None:
        text = statement.text
        parameters = statement.parameters
        upstream = ""
        flags = 0
        if type(decision) is Permit:
            sent_text = decision.upstream_text
            if sent_text is not text and sent_text != text:
                upstream = sent_text
                flags = _UPSTREAM
        for parameter in parameters:
            if parameter.withheld:
                parameters = without(parameters)
                statement = statement._replace(parameters=parameters)
                flags |= _REDACTED
                break
        redactor = self._redactor
        removed: tuple[bytes, ...] = ()
        try:
            body = text.encode()
        except UnicodeEncodeError:
            body = encode_text(text)
        suspected = redactor.suspects_written(text, body, parameters) or (
            flags != 0 and redactor.suspects(upstream, ())
        )
        masked = bool(facts.masked_columns)
        if suspected:
            text, upstream, parameters, changed, removed = self._redact(statement, upstream, facts)
            if changed:
                flags |= _REDACTED
                if removed:
                    self._remember_removed(statement.number, removed)
        if masked:
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
        if suspected or masked:
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
        pending = self._pending
        out = pending.out
        start = i64(len(out))
        try:
            write_head(out, length, _INTENT, flags, statement.number, pending.at())
            write_u32(out, reference)
            out.append(_EXECUTE_CODE if statement.kind is _EXECUTE else KINDS[statement.kind])
            count: i64 = len(parameters)
            named: i64 = len(name)
            write_u32(out, named << 16 | count)
            write_pair(out, len(body), len(sent))
            out.write(body)
            if flags & _UPSTREAM:
                out.write(sent)
            if named > 0:
                out.write(name)
            again = named > 0 or count > 0 or decision.prepare_only if type(decision) is Permit else False
            if again and known is not None and not (suspected or masked or flags & _REDACTED):
                _lay_out(known, statement, decision, flags, out, fixed)
            if count > 0:
                write_parameters(out, parameters)
            if len(results) > 0:
                out.write(results)
        except BaseException:
            out.truncate(start)
            raise
        pending.counted(length)
        self.statements += 1

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
        if len(self.removed) >= MAX_REMOVED:
            del self.removed[next(iter(self.removed))]
        self.removed[statement] = values

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
        self._pending.append(_JUDGEMENT, 0, reference, body)
        return reference


def _lay_out(
    known: Judged, statement: Statement, decision: Decision, flags: int, out: BytesWriter, length: int
) -> None:
    """Keep the ``length`` bytes just written for the next time."""
    if type(decision) is Permit and length < COPIED:
        known.again = Repeat(
            statement.text,
            decision.upstream_text,
            statement.name,
            statement.kind,
            len(statement.parameters),
            flags,
            out.getvalue()[-length:],
        )
