"""Serves the approval page on this machine: one small HTTP server on loopback around the page's own behaviour."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import TimeoutError as TooLate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from blastwall.approvals.web import LARGEST_BODY, Request, Response, make_request

REQUEST_SECONDS = 10.0
MAX_CONNECTIONS = 32

Handle = Callable[[Request], Awaitable[Response]]


class PageServer:
    """Requests are answered in one event loop of its own: ``prepare`` runs there first and makes what answers them.

    If ``port`` is taken by somebody else, another one is used: ask :attr:`origin`. ``finish`` runs there at the end.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            self._server = _Server((host, port))
        except OSError as fault:
            if fault.errno != errno.EADDRINUSE:
                raise
            self._server = _Server((host, 0))
        self.origin = f"http://{host}:{self._server.server_port}"
        self._loop = asyncio.new_event_loop()
        self._threads = [
            threading.Thread(target=self._loop.run_forever, name="page-loop", daemon=True),
            threading.Thread(target=self._server.serve_forever, args=(0.1,), name="page", daemon=True),
        ]
        self._finish: Callable[[], None] = lambda: None

    def start(self, prepare: Callable[[], tuple[Handle, Callable[[], None]]]) -> None:
        """Begin to answer. ``prepare`` gives what answers, and what to do at the end."""
        self._threads[0].start()

        async def make() -> Handle:
            handle, self._finish = prepare()
            return handle

        handle = asyncio.run_coroutine_threadsafe(make(), self._loop).result(REQUEST_SECONDS)
        self._server.answer = lambda request: self._answer(handle, request)
        self._threads[1].start()

    def stop(self) -> None:
        """Stop listening and end the loop."""
        self._server.shutdown()
        self._server.server_close()

        async def end() -> None:
            self._finish()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(REQUEST_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join(REQUEST_SECONDS)
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


class _Server(ThreadingHTTPServer):
    """Few connections at once, none for longer than some seconds."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int]) -> None:
        self.answer: Callable[[Request], Response] = lambda request: Response(503)
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:  # noqa: ANN401  the base class's signature
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(
        self,
        request: socket.socket | tuple[bytes, socket.socket],
        client_address: Any,  # noqa: ANN401  the base class's signature
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server: _Server

    def do_GET(self) -> None:
        self._serve(b"")

    def do_HEAD(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal() or int(length) > LARGEST_BODY:
            self.close_connection = True
            self._send(Response(413, b"too large\n", "text/plain; charset=utf-8"))
            return
        self._serve(self.rfile.read(int(length)))

    def _serve(self, body: bytes) -> None:
        host = self.headers.get("Host", "")
        own = "{}:{}".format(*self.server.server_address[:2])
        if host not in (own, own.replace("127.0.0.1", "localhost")):  # another name for this address: DNS rebinding
            self._send(Response(403, b"ask for this page by its own address\n", "text/plain; charset=utf-8"))
            return
        try:
            request = make_request(self.command, self.path, self.headers.items(), body)
        except ValueError:
            self._send(Response(400, b"not understood\n", "text/plain; charset=utf-8"))
            return
        self._send(self.server.answer(request))

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.lines():
            self.send_header(name, value)
        for cookie in response.cookies:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def version_string(self) -> str:
        """Nothing about what serves it."""
        return "blastwall"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: standard error belongs to whoever started the stack, and a path may hold a one-time code."""
