"""The records that wait for the next commit, as they will stand in its block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from librt.strings import BytesWriter
from mypy_extensions import i64

from blastwall.errors import RecordingFault
from blastwall.recording.blocks import Blocks
from blastwall.recording.codec import COMPRESS_FROM, MAX_BODY, RECORD

RECORD_SIZE: Final = RECORD.size
COPIED: Final = 4096  # bytes below which a buffer is copied among its neighbours rather than referred to
SPARE: Final = 16 * 1024  # bytes of room kept for the next block


class Pending:
    """Records end to end: ``size`` bytes of them, ``count`` in number. ``out`` is where the next one goes.

    Whoever writes a record there says so with :meth:`counted`, or takes back what it wrote. ``ticks`` is monotonic time
    in nanoseconds; records tell it from when this was made, its ``origin``.
    """

    __slots__ = ("_parts", "_ticks", "count", "origin", "out", "size")

    def __init__(self, ticks: Callable[[], int]) -> None:
        self._ticks = ticks
        self._parts: list[bytes] = []  # up to the last buffer that was too large to copy
        self.out = BytesWriter()  # what comes after that
        self.origin: i64 = ticks()
        self.size: i64 = 0
        self.count: i64 = 0

    def at(self) -> i64:
        """Now, in nanoseconds since the beginning."""
        return self._ticks() - self.origin

    def append(self, type_: int, flags: int, statement: int, body: bytes) -> None:
        """Append a record. Raises RecordingFault for one that is too large."""
        if len(body) > MAX_BODY:
            raise RecordingFault(f"A record of {len(body):,} bytes is too large (limit {MAX_BODY:,}).")
        self.out.write(RECORD.pack(len(body), type_, flags, statement, self.at()))
        self.add(body)
        self.counted(len(body))

    def add(self, data: bytes) -> None:
        """Append the end of a record: a copy of it, or the buffer itself where that is large."""
        if len(data) < COPIED:
            self.out.write(data)
            return
        self._parts.append(self.out.getvalue())
        self._parts.append(data)
        self.out = BytesWriter()

    def counted(self, length: i64) -> None:
        """One more record stands here, with a body of so many bytes."""
        self.size += RECORD_SIZE + length
        self.count += 1

    def write(self, blocks: Blocks) -> None:
        """Make a block of all of it. Raises RecordingFault; what was pending is pending no more."""
        parts, size, count = self._parts, self.size, self.count
        self.size = self.count = 0
        rest = self.out.getvalue()
        if size < SPARE:
            self.out.truncate(0)
        else:
            self.out = BytesWriter()
        if not parts:
            if size < COMPRESS_FROM:
                blocks.put(rest, count)
            else:
                blocks.write((rest,), size, count)
            return
        self._parts = []
        if rest:
            parts.append(rest)
        blocks.write(parts, size, count)
