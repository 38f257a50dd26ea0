"""Listening sockets: one for each protocol, accepting into a bounded number of conversations."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Awaitable, Callable

from blastwall.wire import tcp
from fargate_proxy.watch import lasting

log = logging.getLogger("blastwall.listener")

#: Connections beyond this are closed at once: each costs two sockets, two engines and at most about 2 MiB of buffers.
MAX_CONNECTIONS = 2_000
BACKLOG = 512
#: Open files that they need: two sockets each, a recording, and what the process has for itself.
OPEN_FILES = 3 * MAX_CONNECTIONS + 512

#: What was told to end has so long, and as long again when it is cancelled (seconds).
FAREWELL_SECONDS = CANCEL_SECONDS = 5.0

Serve = Callable[[socket.socket], Awaitable[None]]


def bind(address: str) -> socket.socket:
    """Listen on ``host:port``. Raises OSError, saying which address."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
        sock.listen(BACKLOG)
    except OSError as fault:
        sock.close()
        raise OSError(fault.errno, f"cannot listen on {address}: {fault.strerror}") from None
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """``host:port`` as bound."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def make_room() -> int:
    """Let this process open as many files as its connections need, so far as it may. Returns how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < OPEN_FILES:
        log.warning("this process may open %d files, which is less than %d connections need", wanted, MAX_CONNECTIONS)
    return wanted


class Listener:
    """Accepts on one socket until closed; each connection is a task of its own."""

    def __init__(self, sock: socket.socket, serve: Serve) -> None:
        self._sock = sock
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None

    def start(self) -> None:
        make_room()
        self._accepting = asyncio.create_task(lasting("accepting connections", self._accept))

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._sock)
            except OSError as fault:  # out of descriptors: wait for some to come free
                log.error("cannot accept: %s", fault)
                await asyncio.sleep(0.1)
                continue
            if len(self._tasks) >= MAX_CONNECTIONS:
                log.warning("more than %d connections: one was closed unheard", MAX_CONNECTIONS)
                sock.close()
                continue
            try:
                sock.setblocking(False)
                tcp.prepare(sock)
            except OSError as fault:  # it has gone already
                log.info("a connection was not taken: %s", fault)
                sock.close()
                continue
            task = asyncio.create_task(self._one(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, sock: socket.socket) -> None:
        await self._serve(sock)

    def stop(self) -> None:
        """Accept no more."""
        if self._accepting is not None:
            self._accepting.cancel()
        self._sock.close()

    async def finish(self, seconds: float) -> None:
        """Wait for the conversations to end, then cancel what is left, which has :data:`CANCEL_SECONDS`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CANCEL_SECONDS)
