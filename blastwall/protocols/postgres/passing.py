"""A frame that is too long to be held passes in pieces, and is looked into value by value as they come. Pure.

Plain typed Python, so that it can be compiled as it stands.
"""

from __future__ import annotations

from librt.strings import read_i32_be

from blastwall.errors import UpstreamFault
from blastwall.masking.detectors import Detectors, Tally
from blastwall.masking.streams import Stream
from blastwall.protocols.postgres.frames import COPY_DATA, DATA_ROW, HEADER_SIZE


class Passing:
    """One frame of ``size`` bytes: copy data, or a row whose columns are looked into where ``searches`` has a 1."""

    __slots__ = (
        "_before",
        "_column",
        "_detectors",
        "_head",
        "_left_of_value",
        "_searches",
        "_stream",
        "_tally",
        "_want",
        "left",
    )

    def __init__(self, kind: int, size: int, searches: bytes, detectors: Detectors | None, tally: Tally) -> None:
        self.left = size  # bytes of the frame still to come
        self._searches = searches if kind == DATA_ROW else b""
        self._detectors = detectors
        self._tally = tally
        self._before = tally.masked.total()
        self._head = b""
        self._want = HEADER_SIZE + 2 if kind == DATA_ROW else HEADER_SIZE
        self._column = -1
        self._left_of_value = 0
        self._stream: Stream | None = None
        if kind == COPY_DATA:
            self._left_of_value = size - HEADER_SIZE

    def finish(self) -> int:
        """The frame is over: how many values were replaced in it. Raises UpstreamFault when it does not end there."""
        if self._left_of_value or self._head:
            raise UpstreamFault("the target sent a row that ends early", code="08P01")
        return self._tally.masked.total() - self._before

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the frame; return what may leave now, of the same length in sum."""
        self.left -= len(data)
        out: list[bytes] = []
        while data:
            if self._want:
                taken = data[: self._want]
                data = data[len(taken) :]
                self._want -= len(taken)
                self._head += taken
                out.append(taken)
                if not self._want:
                    self._begin()
                continue
            taken = data[: self._left_of_value]
            data = data[len(taken) :]
            self._left_of_value -= len(taken)
            stream = self._stream
            out.append(stream.feed(taken) if stream is not None else taken)
            if not self._left_of_value:
                if stream is not None:
                    out.append(stream.finish())
                self._next()
        return b"".join(out)

    def _begin(self) -> None:
        """A header is complete: what comes is a value, or the next header."""
        head, self._head = self._head, b""
        if self._column < 0:
            self._column = 0
            if self._left_of_value:  # copy data: all of it is one value
                self._stream = Stream(self._detectors, self._tally) if self._detectors is not None else None
            else:
                self._want = 4
            return
        size = int(read_i32_be(head, 0))
        if size > 0:
            self._left_of_value = size
            searched = self._column < len(self._searches) and self._searches[self._column]
            self._stream = Stream(self._detectors, self._tally) if self._detectors is not None and searched else None
        else:
            self._next()

    def _next(self) -> None:
        self._stream = None
        self._column += 1
        self._want = 4
