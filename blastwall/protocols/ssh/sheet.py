"""Content detectors over a channel's streams: the last net, which finds values also where two chunks meet.

What may be the beginning of a value is held back until more comes, or until nothing has come for a moment: a program
that waits for an answer must not wait for its own question. A value that is printed in two halves with a pause between
them is not recognised, and what an agent transforms on the host never is.
"""

from __future__ import annotations

from typing import Final

from blastwall.masking.detectors import Detectors, Tally
from blastwall.model import Sheet
from blastwall.protocols.ssh.frames import pack, unpack

#: How long the end of an output is held back when nothing follows (seconds); on a terminal a person waits for it.
QUIET_SECONDS: Final = 0.1
QUIET_TERMINAL_SECONDS: Final = 0.005


class StreamSheet(Sheet):
    """One stream of one exchange. ``flush`` has the next chunk carry what is held back."""

    __slots__ = ("_held", "_stream", "flush", "tally")

    def __init__(self, detectors: Detectors) -> None:
        self.tally = Tally()
        self.flush = False
        self._stream = detectors.stream(self.tally)
        self._held = 0

    @property
    def holds(self) -> bool:
        """Whether anything is held back."""
        return self._held > 0

    def masked(self, data: bytes) -> tuple[bytes, int]:
        """Keeps the first byte, which says what the piece is."""
        piece, content = unpack(data)
        before = sum(self.tally.masked.values())
        passed = self._stream.feed(content)
        if self.flush:
            passed += self._stream.finish()
            self.flush = False
        self._held += len(content) - len(passed)
        return pack(piece, passed), sum(self.tally.masked.values()) - before
