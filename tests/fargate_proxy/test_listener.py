"""Listening: bounded, and ending in good order."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest

from blastwall.wire import tcp
from fargate_proxy import listener as module
from fargate_proxy.listener import Listener, address_of, bind


async def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
    return sock


async def test_connections_beyond_the_bound_are_closed_unheard(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 1)
    served: asyncio.Queue[socket.socket] = asyncio.Queue()
    let_go = asyncio.Event()

    async def serve(sock: socket.socket) -> None:
        served.put_nowait(sock)
        await let_go.wait()
        sock.close()

    sock = bind("127.0.0.1:0")
    address = address_of(sock)
    listener = Listener(sock, serve)
    listener.start()
    first = await connect(address)
    await asyncio.wait_for(served.get(), 5)
    second = await connect(address)
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(second, 1), 5) == b""
    let_go.set()
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(first, 1), 5) == b""
    third = await connect(address)
    await asyncio.wait_for(served.get(), 5)
    listener.stop()
    await listener.finish(1)
    for one in (first, second, third):
        one.close()


async def test_what_does_not_finish_in_time_is_cancelled() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def serve(sock: socket.socket) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
            sock.close()

    sock = bind("127.0.0.1:0")
    listener = Listener(sock, serve)
    address = address_of(sock)
    listener.start()
    client = await connect(address)
    await asyncio.wait_for(begun.wait(), 5)
    listener.stop()
    await listener.finish(0.01)
    assert cancelled.is_set()
    client.close()


async def test_a_client_whose_machine_is_gone_is_noticed_by_the_kernel() -> None:
    served: asyncio.Queue[socket.socket] = asyncio.Queue()

    async def serve(sock: socket.socket) -> None:
        served.put_nowait(sock)

    sock = bind("127.0.0.1:0")
    address = address_of(sock)
    listener = Listener(sock, serve)
    listener.start()
    client = await connect(address)
    taken = await asyncio.wait_for(served.get(), 30)
    assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == tcp.IDLE_SECONDS
    listener.stop()
    await listener.finish(1)
    for one in (client, taken):
        one.close()


async def test_a_connection_that_is_gone_before_it_is_prepared_stops_no_other(monkeypatch) -> None:
    """It did: whoever accepts had ended with it, and the port answered nobody any more."""
    served: asyncio.Queue[socket.socket] = asyncio.Queue()
    faults = [OSError(22, "Invalid argument")]

    def prepare(sock: socket.socket) -> None:
        if faults:
            raise faults.pop()

    async def serve(sock: socket.socket) -> None:
        served.put_nowait(sock)

    monkeypatch.setattr(module.tcp, "prepare", prepare)
    sock = bind("127.0.0.1:0")
    address = address_of(sock)
    listener = Listener(sock, serve)
    listener.start()
    first = await connect(address)
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(first, 1), 30) == b""
    second = await connect(address)
    taken = await asyncio.wait_for(served.get(), 30)
    listener.stop()
    await listener.finish(1)
    for one in (first, second, taken):
        one.close()


def test_a_taken_address_is_named() -> None:
    taken = bind("127.0.0.1:0")
    with pytest.raises(OSError, match=address_of(taken)):
        bind(address_of(taken))
    taken.close()


def test_a_process_takes_the_room_that_it_may() -> None:
    """In a process of its own, since the limit is the process's."""
    program = (
        "import resource\n"
        "from fargate_proxy import listener\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))\n"
        "print(listener.make_room() == min(listener.OPEN_FILES, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, 256))\n"
        "print(listener.make_room() == 256 == resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True"], done.stderr
    assert "less than" in done.stderr
