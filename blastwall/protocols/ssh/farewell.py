"""Why a connection ends, told where the client shows it: on its sessions' channels, with an exit status.

OpenSSH keeps to itself why it was disconnected when that meets it between its login and its first command: its channel
is closed before it has read the reason, and the person sees status 255 and nothing else. So a client that is inside is
waited for until it has said what it wants, and is told there.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from blastwall.model import Denial

#: A client has this long to take the reason why its session ends (seconds).
TAKING_SECONDS: Final = 1.0
#: A client that has just logged in has this long to ask for its first session.
ASKING_SECONDS: Final = 5.0


class Told(Protocol):
    """A session's channel: one that can be refused with words and a status."""

    @property
    def channel(self) -> Any: ...  # noqa: ANN401  the library's own

    def refuse(self, denial: Denial) -> None: ...


class Farewell:
    """The sessions of one connection, while they are open. ``gone`` is set when the client has left."""

    def __init__(self) -> None:
        self._denial: Denial | None = None
        self._open: set[Told] = set()
        self._told: list[Told] = []
        self._came = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, session: Told) -> bool:
        """Count a session in; False when all is over, and it has been told so."""
        self._open.add(session)
        self._came.set()
        if self._denial is not None:
            self._tell(session, self._denial)
        return self._denial is None

    def leave(self, session: Told) -> None:
        self._open.discard(session)

    async def say(self, denial: Denial, gone: asyncio.Event) -> None:
        """Tell each session, those that come meanwhile too. Returns when they have taken it, or too late."""
        self._denial = denial
        for session in tuple(self._open):
            self._tell(session, denial)
        if not self._came.is_set():
            await _first(ASKING_SECONDS, self._came.wait(), gone.wait())
        await _first(TAKING_SECONDS, self._taken(), gone.wait())

    def _tell(self, session: Told, denial: Denial) -> None:
        session.refuse(denial)
        self._told.append(session)

    async def _taken(self) -> None:
        """All that were told have been closed by the client as well: until then a disconnect could overtake."""
        while self._told:
            await self._told.pop().channel.wait_closed()


async def _first(seconds: float, *waits: Any) -> None:  # noqa: ANN401  coroutines of any kind
    """Wait until one of them is done."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
