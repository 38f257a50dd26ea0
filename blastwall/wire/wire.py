"""A wire: one TCP leg as an asyncio protocol, with backpressure in both directions.

The sans-I/O engine behind it is handed bytes as they come (``receive``); whoever converses waits on a shared
:class:`Signal` for "something happened on one of my wires". Streams are not used: they cost a fifth of the throughput.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

#: Unread bytes at which a leg stops reading from its socket. One recv of 256 KiB may overshoot it: the bound is 2x.
READ_HIGH: Final = 512 * 1024
#: Unsent bytes at which whoever produces must pause. asyncio asks for it through pause_writing.
WRITE_HIGH: Final = 256 * 1024


class Signal:
    """Wakes the one task of a conversation when any of its wires moved. Setting it twice wakes once."""

    __slots__ = ("_future", "_loop", "_set", "_step", "_stepping")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        self._set = False
        self._step: Callable[[], bool] | None = None
        self._stepping = False

    def set(self) -> None:
        future = self._future
        if self._step is not None and future is not None and not future.done():
            self._go(self._step, future)
            return
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

    async def pump(self, step: Callable[[], bool]) -> None:
        """Call ``step`` each time the signal is set, from where it is set, until it returns True.

        For what is so short that waking the task would cost more than the work. A set signal before this is forgotten:
        whoever pumps has just looked. Raises what ``step`` raises.
        """
        future = self._future = self._loop.create_future()
        self._step = step
        self._set = False
        try:
            await future
        finally:
            if self._future is future:
                self._future = None
                self._step = None

    def _go(self, step: Callable[[], bool], future: asyncio.Future[None]) -> None:
        if self._stepping:  # set by the step itself: it looks once more
            self._set = True
            return
        self._stepping = True
        try:
            while not step():
                if not self._set:
                    return
                self._set = False
            future.set_result(None)
        except BaseException as fault:  # noqa: BLE001 - it belongs to the task, not to whose callback this is
            future.set_exception(fault)
        finally:
            self._stepping = False
            self._set = False

    async def wait_for(self, seconds: float) -> None:
        """As :meth:`wait`, but raises TimeoutError after ``seconds``."""
        async with asyncio.timeout(seconds):
            await self.wait()


class Wire(asyncio.Protocol):
    """One leg. ``receive`` feeds the engine; ``backlog`` tells how many of its bytes are unread."""

    def __init__(self, receive: Callable[[bytes], None], backlog: Callable[[], int], signal: Signal) -> None:
        self._receive = receive
        self._backlog = backlog
        self._signal = signal
        self._transport: asyncio.Transport | None = None
        self._reading = True
        self._came = 0  # bytes since the backlog was asked for, and what it was then
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
        self._signal.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._receive(data)
        except Exception as fault:  # noqa: BLE001 - whatever an engine raises belongs to the conversation's task
            self.error = fault
        self._came += len(data)
        # Only when so much came can so much be unread, and asking costs more than counting.
        if self._came >= READ_HIGH and self._reading:
            self._came = self._backlog()
            if self._came >= READ_HIGH:
                self._reading = False
                self.transport.pause_reading()
        self._signal.set()

    def eof_received(self) -> bool:
        self.closed = True
        self._signal.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.choked = False
        self._signal.set()

    def pause_writing(self) -> None:
        self.choked = True

    def resume_writing(self) -> None:
        self.choked = False
        self._signal.set()

    def write(self, data: bytes) -> None:
        """Send, or buffer; look at ``choked`` before producing more. Dropped once closed, as the reader will see."""
        if not self.closed and self._transport is not None:
            self._transport.write(data)

    def consumed(self) -> None:
        """Tell the wire that its engine's backlog shrank; reading goes on when it fell below half the mark."""
        if not self._reading and self._backlog() < READ_HIGH // 2 and not self.closed:
            self._reading = True
            self.transport.resume_reading()

    def close(self) -> None:
        """Close after what is buffered was sent. Idempotent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection now."""
        if self._transport is not None:
            self._transport.abort()
