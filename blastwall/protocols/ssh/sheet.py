"""Content detectors over a channel's streams: the last net, which finds values also where two chunks meet.

What may be the beginning of a value is held back until more comes, or until nothing has come for a moment: a program
that waits for an answer must not wait for its own question. A value that is printed in two halves with a pause between
them is not recognised, and what an agent transforms on the host never is.
"""

from __future__ import annotations

from typing import Final

from blastwall.masking.detectors import Detectors, Hit, Tally
from blastwall.masking.streams import Stream
from blastwall.model import Sheet
from blastwall.protocols.ssh.frames import pack, unpack

#: How long the end of an output is held back when nothing follows (seconds); on a terminal a person waits for it.
QUIET_SECONDS: Final = 0.1
QUIET_TERMINAL_SECONDS: Final = 0.005

#: Bytes on both sides of a find that are looked at, and how many of them may be no text.
AROUND: Final = 48
MOST_STRANGE: Final = 0.2
_STRANGE: Final = bytes(code for code in range(32) if code not in b"\t\n\r\x1b") + b"\x7f"


def amid_text(data: bytes, hit: Hit) -> bool:
    """Whether a find stands among text: in compressed or other binary data every pattern comes up by chance, and
    overwriting it there would break an archive and protect nobody."""
    around = data[max(0, hit.start - AROUND) : hit.start] + data[hit.end : hit.end + AROUND]
    strange = len(around) - len(around.translate(None, _STRANGE))
    strange += around.decode("utf-8", "replace").count("\ufffd")
    return strange <= len(around) * MOST_STRANGE


class StreamSheet(Sheet):
    """One stream of one exchange. ``flush`` has the next chunk carry what is held back."""

    __slots__ = ("_held", "_stream", "flush", "tally")

    def __init__(self, detectors: Detectors) -> None:
        self.tally = Tally()
        self.flush = False
        self._stream = Stream(detectors, self.tally, amid_text)
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
