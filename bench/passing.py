"""A proxy that does nothing: bytes in, the same bytes out, on the loop that the gateway runs on.

``python -m bench.passing PORT [DIRECTORY]`` listens on a free port of loopback, prints it, and passes connections on to
PORT. With DIRECTORY it first appends 270 bytes to the connection's own file whenever the client said something, as
much as a recording does and no more. What it costs is what any proxy in Python costs before it does its work.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import cast

import uvloop

#: What an intent and the answer before it take in a recording, of a point select.
RECORD = bytes(270)


class Leg(asyncio.Protocol):
    """One side of a connection. ``file`` is written to before anything goes on, -1 for none."""

    def __init__(self, file: int = -1) -> None:
        self.other: Leg | None = None
        self.early = b""  # what came before the other side was there
        self.file = file
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.file >= 0:
            os.write(self.file, RECORD)
        if self.other is None:
            self.early += data
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Passing:
    """Makes the legs. ``directory`` None: nothing is written."""

    def __init__(self, port: int, directory: Path | None) -> None:
        self._port = port
        self._directory = directory
        self._count = 0
        self._joining: set[asyncio.Task[None]] = set()

    def __call__(self) -> Leg:
        file = -1
        if self._directory is not None:
            self._count += 1
            file = os.open(self._directory / str(self._count), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        leg = Leg(file)
        task = asyncio.get_running_loop().create_task(self._join(leg))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)
        return leg

    async def _join(self, leg: Leg) -> None:
        loop = asyncio.get_running_loop()
        _, other = await loop.create_connection(Leg, "127.0.0.1", self._port)
        leg.other, other.other = other, leg
        if leg.early and other.transport is not None:
            other.transport.write(leg.early)


async def serve(port: int, directory: Path | None) -> None:
    """Until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Passing(port, directory), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
