"""The page over a real socket: bounded, under its own name only, with every header."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator

import pytest

from blastwall.approvals.web import HEADERS, Request, Response
from blastwall.local.page_server import PageServer

SEEN: list[Request] = []
ENDED: list[bool] = []


async def answer(request: Request) -> Response:
    SEEN.append(request)
    if request.path == "/loop":
        return Response(200, str(id(asyncio.get_running_loop())).encode())
    return Response(200, b"hello", cookies=("a=1; Path=/", "b=2"))


@pytest.fixture
def server() -> Iterator[PageServer]:
    made = PageServer("127.0.0.1", 0)
    SEEN.clear()
    made.start(lambda: (answer, lambda: ENDED.append(True)))
    yield made
    made.stop()


def ask(
    server: PageServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(server.origin.removeprefix("http://"), timeout=5)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def test_a_request_comes_through_whole(server: PageServer) -> None:
    found = ask(server, "POST", "/requests/a-1?x=1", b"note=a", Cookie="blastwall=t", Origin=server.origin)
    assert found.status == 200 and found.read() == b"hello"
    assert [value for name, value in found.getheaders() if name == "Set-Cookie"] == ["a=1; Path=/", "b=2"]
    assert {name: found.getheader(name) for name in HEADERS} == dict(HEADERS)
    (request,) = SEEN
    assert (request.method, request.path, request.query, request.body) == (
        "POST",
        "/requests/a-1",
        {"x": "1"},
        b"note=a",
    )
    assert request.cookies == {"blastwall": "t"} and request.headers["origin"] == server.origin


def test_all_requests_share_one_loop(server: PageServer) -> None:
    assert len({ask(server, "GET", "/loop").read() for _ in range(3)}) == 1


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7481", ""])
def test_another_name_for_this_address_is_refused(server: PageServer, host: str) -> None:
    """DNS rebinding: a site whose name now means this machine."""
    assert ask(server, "GET", "/", Host=host).status == 403
    assert SEEN == []


def test_bodies_have_a_limit_and_a_length(server: PageServer) -> None:
    assert ask(server, "POST", "/", None, Content_Length="9999999").status == 413
    assert ask(server, "POST", "/", None, Content_Length="-1").status == 413
    assert ask(server, "GET", "/?" + "&".join(f"a{n}=" for n in range(40))).status == 400
    assert SEEN == []


def test_head_has_no_body_and_the_server_does_not_say_what_it_is(server: PageServer) -> None:
    found = ask(server, "HEAD", "/")
    assert found.read() == b"" and found.getheader("Server") == "blastwall"


def test_a_taken_port_is_left_to_whoever_has_it(server: PageServer) -> None:
    other = PageServer("127.0.0.1", int(server.origin.rsplit(":", 1)[1]))
    assert other.origin != server.origin
    other.start(lambda: (answer, lambda: None))
    assert ask(other, "GET", "/").status == 200
    other.stop()


def test_what_was_prepared_is_ended(server: PageServer) -> None:
    other = PageServer("127.0.0.1", 0)
    ENDED.clear()
    other.start(lambda: (answer, lambda: ENDED.append(True)))
    other.stop()
    assert ENDED == [True]
