"""Whoever waits for a row hears of its changes, and of nothing else, whichever process made them."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from blastwall.local.store import Store, announce


@pytest.fixture
def file(tmp_path):
    return tmp_path / "blastwall.db"


@pytest.fixture
async def store(file):
    store = Store(file)
    yield store
    store.close()


async def test_listeners_hear_of_their_own_id_only(store):
    with store.watcher.listening("a") as a, store.watcher.listening("b") as b:
        await store.write(lambda db: announce(db, "a"))
        await asyncio.wait_for(a.wait(), 5)
        assert not b.is_set()


async def test_news_before_listening_are_not_news(store):
    await store.write(lambda db: announce(db, "a"))
    with store.watcher.listening("a") as a:
        await store.write(lambda db: announce(db, "b"))
        with store.watcher.listening("b") as b:
            await store.write(lambda db: announce(db, "b"))
            await asyncio.wait_for(b.wait(), 5)
        assert not a.is_set()


async def test_what_was_rolled_back_is_not_announced(store):
    def work(db: sqlite3.Connection) -> None:
        announce(db, "a")
        raise LookupError

    with store.watcher.listening("a") as a, store.watcher.listening("b") as b:
        with pytest.raises(LookupError):
            await store.write(work)
        await store.write(lambda db: announce(db, "b"))
        await asyncio.wait_for(b.wait(), 5)
        assert not a.is_set()


async def test_nobody_watches_when_nobody_waits(store):
    with store.watcher.listening("a"):
        watching = store.watcher._task
        assert watching is not None
        assert not watching.done()
    await asyncio.wait_for(watching, 5)
    with store.watcher.listening("a") as again:
        await store.write(lambda db: announce(db, "a"))
        await asyncio.wait_for(again.wait(), 5)


async def test_listeners_that_missed_pruned_news_are_woken_all(store):
    with store.watcher.listening("quiet") as quiet:
        await store.write(lambda db: [announce(db, "noise") for _ in range(10_050)])
        await asyncio.wait_for(quiet.wait(), 10)
    assert await store.read(lambda db: db.execute("SELECT count(*) FROM news").fetchone()[0]) == 10_000


async def test_closing_wakes_who_still_waits(file):
    store = Store(file)
    with store.watcher.listening("a") as a:
        store.close()
        assert a.is_set()
