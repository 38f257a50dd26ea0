"""A small HTTP server for this machine: few connections, short requests, under its own name. A function answers."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from blastwall.approvals.web import LARGEST_BODY, Request, Response, make_request

REQUEST_SECONDS = 10.0
MAX_CONNECTIONS = 32
FINISH_SECONDS = 1.0

Answer = Callable[[Request], Response]


class Loopback:
    """Bound at once; it answers (503 until then) from :meth:`start` on, each request in a thread of its own.

    If ``port`` is taken by somebody else, another one is used: ask :attr:`port` or :attr:`origin`. Raises OSError.
    """

    def __init__(self, host: str, port: int, name: str) -> None:
        try:
            self._server = _Server((host, port))
        except OSError as fault:
            if fault.errno != errno.EADDRINUSE:
                raise
            self._server = _Server((host, 0))
        self.port = self._server.server_port
        self.origin = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name=name, daemon=True)

    def start(self, answer: Answer) -> None:
        self._server.answer = answer
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; what is being answered gets a second to arrive. Also where it never began to answer."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join(REQUEST_SECONDS)
        self._server.server_close()
        self._server.finish(FINISH_SECONDS)


class _Server(ThreadingHTTPServer):
    """Few connections at once, none for longer than some seconds."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int]) -> None:
        self.answer: Answer = lambda request: Response(503)
        self._most = MAX_CONNECTIONS
        self._slots = threading.Semaphore(self._most)
        super().__init__(address, _Handler)

    def finish(self, seconds: float) -> None:
        """Wait until nobody is answered any more, for so long at most; to be called when nobody is accepted."""
        until = time.monotonic() + seconds
        for _ in range(self._most):
            if not self._slots.acquire(timeout=max(until - time.monotonic(), 0.0)):
                return

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
            self._send(Response(403, b"ask for this by its own address\n", "text/plain; charset=utf-8"))
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
        """Say nothing: standard error belongs to whoever started this, and a path may hold a one-time code."""
