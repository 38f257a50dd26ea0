"""Every connection of the gateway notices by itself that the other machine has gone."""

from __future__ import annotations

import asyncio
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


async def test_many_who_ask_for_one_name_are_one_look_up_and_none_holds_up_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    answer = asyncio.Event()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 5432))]

    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host == "nobody.example":
            await answer.wait()
            raise OSError("nobody answers for it")
        return list(found)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    waiting = [asyncio.create_task(tcp.resolve("nobody.example", 5432)) for _ in range(64)]
    assert await tcp.resolve("somebody.example", 5432) == found
    waiting[0].cancel()
    assert sorted(asked) == ["nobody.example", "somebody.example"]
    answer.set()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert all(isinstance(each, OSError) for each in ended[1:])
    with pytest.raises(OSError, match="nobody answers"):
        await tcp.resolve("nobody.example", 5432)
    assert len(asked) == 3, "the next one asks anew"
