"""Words between tasks, on the table of sessions: everybody hears each once, while there is a session to look after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from blastwall.aws import words
from blastwall.aws.following import AwsSessions
from blastwall.aws.sessions import SessionTable
from blastwall.aws.tables import Calls
from blastwall.local.clock import ManualClock
from blastwall.model import Principal, Target
from tests.blastwall.aws import stage

NOW = 1_800_000_000.0


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with stage.aws(monkeypatch):
        client = stage.Atomic(stage.client("dynamodb"))
        stage.credential_tables(client)
        yield client


def test_a_word_is_found_for_a_minute_and_not_for_ever(dynamodb: Any) -> None:
    calls = Calls(dynamodb, stage.SESSIONS)
    words.tell(calls, "one", NOW)
    words.tell(calls, "two", NOW + 1)
    words.tell(calls, "two", NOW + 2)
    assert words.told(calls, NOW + 59) == {"one", "two"}
    assert words.told(calls, NOW + 61) == {"one", "two"}
    assert words.told(calls, NOW + 180) == frozenset()


async def test_tasks_hear_each_word_once(dynamodb: Any) -> None:
    table = SessionTable(dynamodb, stage.SESSIONS, ManualClock(NOW))
    principal = Principal("iss", "bot", "bot", token_id="t", issued_at=NOW, expires_at=NOW + 7200)
    session = table.open(principal, Target("shop", "postgres", "db", 5432))
    here, there = AwsSessions(table), AwsSessions(table)
    heard: list[str] = []
    first, second = asyncio.Event(), asyncio.Event()

    async def hear(word: str) -> None:
        heard.append(word)
        if word == "bad":
            raise OSError("it cannot be done")
        if word in ("first", "second"):
            {"first": first, "second": second}[word].set()

    here.hear = hear
    ended = asyncio.ensure_future(here.ended(session))
    await there.tell("bad")
    await there.tell("first")
    await asyncio.wait_for(first.wait(), 30)
    await there.tell("second")
    await asyncio.wait_for(second.wait(), 30)
    assert sorted(heard) == ["bad", "first", "second"], "each once, and one that fails keeps none of the others"
    ended.cancel()
