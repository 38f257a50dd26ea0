"""A statement that is prepared and run at once is asked for once: the intent to run it tells what both do.

Drivers send a Parse and a Bind for each statement, and each is judged and recorded. Whoever counts what was asked wants
to see that once (ADR 58); here is where the two are told to be one, from the block's bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64

from blastwall.model import StatementKind
from blastwall.recording.bodies import DAMAGE, INTENT_FIELDS, KINDS, Judgement, read_judgement
from blastwall.recording.codec import RECORD, Flag, RecordType, raw_record

_INTENT: Final = int(RecordType.INTENT)
_JUDGEMENT: Final = int(RecordType.JUDGEMENT)
_REDACTED: Final = int(Flag.REDACTED)
_UPSTREAM: Final = int(Flag.UPSTREAM)
_PREPARE: Final = KINDS[StatementKind.PREPARE]
_EXECUTE: Final = KINDS[StatementKind.EXECUTE]
_RECORD: Final = RECORD.size
_FIXED: Final = INTENT_FIELDS.size

MAX_RAN: Final = 1024  # preparations whose answers are still told to be of what ran them


class Pairs:
    """One recording's. ``judgements`` are those that were read so far, by number; their owner adds to them."""

    def __init__(self, judgements: dict[int, Judgement]) -> None:
        self._judgements: Final = judgements
        self._alike: dict[tuple[int, int], bool] = {}  # of two judgements: until one of them is another (forget)
        self._prepared: i64 = -1  # the two that were compared last, and are alike
        self._executed: i64 = -1
        self._ran: list[int] = [0] * MAX_RAN  # preparations that were run at once, each at its number's rest

    def forget(self) -> None:
        """A number that was known will have another judgement."""
        self._alike.clear()
        self._prepared = -1
        self._executed = -1

    def run_by(self, statement: int) -> int:
        """The statement that ran what this one prepared, if :meth:`ran` said that there is one; else 0."""
        return statement + 1 if statement and self._ran[statement % MAX_RAN] == statement else 0

    def ran(self, payload: bytes, position: int) -> bool:
        """Whether the intent to run it tells all that this record does.

        So it is where the record is a permitted intent to prepare the unnamed statement, and the next of its block (but
        for a judgement) the intent to run that: the next statement's, of the same text, judged in the same way.
        ``payload`` holds whole records.
        """
        this: i64 = position
        head: i64 = _RECORD
        fixed: i64 = _FIXED
        end: i64 = len(payload)
        start = this + head
        stop = start + ((read_i64_be(payload, this) >> 32) & 0xFFFFFFFF)
        if payload[this + 4] != _INTENT or stop - start < fixed or payload[start + 4] != _PREPARE:
            return False
        other = stop
        while other < end and payload[other + 4] == _JUDGEMENT:
            other += head + ((read_i64_be(payload, other) >> 32) & 0xFFFFFFFF)
        if other >= end or payload[other + 4] != _INTENT:
            return False
        flags: i64 = payload[this + 5]
        flags_then: i64 = payload[other + 5]
        number = i64(read_i32_be(payload, this + 6))
        number_then = i64(read_i32_be(payload, other + 6))
        begin = other + head
        then = begin + ((read_i64_be(payload, other) >> 32) & 0xFFFFFFFF)
        sizes = read_i64_be(payload, start + 9)
        length = fixed + ((sizes >> 32) & 0xFFFFFFFF) + (sizes & 0xFFFFFFFF)
        if (
            start + length > stop
            or begin + length > then
            or payload[begin + 4] != _EXECUTE
            or number_then != number + 1
            or read_i64_be(payload, begin + 9) != sizes
            or read_i16_be(payload, start + 5) != 0
            or read_i16_be(payload, begin + 5) != 0
            or (flags ^ flags_then) & _UPSTREAM
            or (flags & ~flags_then) & _REDACTED
            or payload[start + fixed : start + length] != payload[begin + fixed : begin + length]
        ):
            return False
        prepared = i64(read_i32_be(payload, start))
        executed = i64(read_i32_be(payload, begin))
        if prepared != self._prepared or executed != self._executed:
            if not self._same(prepared & 0xFFFFFFFF, executed & 0xFFFFFFFF, payload, stop, other):
                return False
            self._prepared = prepared
            self._executed = executed
        statement = int(number & 0xFFFFFFFF)
        self._ran[statement % MAX_RAN] = statement
        return True

    def _same(self, one: int, two: int, payload: bytes, position: int, end: int) -> bool:
        """Whether two judgements permit the same in the same way, one of them to prepare it.

        From ``position`` to ``end`` the payload may hold judgements that come before their intent and after ours.
        """
        known = self._alike.get((one, two)) if position == end else None
        if known is not None:
            return known
        first, second = self._judgements.get(one), self._judgements.get(two)
        try:
            while position < end:
                raw = raw_record(payload, position)
                position += _RECORD + len(raw.body)
                if raw.statement == two:
                    second = read_judgement(raw.body)
        except DAMAGE:
            return False  # whoever reads that record says so
        if first is None or second is None:
            return False
        known = first[1].get("verdict") == "permit" and _told(first) == _told(second)
        self._alike[one, two] = known
        return known


def _told(judgement: Judgement) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    facts, decision, surroundings = judgement
    return facts, {name: value for name, value in decision.items() if name != "prepare_only"}, surroundings
