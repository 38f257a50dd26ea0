"""Recording to lines: what :mod:`blastwall.audit.project` and :mod:`blastwall.audit.sink` say, for much less.

Thousands of statements are judged alike, and their events differ in a number, a time and a text. So for the second of
them the event is made once more, with marks in those places that stand nowhere else in it; the others fill in its line,
straight from the recording's bytes. What is not like one before is decoded and projected.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring_ascii
from typing import Final

from librt.strings import BytesWriter, read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64, u8

from blastwall.audit.columns import written
from blastwall.audit.project import LOCAL, MAX_TEXT, Projection
from blastwall.audit.sink import MAX_EVENT, day, encode, line
from blastwall.model import StatementKind
from blastwall.recording.bodies import INTENT_FIELDS, KINDS, PARAMETER, RELAYED_FIELDS, decode_text
from blastwall.recording.codec import RECORD, Flag, FormatFault, RecordType, raw_record
from blastwall.recording.reader import Reader
from blastwall.recording.records import Intent, Record, Relayed, Seal

_SEQUENCE: Final = 0  # what is filled in, each with a mark of its own while a form is laid out
_STATEMENT: Final = 1
_TIME: Final = 2
_TIME_DT: Final = 3
_TEXT: Final = 4
_HOLES: Final = 5

MAX_FORMS: Final = 128  # kept for one recording; past that they are made again
PIECE: Final = 48 * 1024  # bytes of lines from which they are handed over: room that the allocator keeps at hand
AHEAD: Final = 64 * 1024  # bytes of a recording that are read at a time
_NUMBER: Final = 32  # bytes that nothing which is filled in exceeds, but for the text

_INTENT: Final = int(RecordType.INTENT)
_RELAYED: Final = int(RecordType.RELAYED)
_JUDGEMENT: Final = int(RecordType.JUDGEMENT)
_REDACTED: Final = int(Flag.REDACTED)
_RECORD: Final = RECORD.size
_INTENT_SIZE: Final = INTENT_FIELDS.size
_RELAYED_SIZE: Final = RELAYED_FIELDS.size
_PARAMETER_SIZE: Final = PARAMETER.size
_KINDS: Final = 4
_PREPARE: Final = KINDS[StatementKind.PREPARE]

_DONE: Final = 0  # the record's line is there, or it has none
_FULL: Final = 1  # not before what is there was taken
_DECODE: Final = 2  # it is like none before

_ZERO: Final = 48  # ASCII
_END: Final = 10


class Form:
    """What is alike: the line in parts, and what goes between them. Without parts, what is like this has no event."""

    __slots__ = ("holes", "made", "parts", "permitted", "size", "texts")

    def __init__(self, permitted: bool) -> None:
        self.permitted: Final = permitted
        self.made = False  # not before it is wanted for a second time
        self.parts: list[bytes] = []
        self.holes = b""  # one fewer
        self.size: i64 = 0  # bytes of a line, at most, but for the text
        self.texts: i64 = 0  # how many of the holes are for that


class Lines:
    """The lines of one recording's events, in order: those of ``line(Projection(header, show).event(record))``.

    ``reader`` is at the recording's beginning. Call :meth:`gather` and :meth:`take` in turn; when it has grown, call
    :meth:`Reader.again` and go on.
    """

    def __init__(self, reader: Reader, show: frozenset[str] = LOCAL) -> None:
        self.reader: Final = reader
        self.ended = False  # whether the recording's last record was seen
        self.count = 0  # lines that wait to be taken
        self._show = show
        self._projection: Projection | None = None
        self._started = 0.0
        # The block that is being read.
        self._payload = b""
        self._position: i64 = 0
        self._sequence = 0
        # What was made of it so far, all of one day.
        self._out = BytesWriter()
        self._day = ""
        self._next: tuple[str, str] | None = None  # a line of another day
        # Forms are of a judgement's number, a kind and a flag; another judgement of that number ends them (_decode).
        self._forms: dict[int, Form] = {}
        self._last_key: i64 = -1
        self._last: Form | None = None
        # Of the target's answers, by their completion and error; those in `_quiet` have no event.
        self._outcomes: dict[bytes, Form] = {}
        self._quiet = b""
        # The last second, and how it is written.
        self._second: i64 = -1
        self._date = ""
        self._written = b""
        self._digits = b""

    def gather(self, first: int) -> bool:
        """Make the lines of what comes next, from record number ``first`` on: about :data:`PIECE` bytes of one day.

        Returns whether there may be more; then take these. What is wrong with the recording says its reader.
        """
        head: i64 = _RECORD
        self._go_on()
        while True:
            payload = self._payload
            position = self._position
            end: i64 = len(payload)
            while position < end:
                if len(self._out) >= PIECE:
                    self._position = position
                    return True
                stop = position + head + ((read_i64_be(payload, position) >> 32) & 0xFFFFFFFF)
                done: i64 = _DECODE
                if self._sequence >= first:
                    kind: i64 = payload[position + 4]
                    if kind == _INTENT:
                        done = self._intent(payload, position, stop)
                    elif kind == _RELAYED:
                        done = self._relayed(payload, position, stop)
                if done == _DECODE:
                    done = self._decode(payload, position, self._sequence >= first)
                    if done == _DECODE:
                        continue  # there is a form for it now
                    if self.reader.problem is not None:
                        self._payload = b""
                        self._position = 0
                        return False
                elif done == _FULL:
                    self._position = position
                    return True
                position = stop
                self._sequence += 1
                if self._next is not None:
                    self._position = position
                    return True
            self._position = 0
            more = self.reader.payload()
            if more is None:
                self._payload = b""
                return False
            self._payload = more
            self._sequence = self.reader.first

    def take(self) -> tuple[str, bytes]:
        """The UTC date (YYYY-MM-DD) and the lines, each with its end, that were gathered since the last time."""
        lines = self._out.getvalue()
        self._out.truncate(0)
        self.count = 0
        return self._day, lines

    def _intent(self, payload: bytes, position: i64, stop: i64) -> i64:
        fixed: i64 = _INTENT_SIZE
        start = position + _RECORD
        if stop - start < fixed or payload[start + 4] >= _KINDS:
            return _DECODE
        sizes = read_i64_be(payload, start + 9)
        length = (sizes >> 32) & 0xFFFFFFFF
        behind = start + fixed + length + (sizes & 0xFFFFFFFF) + (i64(read_i16_be(payload, start + 5)) & 0xFFFF)
        if not self._sound(payload, behind, stop, i64(read_i16_be(payload, start + 7)) & 0xFFFF):
            return _DECODE
        decoder = self.reader.decoder
        statement = i64(read_i32_be(payload, position + 6)) & 0xFFFFFFFF
        if payload[start + 4] == _PREPARE and decoder.pairs.ran(payload, position):
            decoder.decided(statement, True)
            return _DONE
        key = _key(payload, position)
        form = self._last
        if form is None or key != self._last_key:
            form = self._forms.get(key)
            if form is None or not form.made:
                return _DECODE
            self._last = form
            self._last_key = key
        at = read_i64_be(payload, position + 10)
        if statement == 0 or at < 0 or length == 0 or length > MAX_TEXT:
            return _DECODE
        text = payload[start + fixed : start + fixed + length]
        if not _plain(text):
            text = encode_basestring_ascii(decode_text(text))[1:-1].encode()
        done = self._fill(form, statement, at, text)
        if done == _DONE:
            decoder.decided(statement, form.permitted)
        return done

    def _sound(self, payload: bytes, position: i64, stop: i64, parameters: i64) -> bool:
        """Whether so many parameters, and formats behind them, are what a decoder takes."""
        fixed: i64 = _PARAMETER_SIZE
        while parameters > 0:
            if position + fixed > stop:
                return False
            position += fixed + (i64(read_i32_be(payload, position + 5)) & 0xFFFFFFFF)
            parameters -= 1
        if position > stop or (position < stop and self.reader.version < 2):
            return False
        while position < stop:
            if payload[position] > 1:
                return False
            position += 1
        return True

    def _relayed(self, payload: bytes, position: i64, stop: i64) -> i64:
        fixed: i64 = _RELAYED_SIZE
        start = position + _RECORD
        if stop - start < fixed:
            return _DECODE
        end = start + fixed + i64(payload[start + 8]) + i64(payload[start + 9])
        statement = i64(read_i32_be(payload, position + 6)) & 0xFFFFFFFF
        if end > stop or statement == 0:
            return _DECODE
        key = payload[start + 8 : end]
        decoder = self.reader.decoder
        if key == self._quiet or decoder.was_refused(statement):
            return _DONE
        form = self._outcomes.get(key)
        if form is None or not form.made:
            return _DECODE
        if not form.parts:
            self._quiet = key
            return _DONE
        at = read_i64_be(payload, position + 10)
        return _DECODE if at < 0 else self._fill(form, decoder.pairs.run_by(statement) or statement, at, b"")

    def _fill(self, form: Form, statement: i64, at: i64, text: bytes) -> i64:
        """Write the line of what is like this form, if it is short enough, and of the day that is being written."""
        if form.size + form.texts * len(text) > MAX_EVENT:
            return _DECODE
        time = i64(int((self._started + float(at) / 1e9) * 1000))  # as project.moment has it
        second = time // 1000
        if second != self._second:
            self._turn(second)
        if self._date != self._day:
            if self.count:
                return _FULL
            self._day = self._date
        milliseconds = time - second * 1000
        out = self._out
        parts = form.parts
        holes = form.holes
        index: i64 = 0
        filled: i64 = len(holes)
        while index < filled:
            out.write(parts[index])
            hole: i64 = holes[index]
            if hole == _SEQUENCE:
                _write(out, self._sequence)
            elif hole == _STATEMENT:
                _write(out, statement)
            elif hole == _TEXT:
                out.write(text)
            elif hole == _TIME:
                if second > 0:
                    out.write(self._digits)
                    _write_three(out, milliseconds)
                else:
                    _write(out, time)
            else:
                out.write(self._written)
                _write_three(out, milliseconds)
                out.append(90)  # Z
            index += 1
        out.write(parts[filled])
        out.append(_END)
        self.count += 1
        return _DONE

    def _turn(self, second: i64) -> None:
        text = written(second)
        self._second = second
        self._date = text[:10]
        self._written = (text + ".").encode()
        self._digits = str(second).encode()

    def _decode(self, payload: bytes, position: i64, wanted: bool) -> i64:
        """Project the record. _DECODE: it is the second of its kind; there is a form for it now, that is to be used."""
        raw = raw_record(payload, position)
        reader = self.reader
        decoder = reader.decoder
        if raw.type == _JUDGEMENT and decoder.knows(raw.statement):
            self._forms.clear()
            self._last = None
        ran = raw.type == _INTENT and decoder.pairs.ran(payload, position)
        try:
            record = decoder.decode(raw, self._sequence)
        except FormatFault as problem:
            reader.damaged(problem)
            return _DONE
        if isinstance(record, Seal):
            self.ended = True
        if not wanted or record is None or ran:
            return _DONE
        if self._projection is None:
            assert reader.header is not None
            self._projection = Projection(reader.header, self._show)
            self._started = reader.header.started_at
        if isinstance(record, Intent):
            if record.statement and record.text and len(record.text) <= MAX_TEXT:
                key = _key(payload, position)
                form = self._forms.get(key)
                if form is None:
                    if len(self._forms) >= MAX_FORMS:
                        self._forms.clear()
                        self._last = None
                    self._forms[key] = Form(record.decision.get("verdict") == "permit")
                elif not form.made:
                    self._lay_out(form, record)
                    return _DECODE
        elif isinstance(record, Relayed) and record.statement and not record.refused:
            told = raw.body[8 : 10 + raw.body[8] + raw.body[9]]
            form = self._outcomes.get(told)
            if form is None:
                if len(self._outcomes) >= MAX_FORMS:
                    self._outcomes.clear()
                self._outcomes[told] = Form(permitted=True)
            elif not form.made:
                self._lay_out(form, record)
                return _DECODE
        event = self._projection.event(record)
        if event is not None:
            self._put((day(event), line(event)))
        return _DONE

    def _lay_out(self, form: Form, record: Intent | Relayed) -> None:
        """Take apart the line of an event that is like this record's and has marks where they differ."""
        form.made = True
        assert self._projection is not None
        plain = self._projection.event(record)
        if plain is None:
            return
        marks = _absent(encode(plain))
        marked: Record
        if isinstance(record, Intent):
            marked = record._replace(
                sequence=int(marks[_SEQUENCE]), statement=int(marks[_STATEMENT]), text=marks[_TEXT]
            )
        else:
            marked = record._replace(sequence=int(marks[_SEQUENCE]), statement=int(marks[_STATEMENT]), run=0)
        event = self._projection.event(marked)
        assert event is not None, "what it is about has not changed"
        event["time"] = int(marks[_TIME])
        if "time_dt" in event:
            event["time_dt"] = marks[_TIME_DT]
        parts = re.split(f"({'|'.join(marks)})", encode(event))
        form.parts = [part.encode() for part in parts[::2]]
        form.holes = bytes([marks.index(mark) for mark in parts[1::2]])
        form.texts = form.holes.count(_TEXT)
        form.size = sum([len(part) for part in form.parts]) + len(form.holes) * _NUMBER

    def _go_on(self) -> None:
        """Add the line that was kept. (In a function of its own: past setting it to None in one, the compiler takes it
        for None as long as that function does not set it again, whatever others do.)
        """
        made = self._next
        if made is not None:
            self._next = None
            self._put(made)

    def _put(self, made: tuple[str, str]) -> None:
        """Add a whole line, or keep it until those of another day are taken."""
        if self.count and made[0] != self._day:
            self._next = made
            return
        self._day = made[0]
        self._out.write(made[1].encode())
        self._out.append(_END)
        self.count += 1


def _key(payload: bytes, position: i64) -> i64:
    """What says which form an intent is of: its judgement, its kind, and whether a secret was taken out."""
    start = position + _RECORD
    flags: i64 = payload[position + 5]
    kind: i64 = payload[start + 4]
    return ((i64(read_i32_be(payload, start)) & 0xFFFFFFFF) * _KINDS + kind) * 2 + (flags & _REDACTED)


def _plain(text: bytes) -> bool:
    """Whether JSON has the text as it is: printable ASCII without quotes and backslashes. Seven bytes at a time.

    The highest bit of a byte is free as long as all is ASCII, so adding 0x60 sets it in all from 0x20 on, adding 1 in
    0x7F only, and adding 0x7F in all but 0.
    """
    length: i64 = len(text)
    position: i64 = 0
    if length >= 8:
        while True:
            if position + 8 > length:
                if position == length:
                    return True
                position = length - 8
                seven = read_i64_be(text, position) & 0xFFFFFFFFFFFFFF
                position = length
            else:
                seven = (read_i64_be(text, position) >> 8) & 0xFFFFFFFFFFFFFF
                position += 7
            if (
                (seven + 0x60606060606060)
                & ((seven ^ 0x22222222222222) + 0x7F7F7F7F7F7F7F)
                & ((seven ^ 0x5C5C5C5C5C5C5C) + 0x7F7F7F7F7F7F7F)
                & ~(seven | (seven + 0x01010101010101))
                & 0x80808080808080
            ) != 0x80808080808080:
                return False
    while position < length:
        byte: i64 = text[position]
        if byte < 0x20 or byte > 0x7E or byte == 0x22 or byte == 0x5C:
            return False
        position += 1
    return True


def _write(out: BytesWriter, number: i64) -> None:
    """In decimal; it is not negative. (A byte that the compiler knows for one costs a store, any other a call.)"""
    place: i64 = 1
    while number // place > 9:
        place *= 10
    while place > 0:
        out.append(u8(_ZERO + number // place % 10))
        place //= 10


def _write_three(out: BytesWriter, number: i64) -> None:
    out.append(u8(_ZERO + number // 100))
    out.append(u8(_ZERO + number // 10 % 10))
    out.append(u8(_ZERO + number % 10))


def _absent(text: str) -> list[str]:
    """As many different numbers of thirty digits as there are holes, none of which stands in the text."""
    found: list[str] = []
    number = 10**29
    while len(found) < _HOLES:
        if str(number) not in text:
            found.append(str(number))
        number += 1
    return found
