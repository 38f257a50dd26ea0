"""The one road: its order, and that nothing passes a step that failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from blastwall.errors import ClientFault, RecordingFault
from blastwall.model import (
    Chunk,
    Denial,
    DenialCode,
    Effect,
    Facts,
    Masked,
    Permit,
    Statement,
    Target,
)
from fargate_proxy import pipeline
from fargate_proxy.ledger import BudgetSpent, Ledger
from fargate_proxy.pipeline import Road, accepted

TARGET = Target("t", "postgres", "h", 1)


class World:
    """Conversation, decider, recording and exchange in one, noting each step."""

    def __init__(self, *, deny: bool = False, broken: str = "", more: bool = False, statement: bool = True) -> None:
        self.steps: list[str] = []
        self.deny = deny
        self.broken = broken
        self.more = more
        self.interactive = False
        self.statement = Statement("DELETE", number=1) if statement else None
        self.durable = asyncio.Event()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.broken:
            raise RecordingFault("the disk is full")

    def classify(self, statement: Statement) -> Facts:
        self._step("classify")
        return Facts(Effect.WRITE, "delete")

    def rewrite(self, statement: Statement, facts: Facts) -> str:
        if self.broken == "rewrite":
            raise ClientFault("it cannot be said safely")
        self._step("rewrite")
        return "REWRITTEN"

    def at_once(self, statement: Statement, facts: Facts, text: str) -> Permit | Denial | None:
        self._step("at_once")
        if self.broken == "person":
            return None
        return Denial(DenialCode.POLICY, "no") if self.deny else Permit(text)

    async def decide(self, statement: Statement, facts: Facts, text: str, exchange: Any) -> Permit | Denial:
        self._step("decide")
        return Denial(DenialCode.POLICY, "no") if self.deny else Permit(text)

    def intent(self, statement: Statement, facts: Facts, decision: Permit | Denial) -> None:
        self._step("intent")
        self.decision = decision

    def commit(self) -> Awaitable[None] | None:
        self._step("commit")
        return self.durable.wait() if self.broken == "slow" else None  # type: ignore[return-value]

    def relayed(self, masked: Masked) -> None:
        self._step("relayed")

    def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        self._step("forward")
        assert permit is None or permit.upstream_text == "REWRITTEN"
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[Chunk]:
        yield Chunk(b"one", 1, 1)
        yield Chunk(b"two", 1, 1)

    async def relay(self, masked: Masked) -> None:
        self._step("relay")

    async def refuse(self, denial: Denial) -> None:
        self._step("refuse")
        self.denial = denial

    async def run(self, target: Target = TARGET, ledger: Ledger | None = None) -> list[str]:
        road = Road(self, self, self, ledger or Ledger({}, {}), target)  # type: ignore[arg-type]
        await road.run(self)  # type: ignore[arg-type]
        return self.steps


CHUNKS = ["relayed", "relay", "relayed", "relay"]


async def test_the_order_of_the_road() -> None:
    assert await World().run() == ["classify", "rewrite", "at_once", "intent", "commit", "forward", *CHUNKS]


@pytest.mark.parametrize("deny", [False, True])
async def test_who_must_be_waited_for_is_asked_before_anything_is_recorded(deny: bool) -> None:
    steps = ["classify", "rewrite", "at_once", "decide", "intent", "commit"]
    assert await World(broken="person", deny=deny).run() == [*steps, *(["refuse"] if deny else ["forward", *CHUNKS])]


async def test_a_denial_is_recorded_before_it_is_told_and_nothing_is_forwarded() -> None:
    world = World(deny=True)
    assert await world.run() == ["classify", "rewrite", "at_once", "intent", "commit", "refuse"]


async def test_a_batch_commits_once_before_it_leaves() -> None:
    assert "commit" not in await World(more=True).run()
    assert await World(statement=False).run() == ["commit", "forward", *CHUNKS]


async def test_what_has_no_safe_text_is_refused_as_unknown() -> None:
    world = World(broken="rewrite")
    assert (await world.run())[-1] == "refuse"
    assert world.denial.code is DenialCode.UNKNOWN
    assert "forward" not in world.steps


@pytest.mark.parametrize("broken", ["intent", "commit"])
async def test_what_cannot_be_recorded_does_not_run(broken: str) -> None:
    world = World(broken=broken)
    with pytest.raises(RecordingFault):
        await world.run()
    assert "forward" not in world.steps


@pytest.mark.parametrize("broken", ["intent", "commit", "relayed"])
async def test_a_best_effort_target_goes_on(broken: str) -> None:
    steps = await World(broken=broken).run(Target("t", "postgres", "h", 1, recording="best_effort"))
    assert steps[-1] == "relay"


async def test_an_answer_that_cannot_be_recorded_is_not_relayed() -> None:
    world = World(broken="relayed")
    with pytest.raises(RecordingFault):
        await world.run()
    assert "relay" not in world.steps


async def test_nothing_leaves_before_the_commit_is_durable() -> None:
    world = World(broken="slow")
    task = asyncio.create_task(world.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.steps[-1] == "commit"
    world.durable.set()
    assert "forward" in await task


async def test_a_result_past_the_budget_is_not_relayed() -> None:
    world = World()
    with pytest.raises(BudgetSpent):
        await world.run(ledger=Ledger({"rows": 1}, {}))
    assert world.steps.count("relay") == 1


async def test_a_sink_that_does_not_answer_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "SINK_SECONDS", 0.05)
    with pytest.raises(RecordingFault, match="has not answered"):
        await accepted(asyncio.get_running_loop().create_future())


async def test_a_slow_sink_slows_the_session_down() -> None:
    """The next chunk is not fetched before the recording has room for it."""
    world, room = World(), asyncio.get_running_loop().create_future()
    world.relayed = lambda masked: room  # type: ignore[method-assign, assignment, return-value]
    running = asyncio.create_task(world.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert "relay" not in world.steps
    room.set_result(None)
    await running
    assert world.steps.count("relay") == 2
