"""Random lives of requests: both stores of approvals say the same at every step, and what they let run was approved.

The model knows nothing of states: it keeps who said what when, and counts what was given out against it.
"""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest

from blastwall.errors import ClientFault, OurFault
from blastwall.local.clock import ManualClock
from blastwall.local.store import Store
from blastwall.model import ApprovalRequest, ApprovalState, ApprovalStatus, Demand, Denial, Statement, StatementKind
from tests.blastwall.aws import stage
from tests.contracts.test_approvals import World, aws, local

SEEDS, STEPS = 6, 60
GROUPS = {"bob": {"owners"}, "carol": {"owners"}, "sami": {"security"}, "both": {"owners", "security"}, "chief": {"x"}}
DEMANDS = [
    (),
    (Demand(("owners",), 2),),
    (Demand(("owners",)), Demand(("security",))),
    (Demand(("owners", "security"), 2),),
]


class Walk:
    """One walk through both stores. Raises AssertionError at the first step on which they differ, or the model does."""

    def __init__(self, seed: int, here: World, there: World, make: Any) -> None:
        self.dice = random.Random(seed)
        self.worlds = (here, there)
        self.make = make
        self.story: list[str] = []
        self.asked: dict[str, ApprovalRequest] = {}
        self.said: dict[str, list[tuple[str, bool, float]]] = {}
        self.over: set[str] = set()
        self.given: dict[str, int] = {}
        self.uses: dict[str, int] = {}

    @property
    def now(self) -> float:
        return self.worlds[0].clock.now()

    async def step(self) -> None:
        await getattr(self, self.dice.choice(["request", "request", "vote", "vote", "vote", "redeem", "redeem", "withdraw", "wait", "look"]))()  # fmt: skip

    def request_of(self, id: str) -> ApprovalRequest:
        dice = self.dice
        if dice.random() < 0.15:
            statement = Statement("CONNECT shop", StatementKind.CONNECT)
        else:
            statement = Statement(f"DELETE FROM orders WHERE id = {dice.randint(7, 8)}")
        number = dice.randrange(len(DEMANDS))
        demands = DEMANDS[number]
        groups = tuple(dict.fromkeys(group for demand in demands for group in demand.groups)) or ("owners",)
        return self.make.ask(  # type: ignore[no-any-return]
            id,
            statement=statement,
            policy_version=dice.choice(["v1", "v1", "v2"]),
            requested_at=self.now,
            expires_at=self.now + dice.choice([50.0, 900.0]),
            demands=demands,
            approvers=groups,
            quorum=max((demand.quorum for demand in demands), default=1),
            bound=dice.choice([None, 5]),
        )

    async def both(self, what: str, *calls: Any) -> Any:
        found = []
        for call in calls:
            try:
                found.append(await call)
            except (ClientFault, OurFault) as fault:
                found.append(type(fault).__name__)
        self.story.append(f"{self.now:.0f} {what} -> {_brief(found[0])}")
        assert _brief(found[0]) == _brief(found[1]), "\n".join([*self.story, f"but: {_brief(found[1])}"])
        return found[0]

    async def request(self) -> None:
        request = self.request_of(f"a-{len(self.asked)}")
        what = f"request {request.id} {request.statement.text} {request.policy_version} {request.demands}"
        status = await self.both(what, *(one.approvals.request(request) for one in self.worlds))
        if isinstance(status, ApprovalStatus) and status.id == request.id:
            self.asked[request.id] = request
        else:
            self.asked[f"not-{request.id}"] = request

    def known(self) -> str:
        ids = [id for id in self.asked if id.startswith("a-")]
        return self.dice.choice(ids) if ids else "a-none"

    async def vote(self) -> None:
        id, name = self.known(), self.dice.choice([*GROUPS, "alice"])
        who = dataclasses.replace(self.make.person(name), groups=frozenset(GROUPS.get(name, {"owners"})))
        approve, grant = self.dice.random() < 0.8, self.dice.choice([0.0, 0.0, 60.0])
        rows = self.dice.choice([None, 3])
        what = f"vote {id} {name} {approve} {grant} {rows}"
        verdict = await self.both(what, *(one.vote(id, who, approve, "n", grant, rows=rows) for one in self.worlds))
        if isinstance(verdict, Denial) or not isinstance(verdict, ApprovalStatus):
            return
        assert name != "alice", "\n".join(self.story)
        self.said.setdefault(id, []).append((name, approve, grant))
        if not approve:
            self.over.add(id)
        if verdict.state is ApprovalState.APPROVED:
            self.uses[id] = verdict.uses

    async def redeem(self) -> None:
        request = self.request_of("a-x")
        shape = request.shape if self.dice.random() < 0.7 else ""
        what = f"redeem {request.statement.text} {request.policy_version} {'by shape' if shape else ''}"
        status = await self.both(what, *(one.approvals.redeem(request.binding, shape) for one in self.worlds))
        if status is None:
            return
        story = "\n".join(self.story)
        asked = self.asked[status.id]
        self.given[status.id] = self.given.get(status.id, 0) + 1
        assert status.id not in self.over and self.given[status.id] <= self.uses[status.id], story
        assert asked.binding == request.binding or (status.same_shape and asked.shape == request.shape), story
        people = {name for name, approve, _ in self.said[status.id] if approve}
        for demand in asked.demands or (Demand(("owners",)),):
            able = [who for who in people if GROUPS[who] & set(demand.groups) or not GROUPS[who] & set(asked.approvers)]
            assert len(able) >= demand.quorum, story
        assert self.now < status.expires_at, story
        if status.same_shape:
            assert all(grant > 0 for _, approve, grant in self.said[status.id] if approve), story

    async def withdraw(self) -> None:
        id = self.known()
        status = await self.both(f"withdraw {id}", *(one.approvals.withdraw(id, "gone") for one in self.worlds))
        if isinstance(status, ApprovalStatus) and status.state is ApprovalState.WITHDRAWN:
            self.over.add(id)

    async def wait(self) -> None:
        seconds = self.dice.choice([1.0, 40.0, 61.0])
        for one in self.worlds:
            one.clock.advance(seconds)

    async def look(self) -> None:
        request = self.request_of("a-x")
        await self.both("latest", *(one.approvals.latest(request.binding) for one in self.worlds))


class Doors:
    def shut(self, session: str, reason: str, by: str) -> bool:
        return True

    def shut_by(self, session: str, until: float) -> None: ...


def _brief(found: Any) -> Any:
    if isinstance(found, ApprovalStatus):
        over = found.state is ApprovalState.EXPIRED  # who had approved it is told until somebody writes down that it is
        return dataclasses.replace(found, changed_at=0.0, note="", by=() if over else found.by)
    return (found.code, found.reason) if isinstance(found, Denial) else found


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_both_stores_tell_the_same_and_give_no_more_than_was_given(
    seed: int, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Store(tmp_path / "blastwall.db"), Store(tmp_path / "blastwall.db")
    with stage.aws(monkeypatch):
        cloud = aws(ManualClock(make.now))
        cloud.approvals._table.doors = Doors()  # type: ignore[attr-defined]  # sessions have walks of their own
        walk = Walk(seed, local(ManualClock(make.now), here, there), cloud, make)
        for _ in range(STEPS):
            await walk.step()
    here.close()
    there.close()
