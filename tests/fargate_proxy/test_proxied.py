"""PROXY protocol version 2, byte by byte from its document (section 2.2)."""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Iterator

import pytest

from fargate_proxy import proxied
from fargate_proxy.proxied import SIGNATURE, NotProxied, announced


def header(command: int, family: int, addresses: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(addresses)) + addresses


V4 = ipaddress.IPv4Address("203.0.113.9").packed + ipaddress.IPv4Address("10.0.0.1").packed + b"\xc0\x00\x15\x38"
V6 = ipaddress.IPv6Address("2001:db8::9").packed + ipaddress.IPv6Address("::1").packed + b"\xc0\x00\x15\x38"
#: What AWS adds: the endpoint's id as an extension of type 0xEA.
VPCE = b"\xea" + struct.pack("!H", 23) + b"\x01vpce-0123456789abcdef0"[:23]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        (header(0x21, 0x11, V4), "203.0.113.9"),
        (header(0x21, 0x11, V4 + VPCE), "203.0.113.9"),
        (header(0x21, 0x21, V6), "2001:db8::9"),
        (header(0x20, 0x00, b""), ""),
    ],
)
async def test_the_clients_address_is_read_and_not_a_byte_more(
    pair: tuple[socket.socket, socket.socket], sent: bytes, address: str
) -> None:
    ours, theirs = pair
    theirs.sendall(sent + b"first bytes of the protocol")
    assert await announced(ours) == address
    assert ours.recv(100) == b"first bytes of the protocol"


async def test_a_header_may_come_in_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    reading = asyncio.create_task(announced(ours))
    for byte in header(0x21, 0x11, V4):
        theirs.sendall(bytes((byte,)))
        await asyncio.sleep(0)
    assert await reading == "203.0.113.9"


@pytest.mark.parametrize(
    "sent",
    [
        b"PROXY TCP4 203.0.113.9 10.0.0.1 49152 5432\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f" + b"\x00" * 20,
        header(0x11, 0x11, V4),
        header(0x22, 0x11, V4),
        header(0x21, 0x11, V4[:11]),
        header(0x21, 0x12, V4),
        header(0x21, 0x31, b"/" * 216),
        SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 100,
    ],
    ids=["version 1", "SSLRequest", "version", "command", "short", "udp", "unix", "too long"],
)
async def test_anything_else_is_not_taken(pair: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    ours, theirs = pair
    theirs.sendall(sent)
    with pytest.raises(NotProxied):
        await announced(ours)


async def test_a_connection_that_ends_in_its_header_is_not_taken(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(header(0x21, 0x11, V4)[:20])
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(NotProxied, match="ended"):
        await announced(ours)


async def test_silence_is_not_waited_for_for_ever(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxied, "SECONDS", 0.05)
    with pytest.raises(TimeoutError):
        await announced(pair[0])
