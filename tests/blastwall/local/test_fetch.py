"""The fetch: one plain answer of bounded size, from the address that was asked and no other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from blastwall.errors import UpstreamFault
from blastwall.local import fetch as module
from blastwall.local.fetch import fetch


@contextmanager
def answering(answer: bytes, *, hold: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads one request and answers these bytes; ``hold``: without closing."""
    heard: list[bytes] = []
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)
                if hold:
                    done.wait(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/jwks?a=b", heard
        finally:
            done.set()
            thread.join(5)


def ok(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"", body])


async def test_a_plain_answer_comes_back_whole():
    with answering(ok(b"x" * 100)) as (address, heard):
        assert await fetch(address, 100) == b"x" * 100
    assert heard[0].startswith(b"GET /jwks?a=b HTTP/1.1\r\n")
    assert b"Authorization" not in heard[0]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (ok(b"x" * 101), "more than 100 bytes"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "500"),
        (ok(b"x", b"Content-Encoding: gzip"), "compressed"),
        (b"SSH-2.0-OpenSSH_9\r\n", "does not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", "broke off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "does not answer"),
        (b"", "does not answer"),
    ],
)
async def test_any_other_answer_is_the_issuers_fault(answer, says):
    with answering(answer) as (address, _), pytest.raises(UpstreamFault, match=says):
        await fetch(address, 100)


async def test_an_endless_chunked_answer_is_cut_off():
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10\r\n" + b"x" * 16 + b"\r\n"
    server = answering(endless + b"10\r\n" + b"y" * 16 + b"\r\n", hold=True)
    with server as (address, _), pytest.raises(UpstreamFault, match="more than 20 bytes"):
        await fetch(address, 20)


async def test_a_silent_server_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    with answering(b"HTTP/1.1 200", hold=True) as (address, _), pytest.raises(UpstreamFault, match="does not answer"):
        await fetch(address, 100)


@pytest.mark.parametrize(
    "address", ["http://idp.example/", "file:///etc/passwd", "https://127.0.0.1:x/", "http://127.0.0.1:1/"]
)
async def test_addresses_that_must_not_or_cannot_be_fetched(address):
    with pytest.raises(UpstreamFault):
        await fetch(address, 100)


async def test_https_needs_a_certificate_that_verifies():
    with answering(b"not tls") as (address, _), pytest.raises(UpstreamFault, match="does not answer"):
        await fetch(address.replace("http:", "https:"), 100)
