"""What fetching and posting share is tried in their own tests; here the whole answer's deadline and its status."""

from __future__ import annotations

import contextlib
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


def test_a_status_that_is_not_wanted_is_a_fault_and_otherwise_an_answer(address: str) -> None:
    assert ask("GET", f"{address}/refused", {}, None, 9, timeout=30, deadline=30) == (403, b"xxxx")
    with pytest.raises(UpstreamFault, match="answered 403"):
        ask("GET", f"{address}/refused", {}, None, 9, timeout=30, deadline=30, wanted=(200,))
