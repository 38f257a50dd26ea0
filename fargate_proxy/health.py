"""Whether the gateway takes connections, on a port of its own, for the load balancer. It knows nothing of targets."""

from __future__ import annotations

import asyncio
import contextlib

from fargate_proxy.proxied import FIXED, NotProxied, size

PATH = b"/ready"
READ_SECONDS = 5.0
LARGEST = 8 * 1024  # bytes of one request's head

_END = b"\r\n\r\n"  # of a head, and how a PROXY header begins
_ANSWER = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"


class Health:
    """Answers ``GET /ready``: 200 while ready, 503 before :meth:`ready` and after :meth:`drain`; 404 for all else.

    A PROXY header, version 2, may come first: where a load balancer sends it to targets, it sends it with its health
    checks, too (Network Load Balancers, "Proxy protocol"). What it says is not looked at.
    """

    def __init__(self) -> None:
        self._ready = False
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin to answer; port 0 takes any free one. Returns the port. Raises OSError."""
        self._server = await asyncio.start_server(self._answer, host, port, limit=LARGEST)
        return int(self._server.sockets[0].getsockname()[1])

    def ready(self) -> None:
        self._ready = True

    def drain(self) -> None:
        """From now on no new connections should come."""
        self._ready = False

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, NotProxied
        ):
            async with asyncio.timeout(READ_SECONDS):
                head = await reader.readuntil(_END)
                if head == _END:
                    await reader.readexactly(size(head + await reader.readexactly(FIXED - len(_END))))
                    head = await reader.readuntil(_END)
                writer.write(self._said(head.split(b"\r\n", 1)[0]))
                await writer.drain()
        writer.close()

    def _said(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        if method not in (b"GET", b"HEAD") or rest.split(b" ", 1)[0].split(b"?", 1)[0] != PATH:
            status, body = b"404 Not Found", b"ask GET /ready\n"
        elif self._ready:
            status, body = b"200 OK", b"ready\n"
        else:
            status, body = b"503 Service Unavailable", b"draining\n"
        return _ANSWER % (status, len(body), b"" if method == b"HEAD" else body)
