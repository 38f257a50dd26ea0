"""Connections that were closed, until their peers have let go: each keeps a descriptor, and nobody counts it any more.

Closing waits for what was not sent yet, and with TLS for the peer's own farewell: for ever, or half a minute, if the
peer likes. So whoever is closed has :data:`CLOSE_SECONDS`, and there are never more than :data:`MOST_CLOSING` of them.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

CLOSE_SECONDS: Final = 10.0
MOST_CLOSING: Final = 500


class Abortable(Protocol):
    """What can be dropped at once."""

    def abort(self) -> None: ...


class Leaving:
    """The closed ones of one process, in the order they were closed."""

    def __init__(self, most: int = MOST_CLOSING, seconds: float = CLOSE_SECONDS) -> None:
        self._most = most
        self._seconds = seconds
        self._timers: dict[Abortable, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def add(self, closed: Abortable) -> None:
        """It was closed just now; the one that has taken longest makes room for one too many."""
        if closed in self._timers:
            return
        if len(self._timers) >= self._most:
            self._drop(next(iter(self._timers)))
        self._timers[closed] = asyncio.get_running_loop().call_later(self._seconds, self._drop, closed)

    def gone(self, closed: Abortable) -> None:
        """Its peer has let go."""
        timer = self._timers.pop(closed, None)
        if timer is not None:
            timer.cancel()

    def _drop(self, closed: Abortable) -> None:
        self.gone(closed)
        closed.abort()


#: Of this process.
LEAVING: Final = Leaving()
