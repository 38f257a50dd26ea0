"""The sessions of the local store: what crashed processes leave behind, and what operators see."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from blastwall.local import sessions as module
from blastwall.local.clock import ManualClock
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import Principal, Target

NOW = 1_800_000_000.0
AGENT = Principal("https://idp", "agent-7", "reporter", frozenset({"agents"}), "alice", "token-1", NOW, NOW + 36_000)
TARGET = Target("shop", "postgres", "127.0.0.1", 5432, linger_minutes=5.0)

CRASHER = """
import asyncio, os, pathlib, sys
from blastwall.local.clock import ManualClock
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import Principal, Target

async def main():
    sessions = LocalSessions(Store(pathlib.Path(sys.argv[1])), ManualClock(1_800_000_000.0))
    agent = Principal("https://idp", "agent-7", "reporter", frozenset({"agents"}), "alice", "token-1", 1.8e9, 1.8e9 + 36_000)
    session = await sessions.open(agent, Target("shop", "postgres", "127.0.0.1", 5432))
    await sessions.attach(session, "c-crashed-1")
    await sessions.attach(session, "c-crashed-2")
    print(session.id, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
async def sessions(tmp_path, clock):
    store = Store(tmp_path / "blastwall.db")
    yield LocalSessions(store, clock)
    store.close()


def crash(file) -> str:
    """Open a session with two connections in a process that is killed in the middle; return the session's id."""
    run = subprocess.run([sys.executable, "-c", CRASHER, str(file)], capture_output=True, text=True, timeout=60)
    assert run.returncode == -9, run.stderr
    return run.stdout.strip()


async def test_a_crashed_gateway_leaves_no_session_live_for_ever(sessions, clock, tmp_path):
    id = crash(tmp_path / "blastwall.db")
    assert (await sessions.show(id)).connections == ()  # looking sweeps
    clock.advance(300)
    assert await sessions.ls() == []
    row = await sessions.show(id)
    assert row.reason == "nobody was connected any more"


async def test_sweeping_counts_and_spares_the_living(sessions, clock, tmp_path):
    crash(tmp_path / "blastwall.db")
    session = await sessions.open(AGENT, TARGET)
    await sessions.attach(session, "c-mine")
    assert (await sessions.show(session.id)).connections == ("c-mine",)
    assert await sessions.sweep() == 0
    clock.advance(10_000)
    assert [row.session.id for row in await sessions.ls()] == [session.id]


async def test_opening_sweeps_by_itself_but_not_each_time(sessions, clock, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(module.processes, "alive", lambda process: bool(asked.append(process)) or True)
    session = await sessions.open(AGENT, TARGET)
    await sessions.attach(session, "c-1")
    for _ in range(10):
        await sessions.open(AGENT, TARGET)
    assert asked == []
    clock.advance(module.SWEEP_EVERY)
    await sessions.open(AGENT, TARGET)
    assert len(asked) == 1


async def test_operators_see_the_whole_session(sessions, clock):
    session = await sessions.open(AGENT, TARGET, "fire")
    await sessions.attach(session, "c-1")
    await sessions.attach(session, "c-2")
    await sessions.detach(session, "c-1", {"rows": 3})
    row = await sessions.show(session.id)
    assert row.session == session
    assert (row.connections, dict(row.usage), row.ended_at) == (("c-2",), {"rows": 3}, None)
    clock.advance(7)
    await sessions.kill(session.id, "enough", "carol")
    row = await sessions.show(session.id)
    assert (row.ended_at, row.reason, row.ended_by) == (NOW + 7, "killed by carol: enough", "carol")
    assert await sessions.ls() == []
    assert [row.session.id for row in await sessions.ls(live=False)] == [session.id]


async def test_the_list_is_newest_first_and_bounded(sessions):
    ids = [(await sessions.open(replace(AGENT, token_id=f"t{n}"), TARGET)).id for n in range(3)]
    assert [row.session.id for row in await sessions.ls()] == ids[::-1]
    assert [row.session.id for row in await sessions.ls(limit=2)] == ids[:0:-1]
    assert await sessions.show("s-none") is None


async def test_sessions_are_forgotten_a_month_after_their_time_and_no_earlier(sessions, clock):
    first = await sessions.open(AGENT, TARGET)
    await sessions.attach(first, "c-1")
    await sessions.detach(first, "c-1", {"rows": 3})
    await sessions.kill(first.id, "enough", "carol")
    clock.advance(AGENT.expires_at - NOW + module.KEPT_SECONDS - 1)
    later = replace(AGENT, token_id="token-2", expires_at=clock.now() + 2 * module.FORGET_EVERY)
    live = await sessions.open(later, TARGET)
    assert await sessions.show(first.id) is not None
    clock.advance(module.FORGET_EVERY)
    await sessions.open(later, replace(TARGET, name="other"))
    assert await sessions.show(first.id) is None and await sessions.usage(first) == {}
    assert await sessions.show(live.id) is not None


async def test_a_session_ends_by_the_clock_on_the_wall_also_while_the_machine_slept(sessions, clock, monkeypatch):
    """Its time passes and the loop's does not: as when a machine sleeps, or its clock is put right."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    session = await sessions.open(AGENT, TARGET)
    await sessions.attach(session, "c-1")
    ended = asyncio.ensure_future(sessions.ended(session))
    await asyncio.sleep(0.05)
    assert not ended.done()
    clock.advance(AGENT.expires_at - NOW)
    async with asyncio.timeout(30):
        assert await ended == "the session's time is up"
