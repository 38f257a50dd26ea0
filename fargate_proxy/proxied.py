"""Whose connection it is, told by a load balancer in front of it: PROXY protocol, version 2.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2.2. Only the binary version 2 is taken, and it
must be there: whoever could leave it out could name any address in version 1.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FIXED = 16  # bytes before the addresses
LARGEST = 1024  # bytes of addresses and extensions; load balancers send fewer than 100
SECONDS = 5.0

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


class NotProxied(ValueError):
    """What a connection began with is no PROXY header that we take."""


async def announced(sock: socket.socket) -> str:
    """Read the header, and not a byte more; return the client's address, "" for the load balancer's own connections.

    Raises NotProxied for anything else, and OSError or TimeoutError when nothing comes.
    """
    async with asyncio.timeout(SECONDS):
        head = await _exactly(sock, FIXED)
        length = size(head)
        return address(head, await _exactly(sock, length))


def size(head: bytes) -> int:
    """How many bytes follow the fixed 16. Raises NotProxied."""
    if head[: len(SIGNATURE)] != SIGNATURE:
        raise NotProxied("no PROXY header, version 2: only the load balancer may connect here")
    if head[12] not in (_LOCAL, _PROXY):
        raise NotProxied(f"PROXY header with version and command {head[12]:#04x}")
    (length,) = struct.unpack("!H", head[14:16])
    if length > LARGEST:
        raise NotProxied(f"a PROXY header of {length} bytes, at most {LARGEST} are taken")
    return int(length)


def address(head: bytes, rest: bytes) -> str:
    """The client's address of a whole header. Raises NotProxied for a family that is no TCP."""
    if head[12] == _LOCAL:
        return ""
    if head[13] == _TCP4 and len(rest) >= 12:
        return str(ipaddress.IPv4Address(rest[:4]))
    if head[13] == _TCP6 and len(rest) >= 36:
        return str(ipaddress.IPv6Address(rest[:16]))
    raise NotProxied(f"PROXY header of family {head[13]:#04x} with {len(rest)} bytes")


async def _exactly(sock: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    found = bytearray()
    while len(found) < count:
        part = await loop.sock_recv(sock, count - len(found))
        if not part:
            raise NotProxied("the connection ended within its PROXY header")
        found += part
    return bytes(found)
