"""What crosses the gateway on an SSH channel, as chunks: one byte that says what it is, then the bytes themselves.

The same layout stands in recordings, so that playback can tell output from errors and knows the terminal's size.
"""

from __future__ import annotations

from enum import IntEnum


class Piece(IntEnum):
    """The first byte of a chunk."""

    OUTPUT = 1  # standard output, or what a file or forwarded connection gave
    ERRORS = 2  # standard error
    EXIT = 3  # how it ended: "0", "1" ... or "signal TERM"
    INPUT = 4  # what the client sent
    RESIZE = 5  # "80x24"
    SIGNAL = 6  # a signal's name, from the client
    END_OF_INPUT = 7
    UNRECORDED = 8  # "n": so many bytes were typed where a password was asked for
    LEFT_OUT = 9  # "n": so many bytes of a file's content, which passed


def pack(piece: Piece, data: bytes) -> bytes:
    """A chunk's bytes."""
    return bytes((piece,)) + data


def unpack(data: bytes) -> tuple[Piece, bytes]:
    """The inverse of :func:`pack`. Raises ValueError for what is not one."""
    if not data:
        raise ValueError("an empty chunk")
    return Piece(data[0]), data[1:]
