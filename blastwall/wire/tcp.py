"""What every TCP connection of the gateway is told, on either side; and where a name leads."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

#: A peer of which nothing has been heard for so long is asked whether it is there (seconds), again after each further
#: interval, and has gone when it has not answered so many times: the kernel's own two hours would keep a session, its
#: login and its place among the agent's connections that long. Load balancers drop silently what is idle; this is not.
IDLE_SECONDS: Final = 60
INTERVAL_SECONDS: Final = 15
PROBES: Final = 4

_KEPT: Final = (("TCP_KEEPIDLE", IDLE_SECONDS), ("TCP_KEEPINTVL", INTERVAL_SECONDS), ("TCP_KEEPCNT", PROBES))


def prepare(sock: socket.socket) -> None:
    """Send at once, and notice when the other machine has gone. Raises OSError for what is no TCP connection."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEPT:
        if hasattr(socket, name):  # macOS has no TCP_KEEPIDLE
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


_Found = list[tuple[Any, ...]]
_LOOKING: Final[dict[tuple[str, int], asyncio.Task[_Found]]] = {}


async def resolve(host: str, port: int) -> _Found:
    """As ``loop.getaddrinfo`` for TCP. Raises OSError.

    Whoever asks while somebody does has the same answer. The event loop has four threads for that, and no look-up can
    be taken back: a few clients of one target whose name nobody answers for would keep all names from being found.
    """
    loop = asyncio.get_running_loop()
    key = (host, port)
    looking = _LOOKING.get(key)
    if looking is None or looking.get_loop() is not loop:
        looking = _LOOKING[key] = loop.create_task(_look_up(host, port), name=f"where {host} is")
        looking.add_done_callback(lambda done: _found(key, done))
    return await asyncio.shield(looking)


async def _look_up(host: str, port: int) -> _Found:
    return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _found(key: tuple[str, int], done: asyncio.Task[_Found]) -> None:
    if _LOOKING.get(key) is done:
        del _LOOKING[key]
    if not done.cancelled():
        done.exception()  # somebody has looked, even if whoever asked has left
