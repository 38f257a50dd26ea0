"""What fetching and posting share is tried in their own tests; here the whole answer's deadline and its status."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from blastwall.errors import UpstreamFault
from blastwall.local.asking import ask


class Dripping(BaseHTTPRequestHandler):
    """Sends a byte, and another when the client has waited long enough; ``/refused`` says why."""

    def do_GET(self) -> None:
        self.send_response(403 if self.path == "/refused" else 200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have had enough
            for _ in range(4):
                self.wfile.write(b"x")
                if self.path == "/slow":
                    self.server.given_up.wait(0.2)  # type: ignore[attr-defined]  # the fixture's

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    server.given_up = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.given_up.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


def test_whoever_sends_a_byte_now_and_then_is_given_up_as_well(address: str) -> None:
    assert ask("GET", f"{address}/slow", {}, None, 9, timeout=30, deadline=60) == (200, b"xxxx")
    with pytest.raises(UpstreamFault, match=rf"{address}/slow took too long"):
        ask("GET", f"{address}/slow", {}, None, 9, timeout=30, deadline=0.05)


@pytest.fixture
def trickling() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A server that sends what it is told to begin with, and then a byte each 20 ms until the client has had enough."""
    play: dict[str, bytes] = {}
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.recv(4096)
                client.sendall(play["begin"])
                while not over.wait(0.02):
                    client.sendall(play["then"])

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys", play
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize(
    ("begin", "then"),
    [
        (b"", b"H"),  # a status line without an end
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),  # a header
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),  # the size of a chunk
        (b"HTTP/1.1 200 OK\r\n\r\n{}", b" "),  # a body that ends with the connection
    ],
    ids=["status", "header", "continue", "chunk", "until closed"],
)
def test_whatever_it_trickles_in_its_time_is_over_at_the_deadline(
    trickling: tuple[str, dict[str, bytes]], begin: bytes, then: bytes
) -> None:
    address, play = trickling
    play |= {"begin": begin, "then": then}
    with pytest.raises(UpstreamFault, match="took too long"):
        ask("GET", address, {}, None, 65536, timeout=30, deadline=0.3)


def test_a_status_that_is_not_wanted_is_a_fault_and_otherwise_an_answer(address: str) -> None:
    assert ask("GET", f"{address}/refused", {}, None, 9, timeout=30, deadline=30) == (403, b"xxxx")
    with pytest.raises(UpstreamFault, match="answered 403"):
        ask("GET", f"{address}/refused", {}, None, 9, timeout=30, deadline=30, wanted=(200,))
