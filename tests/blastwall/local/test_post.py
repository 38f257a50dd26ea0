"""Posting to a webhook: bounded, no redirects, HTTPS or this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from blastwall.errors import UpstreamFault
from blastwall.local.post import LARGEST, post


class Hook(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, dict(self.headers), body))
        status = {"/gone": 410, "/moved": 302}.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(b"x" * (LARGEST + 1) if self.path == "/large" else b"thanks")

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hook() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    Hook.seen.clear()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_body_arrives_with_its_headers(hook: str) -> None:
    assert post(f"{hook}/in?a=1", {"X-Signed": "yes"}, b"{}") == b"thanks"
    ((path, headers, body),) = Hook.seen
    assert (path, headers["X-Signed"], body) == ("/in?a=1", "yes", b"{}")


@pytest.mark.parametrize("path", ["/gone", "/moved", "/large"])
def test_another_answer_is_a_fault(hook: str, path: str) -> None:
    with pytest.raises(UpstreamFault):
        post(hook + path, {}, b"")
    assert len(Hook.seen) == 1


@pytest.mark.parametrize("address", ["http://example.com/x", "ftp://127.0.0.1/", "nonsense", "http://127.0.0.1:1/"])
def test_where_nothing_is_posted_to(address: str) -> None:
    with pytest.raises(UpstreamFault):
        post(address, {}, b"")
