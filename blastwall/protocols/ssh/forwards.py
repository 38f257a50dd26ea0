"""A connection forwarded by the host to a named destination: one statement, two streams of bytes, until both end."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncssh

from blastwall.model import Chunk, Denial, Direction, Masked, Permit, Statement
from blastwall.protocols.ssh.exchange import AHEAD, Found, read_into
from blastwall.protocols.ssh.frames import Piece, pack, unpack

OPEN_SECONDS: Final = 20.0


class ForwardExchange:
    """Implements :class:`blastwall.conversation.Exchange` for ``direct-tcpip``. Nobody is asked while it waits: whoever
    opened it expects an answer at once."""

    def __init__(
        self,
        statement: Statement,
        upstream: asyncssh.SSHClientConnection,
        place: tuple[str, int],
        reader: Any,  # noqa: ANN401  the library's streams of the agent's channel
        writer: Any,  # noqa: ANN401
    ) -> None:
        self.statement: Statement | None = statement
        self.more = False
        self.interactive = False
        self.patience = math.inf
        self._upstream = upstream
        self._place = place
        self._reader, self._writer = reader, writer
        self._up: Any = None

    async def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        assert permit is not None and self.statement is not None, "nothing is opened without its permit"
        number = self.statement.number
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                up_reader, self._up = await self._upstream.open_connection(*self._place, encoding=None)
        except (asyncssh.Error, OSError, TimeoutError) as fault:
            self._writer.close()
            yield Chunk(pack(Piece.ERRORS, str(fault)[:200].encode()), number, error="refused")
            return
        found: asyncio.Queue[Found | None] = asyncio.Queue(AHEAD)
        tasks = [
            asyncio.ensure_future(_half(up_reader, Piece.OUTPUT, Piece.EXIT, found, self._writer)),
            asyncio.ensure_future(_half(self._reader, Piece.INPUT, Piece.END_OF_INPUT, found, self._up)),
        ]
        try:
            for _ in tasks:
                while (piece := await found.get()) is not None:
                    kind, data = piece
                    up = kind in (Piece.INPUT, Piece.END_OF_INPUT)
                    tag = "closed" if kind is Piece.EXIT else ""
                    direction = Direction.TO_TARGET if up else Direction.TO_AGENT
                    yield Chunk(pack(kind, data), number, tag=tag, direction=direction)
        finally:
            for task in tasks:
                task.cancel()
            self._up.close()
            self._writer.close()

    async def relay(self, masked: Masked) -> None:
        piece, data = unpack(masked.data)
        stream = self._up if piece in (Piece.INPUT, Piece.END_OF_INPUT) else self._writer
        with contextlib.suppress(asyncssh.Error, OSError):
            if piece in (Piece.END_OF_INPUT, Piece.EXIT):
                stream.write_eof()
            elif piece is not Piece.ERRORS:
                stream.write(data)

    async def refuse(self, denial: Denial) -> None:
        self._writer.close()

    async def notify(self, message: str, detail: str = "") -> None:
        """There is nowhere to say it: the channel carries somebody else's protocol."""

    async def gone(self) -> str:
        await self._writer.channel.wait_closed()
        return "disconnected"


async def _half(
    stream: Any,  # noqa: ANN401  the library's streams
    piece: Piece,
    end: Piece,
    found: asyncio.Queue[Found | None],
    sink: Any,  # noqa: ANN401
) -> None:
    """One direction: its bytes, then that it ended, then None."""
    await read_into(stream, piece, found, sink)
    await found.put((end, b""))
    await found.put(None)
