"""Wires: bytes reach the engine, and neither side can make the process hold more than its bounds."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from blastwall.wire.buffer import Engine
from blastwall.wire.wire import READ_HIGH, WRITE_HIGH, Signal, Stepper, Wire


class Hoard(Engine):
    def __init__(self) -> None:
        self.data = bytearray()

    def receive(self, data: bytes) -> None:
        self.data += data
        if data.endswith(b"!"):
            raise ValueError("bad")

    @property
    def backlog(self) -> int:
        return len(self.data)


async def connect() -> tuple[Hoard, Wire, Signal, socket.socket]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    engine, signal = Hoard(), Signal(asyncio.get_running_loop())
    wire = Wire(engine, signal)
    await asyncio.get_running_loop().create_connection(lambda: wire, sock=ours)
    return engine, wire, signal, theirs


class Steps(Stepper):
    """It counts its steps; what each does and returns is ``each``."""

    def __init__(self, each: Callable[[int], bool]) -> None:
        self.count = 0
        self._each = each

    def step(self) -> bool:
        self.count += 1
        return self._each(self.count)


async def until(condition: object, signal: Signal) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]
            await signal.wait()


async def test_bytes_reach_the_engine_and_wake_whoever_waits() -> None:
    engine, wire, signal, peer = await connect()
    peer.send(b"hello")
    await until(lambda: engine.data == b"hello", signal)
    peer.close()
    await until(lambda: wire.closed, signal)


async def test_a_set_signal_is_not_lost_and_wakes_only_once() -> None:
    signal = Signal(asyncio.get_running_loop())
    signal.set()
    signal.set()
    await asyncio.wait_for(signal.wait(), 1)
    with pytest.raises(TimeoutError):
        await signal.wait_for(0.01)


async def test_a_waiter_that_is_cancelled_does_not_take_the_next_ones_wake_up() -> None:
    signal = Signal(asyncio.get_running_loop())
    first = asyncio.ensure_future(signal.wait())
    await asyncio.sleep(0)
    first.cancel()
    asyncio.get_running_loop().call_later(0.01, signal.set)
    await signal.wait_for(5)  # begins before the cancelled one has ended
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_engines_fault_is_kept_for_the_conversation() -> None:
    _, wire, signal, peer = await connect()
    peer.send(b"x!")
    await until(lambda: wire.error is not None, signal)
    assert isinstance(wire.error, ValueError)
    peer.close()


async def test_an_unread_backlog_stops_the_reading_and_consuming_resumes_it() -> None:
    engine, wire, signal, peer = await connect()
    loop = asyncio.get_running_loop()
    flood = asyncio.ensure_future(loop.sock_sendall(peer, b"x" * (READ_HIGH * 8)))
    await until(lambda: engine.backlog >= READ_HIGH, signal)
    for _ in range(50):
        await asyncio.sleep(0)
    assert engine.backlog <= READ_HIGH * 2, "the process holds no more than the bound says"
    assert not flood.done(), "the rest stays with the sender"
    seen = 0
    async with asyncio.timeout(10):
        while seen + engine.backlog < READ_HIGH * 8:
            seen += engine.backlog
            engine.data.clear()
            wire.consumed()
            await signal.wait()
    await flood
    peer.close()


async def test_a_peer_that_takes_nothing_chokes_the_wire_until_it_reads() -> None:
    _, wire, signal, peer = await connect()
    while not wire.choked:
        wire.write(b"y" * WRITE_HIGH)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while wire.choked:
            await loop.sock_recv(peer, 1 << 20)
    wire.abort()
    await until(lambda: wire.closed, signal)
    wire.write(b"nobody hears this")
    peer.close()


async def test_a_pump_steps_where_the_signal_is_set_until_it_is_done() -> None:
    signal = Signal(asyncio.get_running_loop())

    def step(count: int) -> bool:
        if count == 2:
            signal.set()  # by its own doing: it looks once more
        return count == 4

    steps = Steps(step)
    signal.set()
    pumping = asyncio.ensure_future(signal.pump(steps))
    await asyncio.sleep(0)
    assert steps.count == 0, "what was set before is forgotten"
    signal.set()
    assert steps.count == 1, "at once: no task was woken for it"
    signal.set()
    assert steps.count == 3
    assert not pumping.done()
    signal.set()
    await asyncio.wait_for(pumping, 30)
    signal.set()
    assert steps.count == 4
    await asyncio.wait_for(signal.wait(), 30)  # whoever waits next is woken as ever


async def test_a_signal_is_pumped_again_and_again() -> None:
    signal = Signal(asyncio.get_running_loop())
    steps = Steps(lambda count: True)
    for count in range(1, 4):
        pumping = asyncio.ensure_future(signal.pump(steps))
        await asyncio.sleep(0)
        signal.set()
        await asyncio.wait_for(pumping, 30)
        assert steps.count == count


async def test_what_a_step_raises_belongs_to_whoever_pumps() -> None:
    signal = Signal(asyncio.get_running_loop())

    def step(count: int) -> bool:
        raise ValueError("a defect")

    pumping = asyncio.ensure_future(signal.pump(Steps(step)))
    await asyncio.sleep(0)
    signal.set()
    with pytest.raises(ValueError, match="a defect"):
        await pumping


async def test_a_pump_that_is_cancelled_steps_no_more() -> None:
    signal = Signal(asyncio.get_running_loop())
    steps = Steps(lambda count: False)
    pumping = asyncio.ensure_future(signal.pump(steps))
    await asyncio.sleep(0)
    pumping.cancel()
    signal.set()
    await asyncio.wait({pumping})
    signal.set()
    assert pumping.cancelled()
    assert steps.count == 0
    await asyncio.wait_for(signal.wait(), 30)  # what came since is not lost on whoever waits next


async def test_whoever_waits_behind_a_cancelled_pump_is_woken() -> None:
    signal = Signal(asyncio.get_running_loop())
    steps = Steps(lambda count: False)
    pumping = asyncio.ensure_future(signal.pump(steps))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(signal.wait())
    pumping.cancel()
    asyncio.get_running_loop().call_soon(signal.set)
    await asyncio.wait_for(waiting, 30)
    assert steps.count == 0
    with pytest.raises(asyncio.CancelledError):
        await pumping
