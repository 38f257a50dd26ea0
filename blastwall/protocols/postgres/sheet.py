"""One result's rows on their way to the agent: cells that are replaced, cells that are looked into.

Most buffers leave as they came: with detectors one pass over the whole buffer finds nothing, without sinks nothing is
laid out anew. Rows that come in pieces (above 256 KiB) are collected when a cell of theirs is replaced, else looked
into as they pass.

Plain typed Python, so that it can be compiled as it stands.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from blastwall.errors import UpstreamFault
from blastwall.masking.detectors import Detectors, Tally
from blastwall.protocols.postgres.copying import Form, replace_fields
from blastwall.protocols.postgres.explain import conceal
from blastwall.protocols.postgres.frames import COPY_DATA, DATA_ROW, HEADER_SIZE, LONGEST, STREAMED, scan_run
from blastwall.protocols.postgres.layout import (
    CONCEAL,
    INTEGERS,
    PASS,
    SEARCH_DOCUMENT,
    SINK,
    UUID,
    Column,
    Replace,
)
from blastwall.protocols.postgres.passing import Passing

#: A row with replaced cells is collected up to this size (bytes); larger ones end the session.
MOST_ROW: Final = 16 * 1024 * 1024
#: Pseudonyms a result remembers: columns that are worth one repeat their values.
REMEMBERED: Final = 8192
#: Of each result so much is looked through for what is only flagged (bytes), unless nothing is masked at all.
FLAGGED_BYTES: Final = 1 << 20

_ERROR: Final = 69  # E
_NOTICE: Final = 78  # N
_pack_size: Final = struct.Struct(">I").pack
_pack_header: Final = struct.Struct(">BI").pack


class RowSheet:
    """The rows of one result, and whatever else its chunks hold. ``columns`` None: no rows belong to it (errors)."""

    __slots__ = (
        "_cells",
        "_columns",
        "_detectors",
        "_flags",
        "_form",
        "_header",
        "_held",
        "_known",
        "_noted",
        "_passing",
        "_remembered",
        "_replace",
        "_searches",
        "_sinks",
        "_tally",
        "_told",
    )

    def __init__(
        self,
        columns: Sequence[Column] | None,
        detectors: Detectors | None,
        replace: Replace,
        told: Callable[[str, str], None],
        form: Form | None = None,
    ) -> None:
        self._form = form  # of copied lines in which cells are replaced
        self._header = form is not None and form.header
        self._columns = tuple(columns) if columns is not None else ()
        self._detectors = detectors
        self._replace = replace
        self._told = told  # a kind and its mode, when it is seen first in this result
        self._sinks = any(column.action in (SINK, CONCEAL) for column in self._columns)
        self._searches = bytes(column.action not in (PASS, SINK, CONCEAL) for column in self._columns)
        self._tally = Tally()
        self._known = 0  # of the tally's total, what was told
        self._noted: set[str] = set()
        self._flags = FLAGGED_BYTES
        if detectors is not None and not detectors.masks:
            self._flags = LONGEST
        self._cells = 0
        self._remembered: dict[tuple[str, str], str] = {}
        self._held = b""  # the beginning of a row that is collected
        self._passing: Passing | None = None  # a frame that is looked into as it passes

    def masked(self, data: bytes) -> tuple[bytes, int]:
        """See :class:`blastwall.model.Sheet`. Raises UpstreamFault for rows that are not laid out as described."""
        self._cells = 0
        if self._detectors is None and not self._sinks:
            return data, 0
        if self._held:
            data = self._held + data
            self._held = b""
        passed = b""
        if self._passing is not None:
            size = self._passing.left
            passed = self._passing.feed(data[:size])
            data = data[size:]
            if not self._passing.left:
                self._cells += self._passing.finish()
                self._passing = None
        detectors = self._detectors
        places: list[int] = []
        if detectors is not None:
            places = detectors.suspects(data, self._flags > 0)
            self._flags -= min(len(data), self._flags)
        out = self._walk(data, places)
        if self._tally.total != self._known:
            self._known = self._tally.total
            self._note()
        return (passed + out if passed else out), self._cells

    def _walk(self, data: bytes, places: list[int]) -> bytes:
        """Frame by frame, runs of untouched ones at once; ``places`` say which are looked into."""
        parts: list[bytes] = []
        position: i64 = 0
        kept: i64 = 0  # everything before it is in ``parts``
        end: i64 = len(data)
        number: i64 = 0
        count: i64 = len(places)
        while position < end:
            kind: i64 = data[position]
            streamed = kind in (DATA_ROW, COPY_DATA)
            stop: i64 = position
            if streamed and not self._sinks:
                stop, _ = scan_run(data, position, kind, STREAMED[kind], LONGEST)
            if stop == position:  # a frame by itself: one whose cells are replaced, one in pieces, or of another kind
                if end - position < HEADER_SIZE:
                    raise UpstreamFault("the target sent rows that are cut in their header", code="08P01")
                stop = position + 1 + i64(read_i32_be(data, position + 1))
                if stop > end:
                    if not streamed:
                        raise UpstreamFault("the target sent a message that is cut", code="08P01")
                    parts.append(data[kept:position])
                    parts.append(self._piece(data[position:], int(kind), int(stop - position)))
                    return b"".join(parts)
                if streamed:
                    row = self._row(data[position:stop]) if kind == DATA_ROW else self._line(data[position:stop])
                    parts.append(data[kept:position])
                    parts.append(row)
                    kept = stop
                    while number < count and places[number] < stop:
                        number += 1
                    position = stop
                    continue
            while number < count and places[number] < stop:
                place: i64 = places[number]
                number += 1
                if place < position:
                    continue  # in a frame that was looked into for an earlier place
                while True:  # the frame of the run that holds the place
                    after: i64 = position + 1 + i64(read_i32_be(data, position + 1))
                    if after > place:
                        break
                    position = after
                frame = data[position:after]
                several = number < count and places[number] < after
                looked = self._look(frame, int(kind), int(place - position), several)
                if looked is not frame:
                    parts.append(data[kept:position])
                    parts.append(looked)
                    kept = after
                position = after
            position = stop
        if not kept:
            return data
        parts.append(data[kept:])
        return b"".join(parts)

    def _look(self, frame: bytes, kind: int, place: int, several: bool) -> bytes:
        """A frame with a suspicious place in it, or several; the same object when there is nothing to mask."""
        detectors = self._detectors
        assert detectors is not None  # it found the place
        if kind == DATA_ROW:
            return self._row(frame, place, several)
        if kind == COPY_DATA:
            return self._text(frame, HEADER_SIZE, len(frame))
        if kind in (_ERROR, _NOTICE):
            changed = frame
            position = HEADER_SIZE
            while position < len(frame) and frame[position]:
                stop = frame.find(0, position)
                if stop < 0:
                    break
                changed = self._text(changed, position + 1, stop)
                position = stop + 1
            return changed
        return frame

    def _text(self, frame: bytes, start: int, stop: int) -> bytes:
        """The frame with what is found between ``start`` and ``stop`` overwritten."""
        assert self._detectors is not None
        value = frame[start:stop]
        masked = self._detectors.mask(value, self._tally)
        if masked is value:
            return frame
        self._cells += 1
        return frame[:start] + masked + frame[stop:]

    def _row(self, frame: bytes, place: i64 = 0, several: bool = True) -> bytes:
        """One DataRow laid out anew; the same object when nothing changed.

        Cells that end before ``place`` are not looked into, and with ``several`` False no cell behind it.
        """
        end: i64 = len(frame)
        columns = self._columns
        if end < HEADER_SIZE + 2 or ((frame[5] << 8) | frame[6]) != len(columns):
            raise UpstreamFault(
                f"the target sent a row of other columns than the {len(columns)} it described", code="08P01"
            )
        detectors = self._detectors
        parts: list[bytes] = []
        kept: i64 = HEADER_SIZE
        position: i64 = HEADER_SIZE + 2
        for column in columns:
            if position + 4 > end:
                raise UpstreamFault("the target sent a row that ends early", code="08P01")
            start: i64 = position + 4
            size: i64 = i64(read_i32_be(frame, position))
            if size < 0:
                position = start
                continue
            stop: i64 = start + size
            if stop > end:
                raise UpstreamFault("the target sent a row that ends early", code="08P01")
            action = column.action
            if action != PASS and (self._sinks or (place < stop and (several or start <= place))):
                value = frame[start:stop]
                if action == SINK:
                    changed = self._pseudonym(column, value)
                elif action == CONCEAL:
                    assert column.telling is not None  # CONCEAL has one
                    changed = conceal(value, column.telling)
                elif detectors is not None:
                    changed = detectors.mask(value, self._tally, action == SEARCH_DOCUMENT)
                else:
                    changed = value
                if changed is not value:
                    self._cells += action != CONCEAL
                    parts.append(frame[kept:position])
                    parts.append(_pack_size(len(changed)))
                    parts.append(changed)
                    kept = stop
            position = stop
        if position != end:
            raise UpstreamFault("the target sent a row with bytes too many", code="08P01")
        if not parts:
            return frame
        parts.append(frame[kept:])
        body = b"".join(parts)
        return _pack_header(DATA_ROW, len(body) + 4) + body

    def _line(self, frame: bytes) -> bytes:
        """One copied line with its cells replaced."""
        if self._form is None:
            raise UpstreamFault("the target copied lines where it described rows", code="08P01")
        if self._header:
            self._header = False
            return frame
        body = replace_fields(frame[HEADER_SIZE:], self._form, len(self._columns), self._field)
        return _pack_header(COPY_DATA, len(body) + 4) + body

    def _field(self, number: int, field: bytes, value: bool) -> bytes | None:
        """What a copied field shows: see ``replace_fields``."""
        column = self._columns[number]
        if not value:
            if column.action == SINK:
                return None
            changed = self._detectors.mask(field, self._tally) if self._detectors is not None else field
            self._cells += changed is not field
            return changed
        self._cells += 1
        return self._pseudonym(column, field)

    def _pseudonym(self, column: Column, value: bytes) -> bytes:
        mask = column.mask
        assert mask is not None  # SINK has one
        try:
            text = _as_text(value, column)
            key = (mask.column, text)
            shown = self._remembered.get(key)
            if shown is None:
                shown = self._replace(mask, text)
                if len(self._remembered) >= REMEMBERED:
                    self._remembered.clear()
                self._remembered[key] = shown
            return _as_wire(shown, column)
        except (ValueError, struct.error):
            # The fault's own text would quote the value.
            raise UpstreamFault(
                f"the target sent a value of {mask.column} that is none of its type", code="08P01"
            ) from None

    def _piece(self, piece: bytes, kind: int, size: int) -> bytes:
        """The beginning of a frame that is not all there."""
        if self._sinks:
            if size > MOST_ROW:
                raise UpstreamFault(
                    f"a row of {size} bytes with masked columns is longer than {MOST_ROW}: select fewer columns",
                    code="54000",
                )
            self._held = piece
            return b""
        self._passing = Passing(kind, size, self._searches, self._detectors, self._tally)
        return self._passing.feed(piece)

    def _note(self) -> None:
        """Tell of the kinds that are seen for the first time in this result."""
        for mode, found in (("mask", self._tally.masked), ("flag", self._tally.flagged)):
            for kind in found:
                if kind not in self._noted:
                    self._noted.add(kind)
                    self._told(kind, mode)


def _as_text(value: bytes, column: Column) -> str:
    """A value as PostgreSQL writes it. Types that are not listed send their text in both formats."""
    if column.binary:
        width = INTEGERS.get(column.type_id)
        if width is not None:
            if len(value) != width:
                raise ValueError("another width")
            return str(int.from_bytes(value, "big", signed=True))
        if column.type_id == UUID:
            return str(uuid.UUID(bytes=value))
    return value.decode()


def _as_wire(text: str, column: Column) -> bytes:
    if column.binary:
        width = INTEGERS.get(column.type_id)
        if width is not None:
            return int(text).to_bytes(width, "big", signed=True)
        if column.type_id == UUID:
            return uuid.UUID(text).bytes
    return text.encode()
