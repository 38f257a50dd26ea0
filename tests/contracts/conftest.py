"""One world per adapter family: the ports as one process sees them, and as another one does.

A family is added as another parameter of ``world``; every contract test then holds it to the same behaviour.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from blastwall.approvals import binding, shape
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import ManualClock
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import (
    ApprovalRequest,
    Effect,
    Facts,
    ObjectRef,
    Parameter,
    Principal,
    Risk,
    Statement,
    Target,
)
from blastwall.ports import Approvals, Sessions

NOW = 1_800_000_000.0
TARGET = Target("shop", "postgres", "127.0.0.1", 5432, linger_minutes=5.0)
Kill = Callable[[str, str, str], Awaitable[bool]]


@dataclass
class World:
    """``elsewhere``: the same port in another process. ``kill``, ``lock`` and ``unlock``: what people do."""

    clock: ManualClock
    approvals: Approvals
    sessions: Sessions
    sessions_elsewhere: Sessions
    kill: Kill
    lock: Callable[[str, str, str], Awaitable[int]]
    unlock: Callable[[str], Awaitable[bool]]
    live_sessions: Callable[[], Awaitable[list[str]]]


@pytest.fixture(params=["local"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    assert request.param == "local"
    clock = ManualClock(NOW)
    here, there = Store(tmp_path / "blastwall.db"), Store(tmp_path / "blastwall.db")
    sessions = LocalSessions(there, clock)

    async def live_sessions() -> list[str]:
        return [row.session.id for row in await sessions.ls()]

    yield World(
        clock,
        LocalApprovals(here, clock),
        LocalSessions(here, clock),
        sessions,
        sessions.kill,
        sessions.lock,
        sessions.unlock,
        live_sessions,
    )
    here.close()
    there.close()


def agent(**changes: object) -> Principal:
    made = Principal(
        "https://idp", "agent-7", "reporter", frozenset({"agents"}), "alice", "token-1", NOW - 10, NOW + 3600
    )
    return dataclasses.replace(made, **changes)


def person(name: str) -> Principal:
    return Principal("https://idp", name, name, frozenset({"owners"}), None, f"token-{name}", NOW - 10, NOW + 3600)


def ask(id: str = "a-1", **changes: object) -> ApprovalRequest:
    """A request that waits 15 minutes for a person; ``statement``, ``session`` ... change it, and its binding with it."""
    request = ApprovalRequest(
        id=id,
        binding="",
        session="s-1",
        principal=agent(),
        target="shop",
        statement=Statement("DELETE FROM orders WHERE id = $1", parameters=(Parameter(b"7", type_id=23),)),
        facts=Facts(Effect.WRITE, "delete", (ObjectRef("table", "public.orders", "write"),), reason="deletes rows"),
        risk=Risk(40, (("verb delete", 40),)),
        approvers=("owners",),
        policy_version="v1",
        requested_at=NOW,
        expires_at=NOW + 900,
    )
    request = dataclasses.replace(request, **changes)
    return dataclasses.replace(
        request,
        binding=binding(
            principal=request.principal,
            session=request.session,
            target=request.target,
            statement=request.statement,
            policy_version=request.policy_version,
        ),
        shape=shape(
            principal=request.principal,
            session=request.session,
            target=request.target,
            statement=request.statement,
            facts=request.facts,
            policy_version=request.policy_version,
        ),
    )


@dataclass
class Make:
    """The makers above, for tests (which cannot import this file)."""

    agent = staticmethod(agent)
    person = staticmethod(person)
    ask = staticmethod(ask)
    target = TARGET
    now = NOW


@pytest.fixture
def make() -> Make:
    return Make()
