"""What serves the page and the local issuer. Names, bodies and headers are tried in test_page_server."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest

from blastwall.approvals.web import Request, Response
from blastwall.local import loopback
from blastwall.local.loopback import Loopback


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_taken_port_is_left_to_whoever_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Loopback("127.0.0.1", taken.getsockname()[1], "test")
        assert server.port != taken.getsockname()[1] and server.origin == f"http://127.0.0.1:{server.port}"
        server.start(lambda request: Response(200, request.path.encode()))
        assert ask(server.port, "/here") == (200, b"/here")
        server.stop()
    with pytest.raises(OSError):
        ask(server.port, "/here")


def test_requests_do_not_wait_for_one_another_and_too_many_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "MAX_CONNECTIONS", 2)
    server = Loopback("127.0.0.1", 0, "test")
    inside, go = threading.Semaphore(0), threading.Event()

    def answer(request: Request) -> Response:
        inside.release()
        assert go.wait(30)
        return Response(200)

    server.start(answer)
    try:
        slow = [threading.Thread(target=ask, args=(server.port, "/slow")) for _ in range(2)]
        for thread in slow:
            thread.start()
        assert inside.acquire(timeout=30) and inside.acquire(timeout=30), "both are answered at once"
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(server.port, "/too-many")
        go.set()
        for thread in slow:
            thread.join(30)
    finally:
        go.set()
        server.stop()


def test_what_is_being_answered_when_it_stops_still_arrives() -> None:
    server = Loopback("127.0.0.1", 0, "test")
    inside, go = threading.Event(), threading.Event()
    found: list[tuple[int, bytes]] = []

    def answer(request: Request) -> Response:
        inside.set()
        assert go.wait(30)
        return Response(200, b"late")

    server.start(answer)
    client = threading.Thread(target=lambda: found.append(ask(server.port, "/")))
    client.start()
    assert inside.wait(30)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    go.set()
    stopping.join(30)
    client.join(30)
    assert found == [(200, b"late")]


def test_one_that_never_began_can_be_stopped() -> None:
    server = Loopback("127.0.0.1", 0, "test")
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)):
        pass  # the port is free again
