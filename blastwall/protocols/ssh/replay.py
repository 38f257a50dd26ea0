"""Playback of SSH recordings: output, errors, what was typed, sizes and exits, as harmless text.

Colours are dropped; every other escape sequence stays visible, since what moves a cursor can hide what was printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from blastwall.model import Direction
from blastwall.protocols.ssh.frames import Piece, unpack
from blastwall.recording.records import Record, Relayed
from blastwall.recording.shown import Done, Happened, Opaque, Shown, Streamed, tell

#: Bytes of one piece that are shown.
LONGEST: Final = 16_384
_COLOURS: Final = re.compile(r"\x1b\[[0-9;:]{0,32}m")
_STREAMS: Final = {Piece.OUTPUT: "output", Piece.ERRORS: "errors", Piece.INPUT: "input"}
_BINARY_SHARE: Final = 0.3


def decode(records: Iterable[Record], *, rows: int = 20) -> Iterator[Shown]:
    """Yield what the records show, in order. ``rows`` is of no use here: output has no rows."""
    for record in records:
        if isinstance(record, Relayed):
            yield from _relayed(record)
        else:
            yield from tell(record)


def _relayed(record: Relayed) -> Iterator[Shown]:
    try:
        piece, data = unpack(record.data)
    except ValueError:
        yield Opaque(record.at, record.statement, len(record.data), "not a piece of an SSH channel")
        return
    if piece in _STREAMS and not data:
        return  # all of it was held back for a moment
    if piece in _STREAMS:
        yield _streamed(record, _STREAMS[piece], data)
    elif piece is Piece.EXIT:
        yield Done(record.at, record.statement, record.tag or data.decode("ascii", "replace"))
    elif piece is Piece.UNRECORDED:
        note = f"{data.decode('ascii', 'replace')} bytes were typed where a password was asked for"
        yield Happened(record.at, record.statement, "typed", {"note": note})
    elif piece is Piece.END_OF_INPUT:
        return
    else:
        fields = {"value": data.decode("ascii", "replace")[:64]}
        yield Happened(record.at, record.statement, piece.name.lower(), fields)


def _streamed(record: Relayed, stream: str, data: bytes) -> Shown:
    shown = data[:LONGEST]
    controls = sum(byte < 32 and byte not in b"\t\n\r\x1b" for byte in shown)
    if shown and controls / len(shown) > _BINARY_SHARE:
        return Opaque(record.at, record.statement, len(data), f"{stream}, not text")
    text = _COLOURS.sub("", shown.decode("utf-8", "backslashreplace")).replace("\r\n", "\n").removesuffix("\n")
    if len(data) > LONGEST:
        text += f"\n… {len(data) - LONGEST:,} more bytes"
    if record.direction is Direction.TO_TARGET:
        text = text.replace("\r", "\n").removesuffix("\n")
    return Streamed(record.at, record.statement, stream, text)
