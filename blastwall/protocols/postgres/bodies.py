"""What the bodies of a client's messages are made of: names, strings, lists of numbers, each held against its frame."""

from __future__ import annotations

import struct
from typing import Final

from mypy_extensions import i64

from blastwall.errors import ProtocolViolation

NAME_LIMIT: Final = 255  # bytes in the name of a statement or portal; drivers use fewer than 64


class MessageViolation(ProtocolViolation):
    """A well-framed message with a body the protocol forbids: the stream is still in step, so it is not fatal.

    ``kind`` is the message's type byte (``b"B"``). ``extended`` tells what the server would do next: True, discard
    everything until Sync (see ``Downstream.skip_to_sync``); False, answer ReadyForQuery at once.
    """

    def __init__(self, message: str, *, kind: bytes, code: str = "08P01") -> None:
        super().__init__(message, code=code, fatal=False)
        self.kind = kind
        self.extended = kind in b"PBDECH"


def ends_early(kind: bytes) -> MessageViolation:
    return MessageViolation("insufficient data left in message", kind=kind)


def too_long(kind: bytes) -> MessageViolation:
    return MessageViolation("invalid message format", kind=kind)


def string_end(buffer: bytes, start: int, end: int, kind: bytes) -> int:
    """Return where the NUL of the string at ``start`` is."""
    stop = buffer.find(0, start, end)
    if stop < 0:
        raise MessageViolation("invalid string in message", kind=kind)
    return stop


def name_end(buffer: bytes, start: int, end: int, kind: bytes) -> int:
    """Return where the NUL of the statement or portal name at ``start`` is."""
    position: i64 = start
    most: i64 = min(end, start + NAME_LIMIT + 1)
    while position < most:  # names are short or empty: looking here costs less than calling find
        if buffer[position] == 0:
            return int(position)
        position += 1
    string_end(buffer, start, end, kind)
    raise MessageViolation(f"a name of more than {NAME_LIMIT} bytes is not accepted here", kind=kind, code="42622")


def numbers(buffer: bytes, position: int, end: int, code: str, width: int, kind: bytes) -> tuple[tuple[int, ...], int]:
    """Read a 16-bit count and that many numbers; return them and where they end."""
    if position + 2 > end:
        raise ends_early(kind)
    count = (buffer[position] << 8) | buffer[position + 1]
    position += 2
    if not count:
        return (), position
    after = position + count * width
    if after > end:
        raise ends_early(kind)
    if count == 1 and width == 2:
        return ((buffer[position] << 8) | buffer[position + 1],), after
    return struct.unpack_from(f">{count}{code}", buffer, position), after
