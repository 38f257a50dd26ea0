"""A wire: one TCP leg as an asyncio protocol, with backpressure in both directions.

The sans-I/O engine behind it is handed bytes as they come; whoever converses waits on a shared
:class:`Signal` for "something happened on one of my wires". Streams are not used: they cost a fifth of the throughput.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from mypy_extensions import i64, mypyc_attr

from blastwall.wire.buffer import Engine
from blastwall.wire.leaving import LEAVING

#: Unread bytes at which a leg stops reading from its socket. One recv of 256 KiB may overshoot it: the bound is 2x.
READ_HIGH: Final = 512 * 1024
#: Unsent bytes at which whoever produces must pause. asyncio asks for it through pause_writing.
WRITE_HIGH: Final = 256 * 1024


@mypyc_attr(allow_interpreted_subclasses=True)  # those of tests
class Stepper:
    """Whoever moves where a signal is set. A class and not a protocol: compiled, a call to it is one jump."""

    __slots__ = ()

    def step(self) -> bool:
        """Do all that can be done now; returns whether :meth:`Signal.pump` is over."""
        return True


class Signal:
    """Wakes the one task of a conversation when any of its wires moved. Setting it twice wakes once."""

    __slots__ = ("_done", "_future", "_loop", "_pumped", "_set", "_stepper", "_stepping")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        self._set = False
        self._stepper: Stepper | None = None
        self._pumped: asyncio.Future[None] | None = None  # what whoever pumps waits for
        self._done: Callable[[], bool] = _never  # its own, looked up once
        self._stepping = False

    def set(self) -> None:
        stepper = self._stepper
        if stepper is not None and not self._done():
            self._go(stepper)
            return
        future = self._future
        if future is None or future.done():
            self._set = True
        else:
            future.set_result(None)

    async def wait(self) -> None:
        """Return at once if set since the last wait, else when it is set."""
        if self._set:
            self._set = False
            return
        future = self._future = self._loop.create_future()
        try:
            await future
        finally:
            # A waiter that was cancelled ends late: by then somebody else may wait, and must still be woken.
            if self._future is future:
                self._future = None
                self._set = False

    async def pump(self, stepper: Stepper) -> None:
        """Call its ``step`` each time the signal is set, from where it is set, until it returns True.

        For what is so short that waking the task would cost more than the work. A set signal before this is forgotten:
        whoever pumps has just looked. Raises what ``step`` raises.
        """
        pumped = self._pumped = self._loop.create_future()
        self._done = pumped.done  # True from the moment its task is cancelled: nothing steps after that
        self._stepper = stepper
        self._set = False
        try:
            await pumped
        finally:
            if self._pumped is pumped:
                self._pumped = self._stepper = None
                self._done = _never

    def _go(self, stepper: Stepper) -> None:
        if self._stepping:  # set by the step itself: it looks once more
            self._set = True
            return
        pumped = self._pumped
        assert pumped is not None, "whoever pumps has its future"
        self._stepping = True
        try:
            while not stepper.step():
                if not self._set:
                    return
                self._set = False
            pumped.set_result(None)
        except BaseException as fault:  # noqa: BLE001 - it belongs to the task, not to whose callback this is
            pumped.set_exception(fault)
        finally:
            self._stepping = False
            self._set = False

    async def wait_for(self, seconds: float) -> None:
        """As :meth:`wait`, but raises TimeoutError after ``seconds``."""
        async with asyncio.timeout(seconds):
            await self.wait()


def _never() -> bool:
    return False


class Wire(asyncio.Protocol):
    """One leg. Its engine is given what comes."""

    def __init__(self, engine: Engine, signal: Signal) -> None:
        self._engine = engine
        self._signal = signal
        self._transport: asyncio.Transport | None = None
        self._send: Callable[[bytes], None] | None = None  # the transport's write: looking it up costs as much again
        self._reading = True
        self._lost = False
        self._came: i64 = 0  # bytes since the backlog was asked for, and what it was then
        self.closed = False
        self.error: BaseException | None = None
        self.choked = False  # the peer does not take what we send: produce no more

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None, "a wire is used once it is connected"
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._send = self._transport.write
        self._signal.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._engine.receive(data)
        except Exception as fault:  # noqa: BLE001 - whatever an engine raises belongs to the conversation's task
            self.error = fault
        self._came += len(data)
        # Only when so much came can so much be unread, and asking costs more than counting.
        if self._came >= READ_HIGH and self._reading:
            self._came = self._engine.backlog
            if self._came >= READ_HIGH:
                self._reading = False
                self.transport.pause_reading()
        self._signal.set()

    def eof_received(self) -> bool:
        self.closed = True
        self._signal.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self._lost = True
        self.choked = False
        LEAVING.gone(self)
        self._signal.set()

    def pause_writing(self) -> None:
        self.choked = True

    def resume_writing(self) -> None:
        self.choked = False
        self._signal.set()

    def write(self, data: bytes) -> None:
        """Send, or buffer; look at ``choked`` before producing more. Dropped once closed, as the reader will see."""
        send = self._send
        if send is not None and not self.closed:
            send(data)

    def consumed(self) -> None:
        """Tell the wire that its engine's backlog shrank; reading goes on when it fell below half the mark."""
        if not self._reading and self._engine.backlog < READ_HIGH // 2 and not self.closed:
            self._reading = True
            self.transport.resume_reading()

    def close(self) -> None:
        """Close after what is buffered was sent, and soon in any case: :mod:`blastwall.wire.leaving`. Idempotent."""
        if self._transport is not None:
            self._transport.close()
            if not self._lost:
                LEAVING.add(self)

    def abort(self) -> None:
        """Drop the connection now."""
        if self._transport is not None:
            self._transport.abort()
