"""A task's side of vending: what it holds, and for how long. Its other side is run by tests/lambdas."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from blastwall.aws import vendor as module
from blastwall.aws.vendor import AT_ONCE, PER_TARGET, AwsVendor
from blastwall.errors import OurFault, TokenFault
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


async def test_a_revoker_that_cannot_be_reached_leaves_no_secret_here() -> None:
    functions = Functions()

    def away(name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if name == "revoke":
            raise OurFault("the function revoke cannot be reached")
        return functions(name, request)

    task = AwsVendor(away, "vend", "revoke", "task-1", {}, ManualClock(NOW))
    await vend(task)
    kept = next(iter(task._held.values())).credential.secret
    with pytest.raises(OurFault):
        await task.revoke(session())
    assert task._held == {} and kept is not None and kept.wiped
    with pytest.raises(TokenFault, match="has ended"):
        await vend(task)


async def test_two_who_end_the_same_session_do_not_get_in_each_others_way() -> None:
    """A drain meets the end of a session."""

    class Slow:
        async def opens(self, target: Target, credential: Any) -> bool:
            await asyncio.sleep(0)
            return False

        async def close(self) -> None:
            return

    task = AwsVendor(Functions(), "vend", "revoke", "task-1", {"none": Slow()}, ManualClock(NOW))  # type: ignore[dict-item]
    await vend(task)
    assert await asyncio.gather(task.revoke(session()), task.revoke(session())) == [[], []]


async def test_a_task_that_ends_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.05)
    functions, hanging = Functions(), threading.Event()

    def hangs(name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if name == "revoke" and request["session"] == "s-2":
            hanging.wait(60)
        return {"revocations": []} if name == "revoke" else functions(name, request)

    task = AwsVendor(hangs, "vend", "revoke", "task-1", {}, ManualClock(NOW))
    await vend(task, "s-1")
    await vend(task, "s-2")
    try:
        assert await asyncio.wait_for(task.close(), 30) == [] and task._held == {}
    finally:
        hanging.set()


@pytest.mark.parametrize("answer", [{}, {"credential": {}}, {"credential": None}, {"credential": {"secret": "s3cret"}}])
async def test_what_is_no_answer_is_ours_and_is_not_quoted(answer: dict[str, Any]) -> None:
    task = AwsVendor(lambda name, request: answer, "vend", "revoke", "task-1", {}, ManualClock(NOW))
    with pytest.raises(OurFault, match="vend answered what is no answer") as caught:
        await vend(task)
    assert "s3cret" not in str(caught.value)


async def test_a_target_that_does_not_answer_keeps_nobody_from_the_others() -> None:
    """Its function takes a minute to say so; six logins there, and nobody got in anywhere, nor was a kill noticed."""
    go_on, asked = threading.Event(), asyncio.Queue[str]()
    loop = asyncio.get_running_loop()

    def invoke(name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        loop.call_soon_threadsafe(asked.put_nowait, request["target"])
        if request["target"] == "away":
            assert go_on.wait(30)
        return Functions()(name, request)

    task = AwsVendor(invoke, "vend", "revoke", "task-1", {}, ManualClock(NOW))
    away = replace(TARGET, name="away")
    stuck = [
        asyncio.create_task(task.vend(session(f"s-{number}"), away, PERMIT, None, Secret("t"))) for number in range(100)
    ]
    for _ in range(PER_TARGET):
        assert await asyncio.wait_for(asked.get(), 30) == "away"
    for each in stuck[:50]:
        each.cancel()  # whoever leaves makes no room for another call
    await asyncio.wait_for(task.vend(session("s-other"), TARGET, PERMIT, None, Secret("t")), 30)
    assert asked.get_nowait() == TARGET.name and asked.empty()
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*stuck, return_exceptions=True), 60)
    await asyncio.wait_for(task.vend(session("s-later"), away, PERMIT, None, Secret("t")), 30)
