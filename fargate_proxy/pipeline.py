"""The one road. Every statement of every protocol passes through :meth:`Road.run`; read this file first.

classify -> decide -> rewrite -> record -> forward -> mask -> record -> relay

No permit, no forward; no mask, no relay: both are types. What could not be recorded does not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from blastwall.conversation import Conversation, Exchange
from blastwall.errors import ClientFault, RecordingFault
from blastwall.masking.mask import mask
from blastwall.model import Denial, DenialCode, Facts, Permit, Statement, Target
from blastwall.ports import Recording
from fargate_proxy.decider import Decider
from fargate_proxy.ledger import Ledger

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


class Road:
    """One connection's way through the gateway."""

    def __init__(
        self, conversation: Conversation, decider: Decider, recording: Recording, ledger: Ledger, target: Target
    ) -> None:
        self._conversation = conversation
        self._decider = decider
        self._recording = recording
        self._ledger = ledger
        self._best_effort = target.recording == "best_effort"

    async def run(self, exchange: Exchange) -> None:
        """Take one exchange down the road. Raises the faults of whichever side broke; a denial is not one."""
        statement = exchange.statement
        permit: Permit | None = None
        if statement is not None:
            facts = self._conversation.classify(statement)
            decision = await self._judge(statement, facts, exchange)
            self._record(statement, facts, decision)
            if isinstance(decision, Denial):
                await self._commit()
                await exchange.refuse(decision)
                return
            permit = decision
        if not exchange.more:
            await self._commit()
        async for chunk in exchange.forward(permit):
            masked = mask(chunk)
            self._ledger.relayed(masked)
            try:
                await accepted(self._recording.relayed(masked))
            except RecordingFault:
                if not self._best_effort:
                    raise
            await exchange.relay(masked)

    async def _judge(self, statement: Statement, facts: Facts, exchange: Exchange) -> Permit | Denial:
        try:
            text = self._conversation.rewrite(statement, facts)
        except ClientFault as fault:
            return Denial(DenialCode.UNKNOWN, str(fault), "Send it in a simpler form.")
        return await self._decider.decide(statement, facts, text, exchange)

    def _record(self, statement: Statement, facts: Facts, decision: Permit | Denial) -> None:
        self._ledger.judged()
        try:
            self._recording.intent(statement, facts, decision)
        except RecordingFault:
            if not self._best_effort:
                raise

    async def _commit(self) -> None:
        """Only after this may anything leave for the target."""
        try:
            await accepted(self._recording.commit())
        except RecordingFault:
            if not self._best_effort:
                raise
