"""The one road. Every statement of every protocol passes through :class:`Road`; read this file first.

classify -> rewrite -> decide -> record -> forward -> mask -> record -> relay
|------------- admit -------------|           |-- pass_on --|

Both are plain functions that say when something must be awaited first. ``run`` does all of it for channels that yield
their exchanges; a channel that drives itself calls the two, and relays what they let through.

No permit, no forward; no mask, no relay: both are types. What could not be recorded does not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from blastwall import road
from blastwall.conversation import Conversation, Exchange, Lettered
from blastwall.errors import ClientFault, RecordingFault
from blastwall.masking.mask import mask
from blastwall.model import Chunk, Denial, DenialCode, Facts, Masked, Permit, Statement, Target
from blastwall.ports import Recording
from blastwall.recording.writer import Writer
from blastwall.road import Asked, Texts, Waiting
from fargate_proxy.decider import Decider
from fargate_proxy.ledger import Ledger

T = TypeVar("T")

#: What is to be recorded is accepted within this (seconds), or the recording has failed: its session ends within five.
SINK_SECONDS = 4.5


async def accepted(pending: Awaitable[None] | None) -> None:
    """Wait until the sink has what was committed. Raises RecordingFault, also when it does not say so in time."""
    if pending is None:
        return
    try:
        async with asyncio.timeout(SINK_SECONDS):
            await pending
    except TimeoutError:
        raise RecordingFault(f"the sink has not answered for {SINK_SECONDS:g} s; nothing runs unrecorded") from None


class Road(road.Road):
    """One connection's way through the gateway."""

    def __init__(
        self, conversation: Conversation, decider: Decider, recording: Recording, ledger: Ledger, target: Target
    ) -> None:
        self._conversation = conversation
        self._decider = decider
        self._recording = recording
        # The usual ones by their own names: what is called through a protocol is looked up each time.
        self._texts: Texts | None = conversation.texts if isinstance(conversation, Lettered) else None
        self._writer: Writer | None = recording if isinstance(recording, Writer) else None
        self._ledger = ledger
        self._best_effort = target.recording == "best_effort"

    async def run(self, exchange: Exchange) -> None:
        """Take one exchange down the road. Raises the faults of whichever side broke; a denial is not one."""
        admitted = self.admit(exchange)
        await self.follow(exchange, await admitted.rest if isinstance(admitted, Waiting) else admitted)

    def admit(self, exchange: Exchange) -> Permit | Denial | Waiting | None:
        """Classify, rewrite, decide, record: what must be before anything leaves for the target."""
        given: object = exchange
        if isinstance(given, Asked):
            statement = given.statement
            more = given.more
        else:
            statement = exchange.statement
            more = exchange.more
        if statement is None:
            return self._commit(None)
        texts = self._texts
        facts = self._conversation.classify(statement) if texts is None else texts.classify(statement)
        decision: Permit | Denial | None
        try:
            text = self._conversation.rewrite(statement, facts) if texts is None else texts.rewrite(statement)
        except ClientFault as fault:
            decision = Denial(DenialCode.UNKNOWN, str(fault), "Send it in a simpler form.")
        else:
            decision = self._decider.at_once(statement, facts, text)
            if decision is None:
                return Waiting(self._ask(statement, facts, text, exchange))
        return self._record(statement, facts, decision, more)

    async def follow(self, exchange: Exchange, decision: Permit | Denial | None) -> None:
        """Forward, mask, record, relay; or refuse."""
        if isinstance(decision, Denial):
            await exchange.refuse(decision)
            return
        async for chunk in exchange.forward(decision):
            masked = self.pass_on(chunk)
            await exchange.relay(await masked.rest if isinstance(masked, Waiting) else masked)

    def pass_on(self, chunk: Chunk) -> Masked | Waiting:
        """Mask, count, record. Raises the faults of the recording, of the target, and BudgetSpent."""
        masked = mask(chunk)
        self._ledger.relayed(masked)
        try:
            writer = self._writer
            pending = self._recording.relayed(masked) if writer is None else writer.relayed(masked)
        except RecordingFault:
            if not self._best_effort:
                raise
            return masked
        return masked if pending is None else Waiting(self._accepted(pending, masked))

    async def _ask(self, statement: Statement, facts: Facts, text: str, exchange: Exchange) -> Permit | Denial:
        """Somebody must be waited for first."""
        decision = await self._decider.decide(statement, facts, text, exchange)
        recorded = self._record(statement, facts, decision, exchange.more)
        if isinstance(recorded, Waiting):
            await recorded.rest
        return decision

    def _record(
        self, statement: Statement, facts: Facts, decision: Permit | Denial, more: bool
    ) -> Permit | Denial | Waiting | None:
        self._ledger.judged(facts.statements)
        try:
            writer = self._writer
            if writer is None:
                self._recording.intent(statement, facts, decision)
            else:
                writer.intent(statement, facts, decision)
        except RecordingFault:
            if not self._best_effort:
                raise
        if more and type(decision) is Permit:
            return decision
        return self._commit(decision)

    def _commit(self, decision: Permit | Denial | None) -> Permit | Denial | Waiting | None:
        """Only after this may anything leave for the target, or be told."""
        try:
            writer = self._writer
            pending = self._recording.commit() if writer is None else writer.commit()
        except RecordingFault:
            if not self._best_effort:
                raise
            return decision
        return decision if pending is None else Waiting(self._accepted(pending, decision))

    async def _accepted(self, pending: Awaitable[None], result: T) -> T:
        try:
            await accepted(pending)
        except RecordingFault:
            if not self._best_effort:
                raise
        return result
