"""Leases in DynamoDB beside the contract: who has a policy in hand, and clocks that are wrong."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from blastwall.aws import leases as module
from blastwall.aws.following import AwsSessions
from blastwall.aws.leases import AwsLeases
from blastwall.aws.sessions import SessionTable
from blastwall.credentials.lease import Lease
from blastwall.errors import UpstreamFault
from blastwall.local.clock import ManualClock
from blastwall.model import Principal, Session, Target
from tests.blastwall.aws import stage

NOW = 1_800_000_000.0


@dataclass
class World:
    leases: AwsLeases
    elsewhere: AwsLeases
    dynamodb: Any

    def table(self, now: float) -> SessionTable:
        return SessionTable(self.dynamodb, stage.SESSIONS, ManualClock(now))

    def session(self) -> Session:
        principal = Principal("iss", "bot", "bot", token_id="t", issued_at=NOW, expires_at=NOW + 7200)
        return self.table(NOW).open(principal, Target("shop", "postgres", "db", 5432))

    async def lease(self, session: Session, **changes: Any) -> Lease:
        made = Lease(session.id, "bw_s_x", "shop", "role", "agent", "task-1", NOW, NOW + 600)
        await self.leases.write(made)
        return made


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with stage.aws(monkeypatch):
        dynamodb = stage.Atomic(stage.client("dynamodb"))
        stage.credential_tables(dynamodb)
        here, there = (AwsLeases(dynamodb, stage.LEASES, stage.SESSIONS) for _ in range(2))
        yield World(here, there, dynamodb)


async def test_one_process_at_a_time_has_a_policy_in_hand(world: World) -> None:
    inside: list[int] = []
    most: list[int] = []

    async def work(leases: AwsLeases, number: int) -> None:
        async with leases.alone("arn:policy"):
            inside.append(number)
            most.append(len(inside))
            await asyncio.sleep(0.01)
            inside.remove(number)

    await asyncio.gather(*(work((world.leases, world.elsewhere)[n % 2], n) for n in range(6)))
    assert most == [1] * 6
    async with world.leases.alone("arn:policy"), world.elsewhere.alone("arn:other"):
        pass


async def test_who_died_with_it_in_hand_holds_it_up_for_a_while_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    dead = world.leases.alone("arn:policy")
    await dead.__aenter__()
    with pytest.raises(UpstreamFault, match="have arn:policy in hand"):
        await world.elsewhere.alone("arn:policy").__aenter__()
    monkeypatch.setattr(module, "ALONE_SECONDS", -1.0)
    world.dynamodb.update_item(
        TableName=stage.LEASES,
        Key={"session": {"S": "alone#arn:policy"}, "lease": {"S": "alone"}},
        UpdateExpression="SET #until = :then",
        ExpressionAttributeNames={"#until": "until"},
        ExpressionAttributeValues={":then": {"N": "1"}},
    )
    async with world.elsewhere.alone("arn:policy"):
        await dead.__aexit__(None, None, None)  # it was not dead, only slow: it lets go of nothing that is another's
        item = world.dynamodb.get_item(
            TableName=stage.LEASES, Key={"session": {"S": "alone#arn:policy"}, "lease": {"S": "alone"}}
        )["Item"]
        assert float(item["until"]["N"]) > 1.0


async def test_what_somebody_has_in_hand_is_nobodys_lease(world: World) -> None:
    async with world.leases.alone("arn:policy"):
        assert await world.leases.abandoned("", NOW) == []


@pytest.mark.parametrize("ahead", [3600.0, 11.0])
async def test_a_session_ended_by_a_clock_that_is_ahead_is_not_left_alone_until_then(
    world: World, ahead: float
) -> None:
    session = world.session()
    lease = await world.lease(session)
    world.table(NOW + ahead).kill(session.id, "enough", "carol")
    assert [found.id for found in await world.leases.abandoned("", NOW + 1)] == [lease.id]


async def test_its_own_task_has_ten_seconds_before_others_look(world: World) -> None:
    session = world.session()
    lease = await world.lease(session)
    world.table(NOW + 1).kill(session.id, "enough", "carol")
    assert await world.leases.abandoned("", NOW + 10) == []
    assert [found.id for found in await world.leases.abandoned("", NOW + 11)] == [lease.id]


async def test_what_a_dead_task_was_handed_is_abandoned_although_its_session_lives_in_another(world: World) -> None:
    session = world.session()
    mine = await world.lease(session)
    await world.leases.write(dataclasses.replace(mine, id="bw_s_x__2", holder="task-2"))
    for holder in ("task-1", "task-2"):
        world.table(NOW).beat(holder)
    assert await world.leases.abandoned("", NOW + 59) == []
    later = world.table(NOW + 59)
    later.renew(session)
    later.beat("task-2")
    assert [found.id for found in await world.leases.abandoned("", NOW + 61)] == [mine.id]
    standing = later.show(session.id)
    assert standing is not None and standing.ended_at is None


async def test_a_task_that_never_said_that_it_lives_is_not_taken_for_dead(world: World) -> None:
    await world.lease(world.session())
    assert await world.leases.abandoned("", NOW + 30) == []


async def test_a_task_says_that_it_lives_while_it_follows_anything(world: World) -> None:
    session = world.session()
    told, loop = asyncio.Event(), asyncio.get_running_loop()

    class Heard(SessionTable):
        def beat(self, holder: str) -> None:
            super().beat(holder)
            assert holder == "task-7"
            loop.call_soon_threadsafe(told.set)

    sessions = AwsSessions(Heard(world.dynamodb, stage.SESSIONS, ManualClock(NOW)), "task-7")
    ended = asyncio.ensure_future(sessions.ended(session))
    await asyncio.wait_for(told.wait(), 30)
    ended.cancel()
