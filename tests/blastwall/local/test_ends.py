"""The end of a session in the store: once, told to whoever listens, and never put off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from blastwall.local.clock import ManualClock
from blastwall.local.ends import NEWS, end_by, mark_ended
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import Principal, Session, Target

NOW = 1_800_000_000.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path / "blastwall.db")
    yield made
    made.close()


async def opened(store: Store) -> tuple[LocalSessions, Session]:
    sessions = LocalSessions(store, ManualClock(NOW))
    principal = Principal("iss", "bot", "bot", token_id="t", issued_at=NOW, expires_at=NOW + 600)
    return sessions, await sessions.open(principal, Target("shop", "postgres", "db", 5432))


async def test_a_session_ends_once_and_the_first_reason_stays(store: Store) -> None:
    sessions, session = await opened(store)
    ended = [
        await store.write(
            lambda db, reason=reason: mark_ended(db, session.id, "killed", NOW, reason=reason, by="carol")
        )
        for reason in ("first", "second")
    ]
    assert ended == [True, False]
    row = await sessions.show(session.id)
    assert row is not None and (row.reason, row.ended_by, row.ended_at) == ("first", "carol", NOW)
    assert not await store.write(lambda db: mark_ended(db, "s-none", "killed", NOW, reason=""))


@pytest.mark.parametrize("topic", ["its own id", NEWS])
async def test_whoever_listens_to_it_or_to_all_is_told(store: Store, tmp_path: Path, topic: str) -> None:
    _, session = await opened(store)
    elsewhere = Store(tmp_path / "blastwall.db")
    with elsewhere.watcher.listening(NEWS if topic == NEWS else session.id) as news:
        await asyncio.sleep(0)
        await store.write(lambda db: mark_ended(db, session.id, "killed", NOW, reason="enough"))
        await asyncio.wait_for(news.wait(), 30)
    elsewhere.close()


async def test_an_end_is_moved_up_and_never_put_off(store: Store) -> None:
    sessions, session = await opened(store)
    for until, expected in ((NOW + 60, NOW + 60), (NOW + 300, NOW + 60), (NOW + 30, NOW + 30)):
        await store.write(lambda db, until=until: end_by(db, session.id, until))
        row = await sessions.show(session.id)
        assert row is not None and row.session.expires_at == expected
