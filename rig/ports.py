"""Ports of this machine: whether anything could listen on one."""

from __future__ import annotations

import socket


def why_not(host: str, port: int) -> str | None:
    """What keeps a listener from ``host``:``port`` ("Address already in use"); None when nothing does just now."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as fault:
        return fault.strerror or str(fault)
    return None
