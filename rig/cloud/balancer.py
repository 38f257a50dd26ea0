"""A TCP load balancer as ours in AWS: it asks for the tasks' health, and tells them whose each connection is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
#: AWS's sends the header with its own health checks, too, with no addresses in it.
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
CONNECT_SECONDS = 5.0
HEALTH_SECONDS = 2.0
INTERVAL_SECONDS = 0.5
CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task accepts connections, and where it says whether it does."""

    host: str
    port: int
    health_port: int


class Balancer:
    """Listens on a free port of 127.0.0.1 in a thread of its own, from :meth:`start` to :meth:`stop`.

    Each connection goes to the next task that says it is ready; one that cannot be reached is passed over. ``places``
    may be replaced at any time.
    """

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self.places: tuple[Place, ...] = tuple(places)
        self.port = 0
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="balancer", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def stop(self) -> None:
        """Stop listening, and end the connections that go on."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def healthy(self, place: Place) -> bool:
        """What a health check says now."""
        return asyncio.run_coroutine_threadsafe(_healthy(place), self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            found = await self._reach()
            if found is not None:
                await _join(reader, writer, *found)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        places = self.places
        self._turn += 1
        for step in range(len(places)):
            place = places[(self._turn + step) % len(places)]
            if await _healthy(place):
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT_SECONDS):
                        return await asyncio.open_connection(place.host, place.port)
        return None


async def _healthy(place: Place) -> bool:
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            reader, writer = await asyncio.open_connection(place.host, place.health_port)
            try:
                writer.write(LOCAL + b"GET /ready HTTP/1.1\r\nHost: task\r\nConnection: close\r\n\r\n")
                return (await reader.readline()).split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def header(client: tuple[str, int], server: tuple[str, int]) -> bytes:
    """PROXY protocol version 2 for a TCP connection over IPv4 (section 2.2 of its specification)."""
    addresses = socket.inet_aton(client[0]) + socket.inet_aton(server[0]) + struct.pack("!HH", client[1], server[1])
    return SIGNATURE + b"\x21\x11" + struct.pack("!H", len(addresses)) + addresses


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: asyncio.StreamReader, back: asyncio.StreamWriter
) -> None:
    back.write(header(writer.get_extra_info("peername"), writer.get_extra_info("sockname")))
    ways = [asyncio.create_task(_pour(reader, back)), asyncio.create_task(_pour(there, writer))]
    try:
        await asyncio.wait(ways)
    finally:
        for way in ways:
            way.cancel()
        back.close()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
    except OSError:
        sink.close()  # the other side hears of it by its own end
