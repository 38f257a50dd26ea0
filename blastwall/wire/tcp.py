"""What every TCP connection of the gateway is told, on either side."""

from __future__ import annotations

import socket
from typing import Final

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
