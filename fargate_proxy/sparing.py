"""The log, bounded: whoever connects as often as he can writes a line each time, and the log's disk is the gateway's.

Lines that differ only in what was filled in are counted together: a burst is written, then one a second that says how
many there were besides. Nothing is left out without being counted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

BURST: Final = 100  # lines of one kind that are written one by one
RATE: Final = 1.0  # a second, from then on
MOST_KINDS: Final = 1000  # a kind is a place in the source: there are fewer, unless a library fills lines in itself
SETTLE_SECONDS: Final = 5.0
#: What is said of recordings that fail may be all that remains of them (see ``failures``): every line is written.
WHOLE: Final = frozenset({"blastwall.recording"})

Kind = tuple[str, int, str]


class _Count:
    __slots__ = ("allowance", "asked_at", "left_out")

    def __init__(self, now: float) -> None:
        self.allowance = float(BURST)
        self.asked_at = now
        self.left_out = 0

    def may(self, now: float) -> bool:
        self.allowance = min(BURST, self.allowance + (now - self.asked_at) * RATE)
        self.asked_at = now
        if self.allowance < 1.0:
            return False
        self.allowance -= 1.0
        return True


class Sparing(logging.Filter):
    """For a handler, whose ``emit`` is to ``write`` what is told afterwards. Thread-safe."""

    def __init__(
        self, write: Callable[[logging.LogRecord], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._write = write
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kinds: dict[Kind, _Count] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; it says so if others like it were not."""
        if record.name in WHOLE:
            return True
        kind = (record.name, record.levelno, str(record.msg)[:200])
        now = self._monotonic()
        with self._lock:
            count = self._kinds.get(kind)
            if count is None:
                kind, count = self._new(kind, now)
            if not count.may(now):
                count.left_out += 1
                return False
            left_out, count.left_out = count.left_out, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more like it were not written)", None
        return True

    def _new(self, kind: Kind, now: float) -> tuple[Kind, _Count]:
        if len(self._kinds) >= MOST_KINDS:
            for old in [old for old, count in self._kinds.items() if not count.left_out]:
                del self._kinds[old]
        if len(self._kinds) >= MOST_KINDS:
            kind = (kind[0], kind[1], "")  # all others of their place and level together
        return kind, self._kinds.setdefault(kind, _Count(now))

    def settle(self) -> list[tuple[str, int, str, int]]:
        """(logger, level, beginning of the line, how many) of what was not written yet, and from now on is told."""
        with self._lock:
            told = [(*kind, count.left_out) for kind, count in self._kinds.items() if count.left_out]
            for count in self._kinds.values():
                count.left_out = 0
        return told

    async def settle_for_ever(self) -> None:
        """Runs for ever: a flood that is over has no next line to be told with."""
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            self.tell()

    def tell(self) -> None:
        """Write what :meth:`settle` gives."""
        for name, level, begins, count in self.settle():
            record = logging.LogRecord(
                name, level, "", 0, "%d lines like this were not written: %s", (count, begins), None
            )
            self._write(record)
