"""People who answer what agents ask, at the command line as in life."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from blastwall.approvals import Ballot
from blastwall.approvals.view import view_of
from blastwall.local.approvals import Filed, LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.store import Store
from blastwall.model import ApprovalState, Denial, Principal
from tests.e2e.stacks import Stack

LOOK_SECONDS = 0.03
OLGA = Principal("https://idp", "olga", "olga", frozenset({"owners"}), token_id="olgas")


def requests(stack: Stack, agent: str) -> list[Filed]:
    """What an agent has asked for so far, oldest first, whatever came of it."""

    async def look() -> list[Filed]:
        store = Store(stack.state / "blastwall.db")
        try:
            return [
                filed
                for filed in await LocalApprovals(store, SystemClock()).ls()
                if filed.request.principal.agent == agent
            ]
        finally:
            store.close()

    return asyncio.run(look())[::-1]


def awaited(stack: Stack, agent: str, state: ApprovalState = ApprovalState.REQUESTED, seconds: float = 20.0) -> Filed:
    """The agent's request that is in this state, as soon as there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for filed in requests(stack, agent):
            if filed.status.state is state:
                return filed
        time.sleep(LOOK_SECONDS)
    raise AssertionError(f"{agent} has no request that is {state}: {requests(stack, agent)}")


def decide(stack: Stack, id: str, verb: str = "approve", *more: str, by: str = "olga") -> Any:
    """``blastwall approvals approve`` or ``deny``, in a process of its own."""
    return stack.ask("approvals", verb, id, "--as", by, *more)


@contextmanager
def deciding(stack: Stack, agent: str, verb: str = "approve", *more: str) -> Iterator[list[str]]:
    """While inside, each request of the agent is decided as soon as it is made. Yields the ids decided so far."""
    decided: list[str] = []
    over = threading.Event()
    problems: list[BaseException] = []

    def watch() -> None:
        try:
            while not over.is_set():
                for filed in requests(stack, agent):
                    if filed.status.state is ApprovalState.REQUESTED and filed.request.id not in decided:
                        decide(stack, filed.request.id, verb, *more)
                        decided.append(filed.request.id)
                over.wait(LOOK_SECONDS)
        except BaseException as problem:  # noqa: BLE001 - told to the test below
            problems.append(problem)

    person = threading.Thread(target=watch, name=f"decides for {agent}")
    person.start()
    try:
        yield decided
    finally:
        over.set()
        person.join()
        if problems:
            raise problems[0]


@contextmanager
def approving(stack: Stack, agent: str, most: int | None) -> Iterator[list[str]]:
    """While inside, whatever the agent asks for is approved for so many rows. Yields the refusals met."""
    over = threading.Event()
    refused: list[str] = []

    async def answer() -> None:
        store = Store(stack.state / "blastwall.db")
        book = LocalApprovals(store, SystemClock())
        try:
            while not over.is_set():
                for filed in await book.ls(live=True):
                    if filed.request.principal.agent == agent and filed.status.state is ApprovalState.REQUESTED:
                        ballot = Ballot(True, view_of(filed.request).shown, rows=most)
                        verdict = await book.vote(filed.request.id, OLGA, ballot, lambda *_: None)
                        if isinstance(verdict, Denial):
                            refused.append(verdict.reason)
                            await book.vote(
                                filed.request.id, OLGA, Ballot(False, view_of(filed.request).shown), lambda *_: None
                            )
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            store.close()

    person = threading.Thread(target=lambda: asyncio.run(answer()))
    person.start()
    try:
        yield refused
    finally:
        over.set()
        person.join()
