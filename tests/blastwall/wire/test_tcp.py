"""Every connection of the gateway notices by itself that the other machine has gone."""

from __future__ import annotations

import socket

import pytest

from blastwall.wire import tcp


def test_a_silent_peer_is_asked_long_before_the_kernel_would() -> None:
    with socket.socket() as sock:
        tcp.prepare(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        kept = [sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
    assert kept == [tcp.IDLE_SECONDS, tcp.INTERVAL_SECONDS, tcp.PROBES]


def test_what_is_no_tcp_connection_is_refused() -> None:
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match="not supported"):
        tcp.prepare(sock)
