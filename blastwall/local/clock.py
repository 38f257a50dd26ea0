"""The machine's own clock, and one that tests move by hand."""

from __future__ import annotations

import time


class SystemClock:
    """Wall and monotonic time of this machine, in seconds."""

    now = staticmethod(time.time)  # not a method around it: every statement asks
    monotonic = staticmethod(time.monotonic)


class ManualClock:
    """A clock that stands still until :meth:`advance` moves it: both of its times by the same seconds."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds
