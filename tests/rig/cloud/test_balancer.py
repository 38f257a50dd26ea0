"""The rig's load balancer: whose connection it is, and to whom it goes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from fargate_proxy.proxied import address, size
from rig.cloud.balancer import Balancer, Place, header

SECONDS = 30.0


@contextmanager
def serving(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers each connection so, and keeps what it was sent first."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(SECONDS)
                    seen.append(connection.recv(4096))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
        thread.join(SECONDS)


@contextmanager
def task(answer: bytes, status: bytes = b"200 OK") -> Iterator[tuple[Place, list[bytes]]]:
    with serving(answer) as (port, seen), serving(b"HTTP/1.1 " + status + b"\r\n\r\n") as (health, _):
        yield Place("127.0.0.1", port, health), seen


@pytest.fixture
def balancer() -> Iterator[Balancer]:
    made = Balancer()
    made.start()
    yield made
    made.stop()


def ask(balancer: Balancer) -> tuple[bytes, tuple[str, int]]:
    """What the task answers, and who asked."""
    with socket.create_connection(("127.0.0.1", balancer.port), SECONDS) as client:
        client.settimeout(SECONDS)
        client.sendall(b"hello")
        answer = b""
        while part := client.recv(4096):
            answer += part
        return answer, client.getsockname()


def test_the_header_is_the_one_that_the_gateway_reads() -> None:
    made = header(("127.0.0.1", 40_000), ("127.0.0.1", 5432))
    assert size(made[:16]) == len(made) - 16
    assert address(made[:16], made[16:]) == "127.0.0.1"


def test_a_connection_arrives_behind_its_header(balancer: Balancer) -> None:
    with task(b"welcome") as (place, seen):
        balancer.places = (place,)
        answer, client = ask(balancer)
    assert answer == b"welcome"
    assert seen[0].startswith(header(client, ("127.0.0.1", balancer.port)))


def test_connections_take_turns_and_pass_over_who_is_not_ready(balancer: Balancer) -> None:
    with ExitStack() as stack:
        one, two, draining = (
            stack.enter_context(task(*answers))[0]
            for answers in ((b"one",), (b"two",), (b"three", b"503 Service Unavailable"))
        )
        balancer.places = (one, two, draining)
        assert [balancer.healthy(place) for place in balancer.places] == [True, True, False]
        assert {ask(balancer)[0] for _ in range(6)} == {b"one", b"two"}


def test_nobody_ready_is_no_connection(balancer: Balancer) -> None:
    with task(b"never", b"503 Service Unavailable") as (place, seen):
        balancer.places = (place, Place("127.0.0.1", 9, 9))
        with socket.create_connection(("127.0.0.1", balancer.port), SECONDS) as client:
            client.settimeout(SECONDS)
            assert client.recv(1) == b""
    assert seen == []
