"""Serves the approval page on this machine: an event loop of its own behind a small HTTP server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import TimeoutError as TooLate

from blastwall.approvals.web import Request, Response
from blastwall.local.loopback import REQUEST_SECONDS, Loopback

Handle = Callable[[Request], Awaitable[Response]]


class PageServer:
    """Requests are answered in one event loop of its own: ``prepare`` runs there first and makes what answers them.

    If ``port`` is taken by somebody else, another one is used: ask :attr:`origin`. ``finish`` runs there at the end.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = Loopback(host, port, "page")
        self.origin = self._server.origin
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="page-loop", daemon=True)
        self._finish: Callable[[], None] = lambda: None

    def start(self, prepare: Callable[[], tuple[Handle, Callable[[], None]]]) -> None:
        """Begin to answer. ``prepare`` gives what answers, and what to do at the end; if it raises, all is closed."""
        self._thread.start()

        async def make() -> Handle:
            handle, self._finish = prepare()
            return handle

        handle = asyncio.run_coroutine_threadsafe(make(), self._loop).result(REQUEST_SECONDS)
        self._server.start(lambda request: self._answer(handle, request))

    def stop(self) -> None:
        """Stop listening and end the loop."""
        self._server.stop()

        async def end() -> None:
            self._finish()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(REQUEST_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(REQUEST_SECONDS)
        self._loop.close()

    def _answer(self, handle: Handle, request: Request) -> Response:
        async def answer() -> Response:
            return await handle(request)

        future = asyncio.run_coroutine_threadsafe(answer(), self._loop)
        try:
            return future.result(REQUEST_SECONDS)
        except TooLate:
            future.cancel()
            return Response(503, b"the page took too long; nothing was decided\n", "text/plain; charset=utf-8")
