"""A task's side of vending: what it holds, and for how long. Its other side is run by tests/lambdas."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from blastwall.aws.vendor import AT_ONCE, AwsVendor
from blastwall.errors import TokenFault
from blastwall.local.clock import ManualClock
from blastwall.model import Permit, Principal, Secret, Session, Target

NOW = 1_800_000_000.0
TARGET = Target("shop", "none", "db", 5432)
PERMIT = Permit("connect to shop at shop")


def session(id: str = "s-1") -> Session:
    return Session(id, Principal("iss", "bot", "bot"), "shop", NOW, NOW + 600)


@dataclass
class Functions:
    """The functions, which answer when they are let."""

    kind: str = "role"
    let: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    inside: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.let.set()

    def __call__(self, name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        with self.lock:
            self.asked.append(name)
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            if name == "revoke":
                return {"revocations": []}
            self.begun.set()
            assert self.let.wait(30)
            user = "bw_" + str(request["session"]).replace("-", "_")
            made = {"user": user, "secret": "s3cret", "kind": self.kind, "expires_at": NOW + 600, "usable_until": None}
            return {"credential": made}
        finally:
            with self.lock:
                self.inside -= 1


def vendor(functions: Functions) -> AwsVendor:
    return AwsVendor(functions, "vend", "revoke", "task-1", {}, ManualClock(NOW))


async def vend(task: AwsVendor, id: str = "s-1") -> Any:
    return await task.vend(session(id), TARGET, PERMIT, None, Secret("x.y.z"))


async def test_an_answer_that_comes_after_the_end_is_wiped_and_opens_nothing() -> None:
    functions = Functions()
    functions.let.clear()
    task = vendor(functions)
    vending = asyncio.create_task(vend(task))
    await asyncio.to_thread(functions.begun.wait, 30)
    await task.revoke(session())
    functions.let.set()
    with pytest.raises(TokenFault, match="has ended"):
        await asyncio.wait_for(vending, 30)
    assert task._held == {}


@pytest.mark.parametrize("kind", ["role", "static"])
async def test_nothing_is_kept_of_sessions_that_are_over(kind: str) -> None:
    task = vendor(Functions(kind))
    for number in range(20):
        await vend(task, f"s-{number}")
        await task.revoke(session(f"s-{number}"))
    assert task._held == {} and len(task._asking) == 0


async def test_a_task_that_ends_takes_back_many_sessions_side_by_side_and_not_all_at_once() -> None:
    functions = Functions()
    task = vendor(functions)
    for number in range(3 * AT_ONCE):
        await vend(task, f"s-{number}")
    functions.most = 0
    assert await task.close() == []
    assert functions.asked.count("revoke") == 3 * AT_ONCE and functions.most <= AT_ONCE
