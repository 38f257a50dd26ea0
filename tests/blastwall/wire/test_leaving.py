"""Whoever is closed and does not let go is dropped: after a while, and at once where there are too many."""

from __future__ import annotations

import asyncio
import socket

from blastwall.wire.buffer import Engine
from blastwall.wire.leaving import LEAVING, Leaving
from blastwall.wire.wire import Signal, Wire


class Deaf(Engine):
    def receive(self, data: bytes) -> None:
        """It hears nothing."""

    @property
    def backlog(self) -> int:
        return 0


class Closed:
    def __init__(self) -> None:
        self.aborted = 0
        self.dropped = asyncio.Event()

    def abort(self) -> None:
        self.aborted += 1
        self.dropped.set()


async def test_the_one_that_takes_longest_makes_room() -> None:
    leaving = Leaving(most=3, seconds=3600)
    closed = [Closed() for _ in range(5)]
    for each in closed:
        leaving.add(each)
        leaving.add(each)
    assert [each.aborted for each in closed] == [1, 1, 0, 0, 0]
    leaving.gone(closed[2])
    leaving.gone(closed[2])
    assert len(leaving) == 2


async def test_whoever_does_not_let_go_is_dropped_after_a_while() -> None:
    leaving = Leaving(most=3, seconds=0)
    closed = Closed()
    leaving.add(closed)
    await asyncio.wait_for(closed.dropped.wait(), 30)
    assert not len(leaving)


async def connected() -> tuple[Wire, Signal, socket.socket]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    signal = Signal(asyncio.get_running_loop())
    wire = Wire(Deaf(), signal)
    await asyncio.get_running_loop().create_connection(lambda: wire, sock=ours)
    return wire, signal, theirs


async def lost(wire: Wire, signal: Signal) -> None:
    wire.abort()
    async with asyncio.timeout(30):
        while not wire.closed:
            await signal.wait()


async def test_a_wire_whose_peer_reads_nothing_is_followed_until_it_is_gone() -> None:
    """What was not sent yet keeps a closed transport, and its descriptor, for as long as the peer likes."""
    wire, signal, theirs = await connected()
    before = len(LEAVING)
    wire.write(b"x" * 50_000_000)
    wire.close()
    wire.close()
    assert len(LEAVING) == before + 1
    await lost(wire, signal)
    assert len(LEAVING) == before
    theirs.close()


async def test_a_wire_that_is_gone_already_is_not_followed() -> None:
    wire, signal, theirs = await connected()
    await lost(wire, signal)
    before = len(LEAVING)
    wire.close()
    assert len(LEAVING) == before
    theirs.close()
