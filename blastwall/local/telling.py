"""On one machine nobody calls the notifier: this follows the store and tells it what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from blastwall.approvals import Filed
from blastwall.approvals.notices import Kind
from blastwall.local.approvals import LocalApprovals
from blastwall.local.notifier import Notifier
from blastwall.model import ApprovalState
from blastwall.ports import Clock

LOOK_SECONDS = 5.0
MOST_REMEMBERED = 1000


class Telling:
    """Tells of the requests made since it began, each thing once. What was sent is remembered in this process."""

    def __init__(self, book: LocalApprovals, notifier: Notifier, clock: Clock) -> None:
        self._book = book
        self._notifier = notifier
        self._clock = clock
        self._since = clock.now()
        self._sent: dict[str, Mapping[str, Any]] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            # Listening begins before looking: what comes while somebody is told must not wait for the next look.
            change = asyncio.ensure_future(self._book.changed(LOOK_SECONDS))
            try:
                await asyncio.sleep(0)
                await self.look()
                await change
            finally:
                change.cancel()

    async def look(self) -> None:
        """Tell what is new."""
        live = await self._book.ls(live=True)
        for filed in sorted(await self._book.ls(), key=lambda one: one.request.requested_at):
            if filed.request.requested_at < self._since:
                continue
            for kind in self._kinds(filed):
                sent = self._sent.get(filed.request.id, {})
                if str(kind) not in sent.get("told", ()):
                    told = await asyncio.to_thread(self._notifier.tell, filed, kind, sent, live)
                    self._sent[filed.request.id] = told
        while len(self._sent) > MOST_REMEMBERED:
            del self._sent[next(iter(self._sent))]

    def _kinds(self, filed: Filed) -> list[Kind]:
        if filed.status.state is not ApprovalState.REQUESTED:
            return [Kind.DECIDED]
        escalated = filed.request.escalate_at and self._clock.now() >= filed.request.escalate_at
        return [Kind.ASKED, Kind.ESCALATED] if escalated else [Kind.ASKED]
