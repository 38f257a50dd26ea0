"""Playback of SSH recordings: output, errors, what was typed, sizes and exits, as harmless text.

Colours are dropped; every other escape sequence stays visible, since what moves a cursor can hide what was printed.
Lines are shown whole, however they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from blastwall.protocols.ssh.frames import Piece, unpack
from blastwall.protocols.ssh.lines import Lines
from blastwall.recording.records import Intent, Record, Relayed
from blastwall.recording.shown import Done, Happened, Opaque, Shown, Streamed, tell

#: Bytes of one piece that are shown.
LONGEST: Final = 16_384
_COLOURS: Final = re.compile(r"\x1b\[[0-9;:]{0,32}m")
_STREAMS: Final = {Piece.OUTPUT: "output", Piece.ERRORS: "errors", Piece.INPUT: "input"}
_BINARY_SHARE: Final = 0.3
#: Fewer bytes than these are keys, not data.
FEW: Final = 8


def decode(records: Iterable[Record], *, rows: int = 20) -> Iterator[Shown]:
    """Yield what the records show, in order. ``rows`` is of no use here: output has no rows."""
    lines = Lines()
    at = 0
    for record in records:
        at = record.at
        for statement, stream, data in lines.overdue(at):
            yield _streamed(at, statement, stream, data)
        if isinstance(record, Relayed):
            yield from _relayed(record, lines)
            continue
        if not isinstance(record, Intent):  # another channel's may stand in the middle of a line
            yield from _rest(at, lines)
        yield from tell(record)
    yield from _rest(at, lines)


def _relayed(record: Relayed, lines: Lines) -> Iterator[Shown]:
    try:
        piece, data = unpack(record.data)
    except ValueError:
        yield Opaque(record.at, record.statement, len(record.data), "not a piece of an SSH channel")
        return
    if piece in _STREAMS:
        stream = _STREAMS[piece]
        if _binary(data):
            yield from _rest(record.at, lines, record.statement)
            yield Opaque(record.at, record.statement, len(data), f"{stream}, not text")
        elif whole := lines.feed(record.at, record.statement, stream, data):
            yield _streamed(record.at, record.statement, stream, whole)
        return
    if piece is not Piece.END_OF_INPUT:
        yield from _rest(record.at, lines, record.statement)
    if piece is Piece.EXIT:
        yield Done(record.at, record.statement, record.tag or data.decode("ascii", "replace"))
    elif piece is Piece.UNRECORDED:
        note = f"{data.decode('ascii', 'replace')} bytes were typed where a password was asked for"
        yield Happened(record.at, record.statement, "typed", {"note": note})
    elif piece is Piece.LEFT_OUT:
        note = "of a file's content, which the target's settings leave out"
        yield Opaque(record.at, record.statement, int(data) if data.isdigit() else 0, note)
    elif piece is not Piece.END_OF_INPUT:
        fields = {"value": data.decode("ascii", "replace")[:64]}
        yield Happened(record.at, record.statement, piece.name.lower(), fields)


def _rest(at: int, lines: Lines, statement: int | None = None) -> Iterator[Shown]:
    for number, stream, data in lines.rest(statement):
        yield _streamed(at, number, stream, data)


def _binary(data: bytes) -> bool:
    shown = data[:LONGEST]
    controls = sum(byte < 32 and byte not in b"\t\n\r\x1b" for byte in shown)
    return len(shown) >= FEW and controls / len(shown) > _BINARY_SHARE


def _streamed(at: int, statement: int, stream: str, data: bytes) -> Shown:
    shown = data[:LONGEST]
    text = _COLOURS.sub("", shown.decode("utf-8", "backslashreplace")).replace("\r\n", "\n").removesuffix("\n")
    if len(data) > LONGEST:
        text += f"\n… {len(data) - LONGEST:,} more bytes"
    if stream == "input":
        text = text.replace("\r", "\n").removesuffix("\n")
    return Streamed(at, statement, stream, text)
