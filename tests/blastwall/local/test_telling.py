"""Following the store: what is asked, escalated and decided is told in this order, once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from blastwall.approvals import Ballot, binding
from blastwall.approvals.view import view_of
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import ManualClock
from blastwall.local.store import Store
from blastwall.local.telling import Telling
from tests.blastwall.approvals.asking import ask, person

NOW = 1_800_000_000.0


class Notes:
    """A notifier; ``news`` is set in ``loop`` whenever it told something."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.loop = asyncio.get_running_loop()
        self.news = asyncio.Event()

    def tell(self, filed, kind, sent, live):
        self.told.append((filed.request.id, str(kind)))
        self.loop.call_soon_threadsafe(self.news.set)
        return {**sent, "told": [*sent.get("told", ()), str(kind)]}


def request(id: str, at: float, **changes: object):
    made = ask(id=id, text=f"DELETE {id}", requested_at=at, expires_at=at + 900, quorum=1, **changes)
    bound = binding(
        principal=made.principal,
        session=made.session,
        target=made.target,
        statement=made.statement,
        policy_version="v1",
    )
    return ask(**{name: getattr(made, name) for name in ("id", "statement", "requested_at", "expires_at", "quorum", "escalation", "escalate_at")}, binding=bound)  # fmt: skip


async def test_what_happens_is_told_once_and_in_order(tmp_path: Path) -> None:
    store, clock, notes = Store(tmp_path / "blastwall.db"), ManualClock(NOW), Notes()
    book = LocalApprovals(store, clock)
    await book.request(request("a-old", NOW - 10))
    telling = Telling(book, notes, clock)
    await book.request(request("a-1", NOW, escalation=("security",), escalate_at=NOW + 60))
    task = asyncio.create_task(telling.run())

    async def told(*expected: tuple[str, str]) -> None:
        async with asyncio.timeout(5):
            while notes.told != list(expected):
                await notes.news.wait()
                notes.news.clear()

    await told(("a-1", "asked"))
    clock.advance(60)
    await book.request(request("a-2", NOW + 60))
    await told(("a-1", "asked"), ("a-1", "escalated"), ("a-2", "asked"))
    filed = await book.show("a-1")
    await book.vote("a-1", person("bob"), Ballot(False, view_of(filed.request).shown), lambda *_: None)
    await told(("a-1", "asked"), ("a-1", "escalated"), ("a-2", "asked"), ("a-1", "decided"))
    task.cancel()
    store.close()
