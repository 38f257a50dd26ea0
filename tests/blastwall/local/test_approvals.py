"""The approvals of the local store where several processes meet, and what the command line reads."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys

import pytest

from blastwall.approvals import Ballot, binding
from blastwall.approvals.view import view_of
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import ManualClock, SystemClock
from blastwall.local.store import Store
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    Denial,
    DenialCode,
    Effect,
    Facts,
    Parameter,
    Principal,
    Risk,
    Statement,
)

NOW = 1_800_000_000.0
ROUNDS = 100

REDEEMER = """
import asyncio, pathlib, sys
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import ManualClock
from blastwall.local.store import Store

async def main():
    store = Store(pathlib.Path(sys.argv[1]))
    approvals = LocalApprovals(store, ManualClock(1_800_000_000.0))
    print("ready", flush=True)
    for binding in sys.stdin.read().split():
        won = await approvals.redeem(binding)
        print("-" if won is None else won.id, flush=True)
    store.close()

asyncio.run(main())
"""


def ask(id: str, text: str = "DELETE FROM t WHERE id = 1", **changes: object) -> ApprovalRequest:
    agent = Principal("https://idp", "agent-7", "reporter", frozenset({"agents"}), "alice", "token-1", NOW, NOW + 3600)
    statement = Statement(text, parameters=(Parameter(b"\x00\xff", True, 17), Parameter(None)))
    request = ApprovalRequest(
        id,
        "",
        "s-1",
        agent,
        "shop",
        statement,
        Facts(Effect.WRITE, "delete"),
        Risk(1),
        ("owners",),
        "v1",
        NOW,
        NOW + 900,
    )
    request = dataclasses.replace(request, **changes)
    bound = binding(principal=agent, session=request.session, target="shop", statement=statement, policy_version="v1")
    return dataclasses.replace(request, binding=bound)


def person(name: str) -> Principal:
    return Principal("https://idp", name, name, frozenset({"owners"}), None, f"token-{name}")


def anybody(approver: Principal, request: ApprovalRequest, ballot: Ballot) -> None:
    return None


async def vote(approvals, id: str, who: Principal, approve: bool, note: str, authorise):
    """As somebody votes who has looked at the request."""
    shown = view_of((await approvals.show(id)).request).shown
    return await approvals.vote(id, who, Ballot(approve, shown, note), authorise)


@pytest.fixture
async def approvals(tmp_path):
    store = Store(tmp_path / "blastwall.db")
    yield LocalApprovals(store, ManualClock(NOW))
    store.close()


async def test_of_two_processes_exactly_one_redeems_each_of_a_hundred(approvals, tmp_path):
    requests = [ask(f"a-{n}", f"DELETE FROM t WHERE id = {n}", session=f"s-{n}") for n in range(ROUNDS)]
    for request in requests:
        await approvals.request(request)
        assert (await vote(approvals, request.id, person("bob"), True, "", anybody)).state is ApprovalState.APPROVED
    command = [sys.executable, "-c", REDEEMER, str(tmp_path / "blastwall.db")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    racers = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(2)]
    for racer in racers:
        assert await racer.stdout.readline() == b"ready\n"
    everything = "\n".join(request.binding for request in requests).encode()
    outputs = await asyncio.gather(*(racer.communicate(everything) for racer in racers))
    first, second = (output.decode().split() for output, _ in outputs)
    assert len(first) == len(second) == ROUNDS
    for request, one, other in zip(requests, first, second, strict=True):
        assert sorted([one, other]) == ["-", request.id]


async def test_a_vote_in_another_process_ends_the_wait(tmp_path):
    file = tmp_path / "blastwall.db"
    store = Store(file)
    approvals = LocalApprovals(store, SystemClock())
    now = SystemClock().now()
    await approvals.request(ask("a-1", requested_at=now, expires_at=now + 900))
    program = (
        "import asyncio, pathlib, sys\n"
        "from blastwall.approvals import Ballot\n"
        "from blastwall.approvals.view import view_of\n"
        "from blastwall.local.approvals import LocalApprovals\n"
        "from blastwall.local.clock import SystemClock\n"
        "from blastwall.local.store import Store\n"
        "from blastwall.model import Principal\n"
        "async def main():\n"
        "    store = Store(pathlib.Path(sys.argv[1]))\n"
        "    bob = Principal('https://idp', 'bob', 'bob', token_id='t')\n"
        "    approvals = LocalApprovals(store, SystemClock())\n"
        "    shown = view_of((await approvals.show('a-1')).request).shown\n"
        "    print(await approvals.vote('a-1', bob, Ballot(True, shown, 'ok'), lambda *_: None))\n"
        "    store.close()\n"
        "asyncio.run(main())\n"
    )
    waiting = asyncio.create_task(approvals.decided("a-1", 60))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(file))
    status = await waiting
    assert await process.wait() == 0
    assert (status.state, status.by, status.note) == (ApprovalState.APPROVED, ("bob",), "ok")
    store.close()


async def test_what_an_approver_sees_is_exactly_what_was_asked(approvals):
    request = ask("a-1", "DELETE /* \u202e */ FROM t\r\n\x00" + "x" * 100_000)
    await approvals.request(request)
    filed = await approvals.show("a-1")
    assert filed.request == request
    assert filed.votes == ()
    assert await approvals.show("a-2") is None


async def test_votes_are_kept_with_who_and_why(approvals):
    await approvals.request(ask("a-1", quorum=2))
    await vote(approvals, "a-1", person("bob"), True, "looks right", anybody)
    await vote(approvals, "a-1", person("carol"), False, "on no account", anybody)
    filed = await approvals.show("a-1")
    assert [(vote.approver, vote.approve, vote.note) for vote in filed.votes] == [
        (person("bob"), True, "looks right"),
        (person("carol"), False, "on no account"),
    ]
    assert (filed.status.state, filed.status.by) == (ApprovalState.DENIED, ("carol",))


async def test_the_list_is_newest_first_and_live_ones_on_demand(approvals):
    for number in range(4):
        await approvals.request(ask(f"a-{number}", f"SELECT {number}"))
    await approvals.withdraw("a-1", "gone")
    await vote(approvals, "a-2", person("bob"), True, "", anybody)
    assert [filed.request.id for filed in await approvals.ls()] == ["a-3", "a-2", "a-1", "a-0"]
    assert [filed.request.id for filed in await approvals.ls(live=True)] == ["a-3", "a-2", "a-0"]
    assert [filed.request.id for filed in await approvals.ls(limit=1)] == ["a-3"]
    approvals._clock.advance(900)
    assert await approvals.ls(live=True) == []
    assert {filed.status.state for filed in await approvals.ls()} == {ApprovalState.EXPIRED, ApprovalState.WITHDRAWN}


async def test_policy_is_asked_about_this_person_and_this_request(approvals):
    await approvals.request(ask("a-1"))
    asked = []

    def refuse(approver: Principal, request: ApprovalRequest, ballot: Ballot) -> Denial:
        asked.append((approver, request))
        return Denial(DenialCode.POLICY, "not an owner")

    verdict = await vote(approvals, "a-1", person("mallory"), True, "", refuse)
    assert verdict == Denial(DenialCode.POLICY, "not an owner")
    assert asked == [(person("mallory"), (await approvals.show("a-1")).request)]
    assert (await approvals.show("a-1")).votes == ()


async def test_a_refused_vote_is_not_kept(approvals):
    await approvals.request(ask("a-1"))
    assert isinstance(await vote(approvals, "a-1", person("alice"), True, "", anybody), Denial)
    assert (await approvals.show("a-1")).votes == ()


async def test_a_note_has_a_limit(approvals):
    await approvals.request(ask("a-1"))
    with pytest.raises(ValueError, match="1000 characters"):
        await vote(approvals, "a-1", person("bob"), True, "x" * 1001, anybody)
