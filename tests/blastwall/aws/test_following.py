"""One watch over all sessions of a task: nothing that goes wrong with one lets another live on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from blastwall.aws import following
from blastwall.aws.following import AwsSessions
from blastwall.aws.sessions import FORGOTTEN, SessionTable
from blastwall.aws.standing import Standing
from blastwall.errors import OurFault
from blastwall.local.clock import ManualClock, SystemClock
from blastwall.model import Principal, Session, Target
from blastwall.ports import Clock
from tests.blastwall.aws.stage import SESSIONS, aws, client, credential_tables


def session(id: str, expires_at: float = 2e9) -> Session:
    return Session(id, Principal("iss", "bot", "bot"), "shop", 0.0, expires_at)


class Table:
    """``SessionTable`` as far as a task follows with it: sessions in ``broken`` do not read, those in ``ended`` ended."""

    name = "sessions"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ended: dict[str, str] = {}
        self.broken: set[str] = set()
        self.fault: Exception = OurFault("the table does not answer")
        self.let = threading.Event()
        self.let.set()
        self.renewing = threading.Event()

    def show(self, id: str) -> Standing:
        return Standing(session(id))

    def look(self, sessions: Sequence[Session]) -> dict[str, str]:
        if any(one.id in self.broken for one in sessions):
            raise self.fault
        return {one.id: self.ended[one.id] for one in sessions if one.id in self.ended}

    def renew(self, one: Session) -> None:
        self.renewing.set()
        assert self.let.wait(30)

    def told(self) -> frozenset[str]:
        return frozenset()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.01)


@pytest.mark.parametrize("fault", [OurFault("throttled"), ValueError("an item that does not read")])
async def test_a_batch_that_cannot_be_read_keeps_no_end_from_being_seen(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr(following, "BATCH", 1)
    table = Table(SystemClock())
    table.broken, table.fault = {"s-broken"}, fault
    sessions = AwsSessions(table)  # type: ignore[arg-type]  # as far as it is used
    first = asyncio.ensure_future(sessions.ended(session("s-broken")))
    other = asyncio.ensure_future(sessions.ended(session("s-other")))
    await asyncio.sleep(0.05)
    assert not other.done()
    table.ended["s-other"] = "killed by carol"
    assert await asyncio.wait_for(other, 30) == "killed by carol"
    table.broken, table.ended["s-broken"] = set(), "killed, too"
    assert await asyncio.wait_for(first, 30) == "killed, too"


async def test_saying_that_sessions_live_does_not_delay_their_end() -> None:
    table = Table(SystemClock())
    table.let.clear()
    sessions = AwsSessions(table)  # type: ignore[arg-type]  # as far as it is used
    ended = asyncio.ensure_future(sessions.ended(session("s-1")))
    await asyncio.to_thread(table.renewing.wait, 30)
    try:
        table.ended["s-1"] = "killed by carol"
        assert await asyncio.wait_for(ended, 30) == "killed by carol"
    finally:
        table.let.set()


async def test_no_session_outlives_its_time_although_the_table_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LATE_SECONDS", 0.0)
    table = Table(SystemClock())
    hanging = threading.Event()
    monkeypatch.setattr(table, "look", lambda sessions: hanging.wait(60) and {})
    sessions = AwsSessions(table)  # type: ignore[arg-type]  # as far as it is used
    try:
        reason = await asyncio.wait_for(sessions.ended(session("s-1", time.time() + 0.2)), 30)
    finally:
        hanging.set()
    assert reason == "the session's time is up"


def test_a_session_that_the_table_has_lost_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that was put back to an earlier day must not let a session live for ever."""
    with aws(monkeypatch):
        credential_tables(client("dynamodb"))
        clock = ManualClock()
        table = SessionTable(client("dynamodb"), SESSIONS, clock)
        principal = Principal("iss", "bot", "bot", token_id="t-1", issued_at=clock.now(), expires_at=clock.now() + 600)
        opened = table.open(principal, Target("shop", "postgres", "db", 5432))
        assert table.look([opened]) == {}
        client("dynamodb").delete_item(TableName=SESSIONS, Key={"id": {"S": opened.id}})
        assert table.look([opened]) == {opened.id: FORGOTTEN}
