"""Catalogues kept for all sessions of a process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter

import pytest

from blastwall.protocols.postgres import shelf as module
from blastwall.protocols.postgres import snapshot
from blastwall.protocols.postgres.shelf import MOST, Shelf
from blastwall.sql.catalogue import Catalogue

PLACE = ("t", "d")
NAMES = {sql: name for name, sql in snapshot.SECTIONS} | {snapshot.FRESHNESS: "freshness"}
SERVER = json.dumps({"server_version": 170000, "database": "d", "search_path": []})


class Database:
    """Answers at its next turn, so that others come in between; ``slow`` answers to nobody."""

    def __init__(self) -> None:
        self.freshness = "one"
        self.asked: Counter[str] = Counter()
        self.slow = False
        self.hanging = asyncio.Event()

    async def ask(self, sql: str) -> list[str]:
        name = NAMES[sql]
        self.asked[name] += 1
        if self.slow and name == "relations":
            self.hanging.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return [self.freshness if name == "freshness" else SERVER if name == "server" else "[]"]


def catalogue() -> Catalogue:
    return Catalogue(server_version=170000, database="d")


def test_a_catalogue_is_found_at_its_own_freshness_only() -> None:
    shelf, kept = Shelf(), catalogue()
    shelf.keep("t", "d", "one", kept)
    assert shelf.find("t", "d", "one") is kept
    assert shelf.find("t", "d", "two") is None and shelf.find("t", "other", "one") is None
    shelf.keep("t", "d", "two", newer := catalogue())
    assert shelf.find("t", "d", "two") is newer and shelf.find("t", "d", "one") is None


def test_it_holds_so_many_databases_and_drops_the_oldest() -> None:
    shelf = Shelf()
    for number in range(MOST + 1):
        shelf.keep("t", f"d{number}", "f", catalogue())
    assert shelf.find("t", "d0", "f") is None
    assert shelf.find("t", "d1", "f") is not None and shelf.find("t", f"d{MOST}", "f") is not None


async def test_of_a_hundred_that_come_at_once_one_reads() -> None:
    """All of them did, and each for as long as all together: after a restart nobody got in within the time there is."""
    shelf, database = Shelf(), Database()
    found = await asyncio.gather(*(shelf.load(PLACE, "17", database.ask, True) for _ in range(100)))
    assert database.asked["relations"] == 1
    assert len({id(catalogue) for catalogue, _ in found}) == 1
    database.freshness = "two"
    await asyncio.gather(*(shelf.load(PLACE, "17", database.ask, True) for _ in range(100)))
    assert database.asked["relations"] == 2


async def test_one_whose_connection_hangs_or_that_leaves_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, stuck, database = Shelf(), Database(), Database()
    stuck.slow = True
    hanging = asyncio.create_task(shelf.load(PLACE, "17", stuck.ask, True))
    await asyncio.wait_for(stuck.hanging.wait(), 30)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0)
    await shelf.load(PLACE, "17", database.ask, True)
    assert database.asked["relations"] == 1
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    monkeypatch.undo()
    database.freshness = "two"
    await asyncio.wait_for(shelf.load(PLACE, "17", database.ask, True), 30)
    assert database.asked["relations"] == 2


async def test_what_only_one_session_sees_is_shared_with_nobody() -> None:
    shelf, database = Shelf(), Database()
    own, _ = await shelf.load(PLACE, "17", database.ask, False)
    others, _ = await shelf.load(PLACE, "17", database.ask, True)
    assert own is not others and shelf.find(*PLACE, "one") is others


async def test_a_catalogue_is_put_together_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 20,000 tables that takes seconds, and nobody got an answer meanwhile."""
    shelf, database = Shelf(), Database()
    real, threads = snapshot.assemble, []

    def assemble(sections: dict[str, str]) -> Catalogue:
        threads.append(threading.current_thread())
        return real(sections)

    monkeypatch.setattr(snapshot, "assemble", assemble)
    for shared in (True, False):
        found, _ = await shelf.load(PLACE, "17", database.ask, shared)
        assert "version" in found.__dict__, "found out there, too"
    assert len(threads) == 2 and threading.main_thread() not in threads
