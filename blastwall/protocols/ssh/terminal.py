"""A client's terminal, for a command that runs without one. Pure.

A command never gets a terminal on the host: some programs open a pager where they see one, and a pager starts shells.
The client has put its own terminal into raw mode all the same (``ssh -t``), so the gateway does the little that the
host's terminal would have done for it (POSIX.1-2024, 11.1.9 and 11.2: ICRNL, ISIG, ICANON's end of file, ONLCR).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from blastwall.protocols.ssh.frames import Piece

_KEYS: Final = re.compile(rb"[\x03\x04\x1c]")
_SIGNALS: Final = {b"\x03": b"INT", b"\x1c": b"QUIT"}


def typed(data: bytes) -> Iterator[tuple[Piece, bytes]]:
    """What was typed, as input with newlines, signals, and the end of input."""
    at = 0
    for key in _KEYS.finditer(data):
        yield from _input(data[at : key.start()])
        at = key.end()
        signal = _SIGNALS.get(key[0])
        yield (Piece.END_OF_INPUT, b"") if signal is None else (Piece.SIGNAL, signal)
    yield from _input(data[at:])


def shown(data: bytes) -> bytes:
    """Output with carriage returns, as a terminal in raw mode needs it."""
    return data.replace(b"\n", b"\r\n")


def _input(data: bytes) -> Iterator[tuple[Piece, bytes]]:
    if data:
        yield Piece.INPUT, data.replace(b"\r", b"\n")
