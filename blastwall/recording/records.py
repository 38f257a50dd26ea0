"""Records as they are read back: frozen values that know where they stand in their recording.

Nothing read here is trusted: lengths are checked against what is there, JSON against the shapes that are used later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from blastwall.model import Direction, Parameter
from blastwall.recording.bodies import (
    BINARY,
    DAMAGE,
    INTENT_FIELDS,
    KIND_NAMES,
    NULL,
    PARAMETER,
    RELAYED_FIELDS,
    Judgement,
    decode_text,
    read_judgement,
    read_object,
)
from blastwall.recording.codec import VERSION, Flag, FormatFault, RawRecord, RecordType
from blastwall.recording.manifest import parse_manifest
from blastwall.recording.pairs import Pairs
from blastwall.value import Fixed

# Plain integers: an enum's operators are most of what a record costs.
_INTENT: Final = int(RecordType.INTENT)
_RELAYED: Final = int(RecordType.RELAYED)
_REDACTED: Final = int(Flag.REDACTED)
_UPSTREAM: Final = int(Flag.UPSTREAM)
_TO_TARGET: Final = int(Flag.TO_TARGET)

MAX_REFUSED = 1024  # refused statements whose answers are still told from the target's


@dataclass(frozen=True, slots=True)
class Header:
    """The first record: whose connection this is, and what it was judged by. ``raw`` is the whole JSON object."""

    sequence: int
    at: int  # nanoseconds since the recording began, here and below
    raw: Mapping[str, Any]

    @property
    def recording(self) -> str:
        return str(self.raw["recording"])

    @property
    def session(self) -> str:
        return str(self.raw["session"])

    @property
    def protocol(self) -> str:
        return str(self.raw["protocol"])

    @property
    def started_at(self) -> float:
        """Wall time of the beginning, in seconds since the epoch: the only wall time the other records need."""
        return float(self.raw["started_at"])


class Intent(Fixed):
    """One statement and what was decided about it. ``upstream`` is the text that went to the target, if it differs."""

    __slots__ = (
        "at",
        "decision",
        "facts",
        "kind",
        "name",
        "parameters",
        "ran",
        "redacted",
        "results",
        "sequence",
        "statement",
        "surroundings",
        "text",
        "upstream",
    )
    __match_args__ = (
        "sequence",
        "at",
        "statement",
        "kind",
        "text",
        "upstream",
        "name",
        "parameters",
        "facts",
        "decision",
        "surroundings",
        "redacted",
        "results",
        "ran",
    )

    def __init__(
        self,
        sequence: int,
        at: int,
        statement: int,
        kind: str,  # connect | prepare | execute | cancel
        text: str,
        upstream: str | None,
        name: str,
        parameters: tuple[Parameter, ...],
        facts: Mapping[str, Any],
        decision: Mapping[str, Any],  # verdict: permit | denial | pending
        surroundings: str,
        redacted: bool,
        results: bytes
        | None = None,  # formats asked for, as in Statement; None: the recording does not tell (version 1)
        ran: bool = False,  # to prepare what the next intent runs: Pairs.ran
    ) -> None:
        self.sequence: Final = sequence
        self.at: Final = at
        self.statement: Final = statement
        self.kind: Final = kind
        self.text: Final = text
        self.upstream: Final = upstream
        self.name: Final = name
        self.parameters: Final = parameters
        self.facts: Final = facts
        self.decision: Final = decision
        self.surroundings: Final = surroundings
        self.redacted: Final = redacted
        self.results: Final = results
        self.ran: Final = ran


class Relayed(Fixed):
    """Bytes that travelled under a permit, exactly as the agent received (or sent) them."""

    __slots__ = (
        "at",
        "cells",
        "data",
        "direction",
        "error",
        "redacted",
        "refused",
        "rows",
        "run",
        "sequence",
        "statement",
        "tag",
    )
    __match_args__ = (
        "sequence",
        "at",
        "statement",
        "data",
        "rows",
        "cells",
        "tag",
        "error",
        "direction",
        "redacted",
        "refused",
        "run",
    )

    def __init__(
        self,
        sequence: int,
        at: int,
        statement: int,
        data: bytes,
        rows: int,
        cells: int,
        tag: str,
        error: str,
        direction: Direction,
        redacted: bool,
        refused: bool = False,  # the gateway's own words: the statement it answers never reached the target
        run: int = 0,  # the statement that ran what this one prepared, where one intent told of both: Pairs.ran
    ) -> None:
        self.sequence: Final = sequence
        self.at: Final = at
        self.statement: Final = statement
        self.data: Final = data
        self.rows: Final = rows
        self.cells: Final = cells
        self.tag: Final = tag
        self.error: Final = error
        self.direction: Final = direction
        self.redacted: Final = redacted
        self.refused: Final = refused
        self.run: Final = run


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the session."""

    sequence: int
    at: int
    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """The orderly end. ``totals``: statements, denied, rows, relayed_bytes."""

    sequence: int
    at: int
    reason: str
    ended_at: float
    totals: Mapping[str, Any]
    completed_by: str = ""  # who wrote this in place of a writer that was stopped


@dataclass(frozen=True, slots=True)
class Seal:
    """The manifest as the last record; ``body`` is what is repeated in the file beside the recording."""

    sequence: int
    at: int
    manifest: Mapping[str, Any]
    body: bytes


Record: TypeAlias = Header | Intent | Relayed | Event | End | Seal


class Decoder:
    """Turns one recording's raw records into values, in order. It keeps the judgements that intents refer to."""

    def __init__(self, version: int = VERSION) -> None:
        self._version = version
        self._judgements: dict[int, Judgement] = {}
        self._refused: dict[int, None] = {}  # the last statements that were not permitted, in order
        self.pairs: Final = Pairs(self._judgements)

    def decode(self, raw: RawRecord, sequence: int) -> Record | None:
        """Return the record; None for one that only serves others. Raises :class:`FormatFault`."""
        try:
            if raw.type == _INTENT:
                return self._intent(raw, sequence)
            if raw.type == _RELAYED:
                return _relayed(raw, sequence, self.was_refused(raw.statement), self.pairs.run_by(raw.statement))
            match raw.type:
                case RecordType.JUDGEMENT:
                    self._judgement(raw)
                    return None
                case RecordType.HEADER:
                    return _header(raw, sequence)
                case RecordType.EVENT:
                    value = read_object(raw.body)
                    fields = value["fields"]
                    if not isinstance(fields, dict):
                        raise TypeError
                    return Event(sequence, raw.at, str(value["name"]), fields)
                case RecordType.END:
                    value = read_object(raw.body)
                    totals = value["totals"]
                    if not isinstance(totals, dict):
                        raise TypeError
                    by = str(value.get("completed_by", ""))
                    return End(sequence, raw.at, str(value["reason"]), float(value["ended_at"]), totals, by)
                case RecordType.MARK | RecordType.CHECKPOINT if self._version >= 2:
                    return None  # for verification only
                case RecordType.MANIFEST:
                    return Seal(sequence, raw.at, parse_manifest(raw.body), raw.body)
        except DAMAGE as error:
            raise FormatFault(f"Record {sequence} is damaged.") from error
        raise FormatFault(f"Record {sequence} is of a type ({raw.type}) that this version does not know.")

    def decided(self, statement: int, permitted: bool) -> None:
        """Keep what was decided of the statement, for what is then relayed under it."""
        if permitted:
            if self._refused:
                self._refused.pop(statement, None)
            return
        self._refused.pop(statement, None)
        self._refused[statement] = None
        if len(self._refused) > MAX_REFUSED:
            del self._refused[next(iter(self._refused))]

    def was_refused(self, statement: int) -> bool:
        """Whether it was not permitted, so that what is relayed under it are the gateway's own words."""
        return bool(self._refused) and statement in self._refused

    def knows(self, reference: int) -> bool:
        """Whether there was a judgement of this number."""
        return reference in self._judgements

    def _judgement(self, raw: RawRecord) -> None:
        if raw.statement in self._judgements:
            self.pairs.forget()
        self._judgements[raw.statement] = read_judgement(raw.body)

    def _intent(self, raw: RawRecord, sequence: int) -> Intent:
        body = raw.body
        reference, kind, name_length, count, text_length, upstream_length = INTENT_FIELDS.unpack_from(body)
        facts, decision, surroundings = self._judgements[reference]
        self.decided(raw.statement, decision.get("verdict") == "permit")
        text, position = _take(body, INTENT_FIELDS.size, text_length)
        upstream, position = _take(body, position, upstream_length)
        name, position = _take(body, position, name_length)
        parameters = []
        for _ in range(count):
            flags, type_id, length = PARAMETER.unpack_from(body, position)
            value, position = _take(body, position + PARAMETER.size, length)
            parameters.append(Parameter(None if flags & NULL else value, bool(flags & BINARY), type_id))
        results = body[position:]
        if results.translate(None, b"\0\1") or (results and self._version < 2):
            raise ValueError
        return Intent(
            sequence=sequence,
            at=raw.at,
            statement=raw.statement,
            kind=KIND_NAMES[kind],
            text=decode_text(text),
            upstream=decode_text(upstream) if raw.flags & _UPSTREAM else None,
            name=decode_text(name),
            parameters=tuple(parameters),
            facts=facts,
            decision=decision,
            surroundings=surroundings,
            redacted=bool(raw.flags & _REDACTED),
            results=results if self._version >= 2 else None,
        )


def _header(raw: RawRecord, sequence: int) -> Header:
    value = read_object(raw.body)
    header = Header(sequence, raw.at, value)
    if not isinstance(value["principal"], dict) or not isinstance(value["target"], dict):
        raise TypeError
    for name in ("recording", "session", "protocol"):
        if not isinstance(value[name], str):
            raise TypeError
        value[name].encode()  # a lone surrogate is no id
    started = value["started_at"]
    if isinstance(started, bool) or not isinstance(started, int | float) or not 0 <= started < 1e11:
        raise ValueError
    return header


def _relayed(raw: RawRecord, sequence: int, refused: bool, run: int) -> Relayed:
    rows, cells, tag_length, error_length = RELAYED_FIELDS.unpack_from(raw.body)
    tag, position = _take(raw.body, RELAYED_FIELDS.size, tag_length)
    error, position = _take(raw.body, position, error_length)
    return Relayed(
        sequence=sequence,
        at=raw.at,
        statement=raw.statement,
        data=raw.body[position:],
        rows=rows,
        cells=cells,
        tag=decode_text(tag),
        error=decode_text(error),
        direction=Direction.TO_TARGET if raw.flags & _TO_TARGET else Direction.TO_AGENT,
        redacted=bool(raw.flags & _REDACTED),
        refused=refused,
        run=run,
    )


def _take(body: bytes, position: int, length: int) -> tuple[bytes, int]:
    end = position + length
    if end > len(body):
        raise ValueError
    return body[position:end], end
