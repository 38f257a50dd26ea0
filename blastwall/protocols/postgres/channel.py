"""The one channel of a PostgreSQL connection: it takes the client's exchanges down the road.

Strictly in order. A simple query or a Sync is followed to its ReadyForQuery before the next client message is read;
inside an extended batch permitted messages are staged and sent together, and what the server says in the meantime is
relayed as it comes (a server whose answers nobody reads stops reading).

A point select is over within microseconds, and waking a task costs as many. So all that needs no waiting happens where
the bytes arrive; the connection's task sleeps until a person, a disk or a slow reader has to be waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Final

from mypy_extensions import i64

from blastwall.conversation import Road, Waiting
from blastwall.errors import ProtocolViolation
from blastwall.model import Chunk, Denial, Masked, Parameter, Permit
from blastwall.protocols.postgres import inflow, requests
from blastwall.protocols.postgres.exchange import Cold, Detour, PostgresExchange, Reader, Unsettled, is_long
from blastwall.protocols.postgres.handlers import Handlers
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.requests import Parse, Query
from blastwall.protocols.postgres.settling import settled
from blastwall.wire.wire import Stepper

#: How often a text is read beside the event loop, when the session changes meanwhile, before it is read in place.
PATIENCE: Final = 5
#: What is done with bytes at hand before other sessions have their turn: messages of the client, chunks for it, and
#: once more for each TURN_BYTES of a chunk. A leg holds half a megabyte unread, which may be 100,000 messages.
TURN: Final = 32
TURN_BYTES: Final = 8192


def _is_long(event: requests.Event | None, reader: Reader) -> bool:
    """Does the message bring a long text?"""
    if type(event) is Query or type(event) is Parse:
        return is_long(event.text, reader.plan.widest)
    return False


class PostgresChannel(Stepper):
    """Exchanges of one connection, in order. Implements :class:`blastwall.conversation.SelfDriven`."""

    def __init__(self, legs: Legs, reader: Reader) -> None:
        self._legs = legs
        self._reader = reader
        self._handlers = Handlers(legs, reader)
        # What is left of a batch whose Sync is staged already: its commit, and the send. It holds nothing of its own.
        self._end = PostgresExchange(legs, None, until_ready=True)
        self._road: Road | None = None
        self._rest: Awaitable[None] | None = None  # what must be awaited before more can be done
        self._event: requests.Event | None = None  # read, and not yet handled
        self._warmed = 0  # how often, for this message
        self._following = False  # an exchange is on its way, to ReadyForQuery
        self._over = False

    @property
    def wrote(self) -> bool:
        """Whether its open transaction may have changed what no other connection sees yet."""
        return self._handlers.wrote

    async def drive(self, road: Road) -> None:
        """Until the client leaves. Raises ClientGone and UpstreamFault; a fatal violation is answered, then ends it."""
        self._road = road
        try:
            while not self._over:
                if not self._advance():
                    await self._legs.signal.pump(self)
                rest, self._rest = self._rest, None
                if rest is not None:
                    await rest
        finally:
            self._road = None
            if isinstance(self._rest, Coroutine):
                self._rest.close()  # cancelled before it began

    def step(self) -> bool:
        return self._advance()

    def _advance(self) -> bool:
        """Do what can be done with the bytes at hand, at most a turn's worth. Returns whether the task must go on:
        something has to be awaited (others have their turn), or it is over.
        """
        turn: i64 = TURN
        legs = self._legs
        answers = legs.answers
        handlers = self._handlers
        while True:
            turn -= 1
            if turn < 0:
                self._rest = asyncio.sleep(0)
                return True
            if legs.outgoing:
                chunk = legs.collect()
                if chunk is not None:
                    turn -= len(chunk.data) // TURN_BYTES
                    if self._relay(chunk):
                        return True
                continue
            if self._following:
                if legs.settled(True):
                    self._following = False
                elif answers.copying_in and legs.down.ready:
                    handlers.copy_event()
                else:
                    legs.check()
                    return False
                continue
            if handlers.ended or answers.fatal:
                self._over = True
                return True
            if not legs.up_wire.choked:
                if answers.at_rest and self._reader.stale:
                    self._rest = self._reader.refresh()
                    return True
                exchange: PostgresExchange | None
                try:
                    event = self._event
                    if event is not None:
                        self._event = None
                    else:
                        event = handlers.next_event()
                        self._warmed = 0
                        handlers.patient = True
                    if _is_long(event, self._reader) and self._must_warm(event):
                        self._event = event
                        return True
                    exchange = None if event is None else handlers.handle(event)
                except ProtocolViolation as violation:
                    handlers.end_with(violation)
                    continue
                except Cold as cold:
                    self._event = event
                    self._warm(cold.text, cold.values, ())
                    return True
                except Unsettled:
                    self._event = event
                    self._rest = self._settle()
                    return True
                except Detour:
                    self._rest = self._take_detour(PostgresExchange(legs, None))
                    return True
                if exchange is None and event is None and legs.staged:
                    exchange = PostgresExchange(legs, None)
                if exchange is not None:
                    if self._take(exchange):
                        return True
                    continue
                if event is not None:
                    continue
            if legs.local:
                continue
            legs.check()
            return False

    def _must_warm(self, event: requests.Event | None) -> bool:
        """Have the long text of a message read beside the event loop, if that has to be."""
        if self._warmed >= PATIENCE:
            return False
        text = b""
        type_ids: tuple[int, ...] = ()
        if type(event) is Query:
            text = event.text
        elif type(event) is Parse:
            text = event.text
            type_ids = event.type_ids
        try:
            words = text.decode("utf-8")
        except UnicodeDecodeError:
            return False  # it is refused unread
        if not self._reader.cold(words, (), type_ids):
            return False
        self._warm(words, (), type_ids)
        return True

    def _warm(self, text: str, values: tuple[Parameter, ...], type_ids: tuple[int, ...]) -> None:
        self._warmed += 1
        self._handlers.patient = self._warmed < PATIENCE
        self._rest = self._reader.warm(text, values, type_ids)

    def _take(self, exchange: PostgresExchange) -> bool:
        """Take an exchange down the road; returns whether something has to be awaited for that."""
        road = self._road
        assert road is not None, "drive is what calls this"
        admitted = road.admit(exchange)
        if admitted is not None and type(admitted) is not Permit:
            if isinstance(admitted, Denial):
                exchange.turn_down(admitted)
                return False
            assert isinstance(admitted, Waiting)
            exchange.weigh()  # before anybody waits
            self._rest = self._take_later(exchange, admitted)
            return True
        if exchange.send(admitted, True):
            self._following = True
        elif exchange.ended:
            return self._take(self._end)
        return False

    async def _take_later(self, exchange: PostgresExchange, admitted: Waiting) -> None:
        assert self._road is not None
        await self._road.follow(exchange, await admitted.rest)

    async def _take_detour(self, exchange: PostgresExchange) -> None:
        assert self._road is not None
        admitted = self._road.admit(exchange)
        await self._road.follow(exchange, await admitted.rest if isinstance(admitted, Waiting) else admitted)

    async def _settle(self) -> None:
        """Have the server answer what the batch has asked so far, and look at what that changed."""
        legs = self._legs
        legs.guarded = settled(legs, self._reader)
        await self._take_detour(PostgresExchange(legs, None))
        if legs.answers.skipping:  # up to the Sync, and the message at hand with it
            self._event = None
        elif self._event is not None and legs.answers.copying_in:
            try:
                inflow.judge(self._event)
            except ProtocolViolation as violation:
                self._event = None
                self._handlers.end_with(violation)

    def _relay(self, chunk: Chunk) -> bool:
        """Relay a chunk; returns whether something has to be awaited for that."""
        assert self._road is not None, "drive is what calls this"
        masked = self._road.pass_on(chunk)
        if type(masked) is not Masked:
            assert isinstance(masked, Waiting)
            self._rest = self._relay_later(masked)
            return True
        wire = self._legs.pass_on(masked)
        if wire is None:
            return False
        self._rest = self._legs.unchoked(wire)
        return True

    async def _relay_later(self, masked: Waiting) -> None:
        await self._legs.relay(await masked.rest)
