"""Whoever comes too often keeps nobody else away."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from blastwall.config.bundle import Bundle
from blastwall.model import DenialCode, Principal, Target
from fargate_proxy import crowd as module
from fargate_proxy.crowd import Crowd, Crowded, Displaced
from tests.fargate_proxy.test_gateway import AGENT as ROBOT
from tests.fargate_proxy.test_gateway import Play, bundle, finish, serve

__all__ = ["bundle"]

TARGET = Target("shop", "postgres", "127.0.0.1", 5432, agent_connections=2)
AGENT, OTHER = (Principal("issuer", name, name) for name in ("robot", "other"))


async def test_the_client_that_is_silent_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_GREETING", 3)
    crowd = Crowd()
    gone: list[int] = []
    named: list[int] = []
    names = [asyncio.Event() for _ in range(6)]

    async def greet(number: int) -> None:
        try:
            with crowd.greeting():
                async with asyncio.timeout(30):
                    await names[number].wait()
        except Displaced:
            gone.append(number)
            return
        named.append(number)
        await asyncio.sleep(0)  # a task that was told to go and did is not cancelled any more

    tasks = [asyncio.create_task(greet(number)) for number in range(5)]
    await asyncio.gather(tasks[0], tasks[1])
    assert gone == [0, 1]
    names[3].set()
    await tasks[3]
    tasks.append(asyncio.create_task(greet(5)))
    names[5].set()
    await tasks[5]
    assert gone == [0, 1] and named == [3, 5], "who has named itself leaves room"
    for number in (2, 4):
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [task.cancelled() for task in tasks] == [False, False, True, False, True, False]


async def test_an_agent_has_so_many_connections_to_a_target() -> None:
    crowd = Crowd()
    with crowd.attending(AGENT, TARGET):
        with crowd.attending(AGENT, TARGET):
            with pytest.raises(Crowded, match="robot has 2 connections to shop"), crowd.attending(AGENT, TARGET):
                raise AssertionError("one too many")
            with crowd.attending(OTHER, TARGET), crowd.attending(AGENT, Target("lake", "postgres", "h", 1)):
                pass
        with crowd.attending(AGENT, TARGET):
            pass
    assert not crowd._agents, "nothing is remembered of who has left"


async def test_an_agent_with_all_its_connections_is_told_so(bundle: Bundle) -> None:
    play = Play()
    gateway, task = serve(play, bundle)
    with contextlib.ExitStack() as others:
        for _ in range(bundle.targets["shop"].agent_connections):
            others.enter_context(gateway.crowd.attending(ROBOT, bundle.targets["shop"]))
        await finish(task)
    (denial,) = play.closed
    assert denial is not None and denial.code is DenialCode.CROWD
    assert "64 connections to shop" in denial.reason
    assert not play.intents, "no session was opened"
