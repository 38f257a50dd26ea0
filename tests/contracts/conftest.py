"""One world per adapter family: the ports as one process sees them, and as another one does.

A family is added as another parameter of ``world``; every contract test then holds it to the same behaviour.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blastwall.approvals import Ballot, binding, from_document, shape
from blastwall.approvals.documents import status_document
from blastwall.approvals.view import view_of
from blastwall.aws.approvals import ApprovalTable, AwsApprovals
from blastwall.aws.following import AwsSessions
from blastwall.aws.leases import AwsLeases
from blastwall.aws.sessions import SessionTable
from blastwall.credentials.lease import Leases
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import ManualClock
from blastwall.local.leases import LocalLeases
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import (
    ApprovalRequest,
    ApprovalStatus,
    Denial,
    Effect,
    Facts,
    ObjectRef,
    Parameter,
    Principal,
    Risk,
    Session,
    Statement,
    Target,
)
from blastwall.ports import Approvals, Sessions
from tests.blastwall.aws import stage

NOW = 1_800_000_000.0
TARGET = Target("shop", "postgres", "127.0.0.1", 5432, linger_minutes=5.0)
Kill = Callable[[str, str, str], Awaitable[bool]]
#: id, who, approve, note, for how many seconds: in another process.
Vote = Callable[[str, Principal, bool, str, float], Awaitable[ApprovalStatus | Denial]]


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
    leases: Leases
    vote: Vote


@pytest.fixture(params=["local", "aws"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    clock = ManualClock(NOW)
    if request.param == "aws":
        with stage.aws(monkeypatch):
            yield _aws(clock)
        return
    here, there = Store(tmp_path / "blastwall.db"), Store(tmp_path / "blastwall.db")
    sessions = LocalSessions(there, clock)

    async def live_sessions() -> list[str]:
        return [row.session.id for row in await sessions.ls()]

    people = LocalApprovals(there, clock)

    async def vote(id: str, who: Principal, approve: bool, note: str, seconds: float) -> ApprovalStatus | Denial:
        filed = await people.show(id)
        assert filed is not None
        ballot = Ballot(approve, view_of(filed.request).shown, note, seconds)
        return await people.vote(id, who, ballot, lambda *_: None)

    yield World(
        clock,
        LocalApprovals(here, clock),
        LocalSessions(here, clock),
        sessions,
        sessions.kill,
        sessions.lock,
        sessions.unlock,
        live_sessions,
        LocalLeases(here),
        vote,
    )
    here.close()
    there.close()


def _aws(clock: ManualClock) -> World:
    dynamodb = stage.Atomic(stage.client("dynamodb"))
    stage.approvals_table(dynamodb)
    stage.credential_tables(dynamodb)
    approvals = ApprovalTable(dynamodb, stage.TABLE, clock)

    def withdraw(session: Session, note: str) -> None:
        approvals.withdraw_all(session.principal.identity, session.id, note)

    def table() -> SessionTable:
        return SessionTable(dynamodb, stage.SESSIONS, clock, withdraw=withdraw)

    def invoke(name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if name == "approval_decide":  # it answers the waiting task, if there is one
            return {}
        assert name == "approval_request"
        return {"status": status_document(approvals.file(from_document(request)))}

    here = table()
    approvals.doors = table()

    async def vote(id: str, who: Principal, approve: bool, note: str, seconds: float) -> ApprovalStatus | Denial:
        filed = approvals.show(id)
        assert filed is not None
        ballot = Ballot(approve, view_of(filed.request).shown, note, seconds)
        return await asyncio.to_thread(approvals.vote, id, who, ballot, lambda *_: None)

    async def kill(id: str, reason: str, by: str) -> bool:
        return await asyncio.to_thread(here.kill, id, reason, by)

    async def lock(agent: str, reason: str, by: str) -> int:
        return await asyncio.to_thread(here.lock, agent, reason, by)

    async def unlock(agent: str) -> bool:
        return await asyncio.to_thread(here.unlock, agent)

    async def live_sessions() -> list[str]:
        return [standing.session.id for agent in ("reporter", "writer") for standing in here.ls(agent)]

    return World(
        clock,
        AwsApprovals(approvals, invoke),
        AwsSessions(here),
        AwsSessions(table()),
        kill,
        lock,
        unlock,
        live_sessions,
        AwsLeases(dynamodb, stage.LEASES, stage.SESSIONS),
        vote,
    )


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
