"""A channel of an SSH connection: requests in strict order. A connection has many, each with its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from blastwall.conversation import Exchange

#: Requests that may wait on one channel; whoever has more waits too.
WAITING: Final = 16


class SshChannel:
    """Implements :class:`blastwall.conversation.Channel`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Exchange | None] = asyncio.Queue(WAITING)
        self._over = False

    async def put(self, exchange: Exchange) -> None:
        """The channel's next exchange."""
        await self._queue.put(exchange)

    async def end(self) -> None:
        """No more of them."""
        if not self._over:
            self._over = True
            await self._queue.put(None)

    async def exchanges(self) -> AsyncIterator[Exchange]:
        while (exchange := await self._queue.get()) is not None:
            yield exchange
