"""However a session ends, its credential is dead within the stated time: no login, no connection, no role."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from blastwall.local.clock import SystemClock
from blastwall.local.recordings import Shelf
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from rig.gateway import GatewayProcess
from tests.e2e.conftest import Start
from tests.e2e.stacks import ROOT, Stack

#: What docs/credentials.md promises, in seconds: people's orders and ends that the gateway sees, and a gateway's death.
AT_ONCE, RECLAIMED = 2.0, 60.0
LIVE = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"


@pytest.fixture(scope="module")
def brief(start: Start) -> Stack:
    """The shipped configuration, but sessions end with their last connection, and statements carry a comment."""

    def change(document: dict[str, Any]) -> None:
        document["targets"]["shop"]["linger_minutes"] = 0.0
        document["targets"]["shop"]["options"]["attribution"] = ["application_name", "comment"]

    return start("brief", ROOT / "config", "shop", change)


def login_of(stack: Stack, agent: str) -> str:
    return "bw_" + str(stack.session(agent)["id"]).replace("-", "_")


def gone(stack: Stack, user: str) -> bool:
    """Neither the role nor a connection of it."""
    return not stack.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", user) and not stack.value(LIVE, user)


def within(seconds: float, happened: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def proof(stack: Stack, agent: str) -> dict[str, Any]:
    """The event that tells of the credential's end; it is written right after the login was tried."""
    found: list[dict[str, Any]] = []

    def written() -> bool:
        summaries = [(entry, entry.summary()) for entry in Shelf(stack.state).entries()]
        after = [
            entry for entry, told in summaries if told.get("agent") == agent and str(told["connection"])[:2] == "r-"
        ]
        events = [item for entry in after for item in stack.played(entry)]
        found[:] = [item for item in events if str(item.get("name", "")).startswith("revocation")]
        return bool(found)

    within(10, written)
    (event,) = found
    assert event["name"] == "revocation_verified", event
    fields: dict[str, Any] = event["fields"]
    return fields


def test_the_database_knows_who_it_is_and_what_it_is_for(brief: Stack) -> None:
    token = brief.token("told", on_behalf_of="ada@example.test")
    with brief.connect(token, autocommit=True, application_name="psql") as connection:
        user = login_of(brief, "told")
        connection.execute("SELECT 4711")
        ((name, query),) = brief.direct(
            "SELECT application_name, query FROM pg_stat_activity WHERE usename = %s AND query LIKE '%%4711%%'", user
        )
        session = str(brief.session("told")["id"])
        assert name == f"{session} told for ada@example.test: psql"[:63]
        assert query == f"SELECT 4711\n/*agent='told',person='ada%40example.test',session='{session}'*/"
        assert connection.execute("SELECT current_user::text, session_user::text").fetchone() == ("shop_agent", user)
        assert connection.execute("SELECT %s::int", (1,), prepare=True).fetchone() == (1,)
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0 -- and no more")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation) as wrong:
            connection.execute("SELECT 1, int 'x'")
        assert wrong.value.diag.statement_position == "15"


def test_a_normal_end(brief: Stack) -> None:
    with brief.connect(brief.token("leaves")) as connection:
        connection.execute("SELECT 1")
        user = login_of(brief, "leaves")
        assert not gone(brief, user)
    within(AT_ONCE, lambda: gone(brief, user))
    told = proof(brief, "leaves")
    assert told["user"] == user and told["proof"].startswith("revocation verified at T+0.")


def test_a_client_that_crashes_in_the_middle_of_a_statement(brief: Stack) -> None:
    script = "import psycopg, sys; c = psycopg.connect(sys.argv[1]); print('in', flush=True); c.execute(sys.argv[2])"
    slow = "SELECT count(*) FROM orders a, orders b, orders c WHERE a.id <> b.id AND b.id <> c.id"
    environment = {**os.environ, **brief.environ(brief.token("crashes"))}
    client = subprocess.Popen(
        [sys.executable, "-c", script, "", slow], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"in\n"
    user = login_of(brief, "crashes")
    within(5, lambda: bool(brief.value(LIVE + " AND state = 'active'", user)))
    client.kill()
    client.wait(5)
    within(AT_ONCE + 1, lambda: gone(brief, user))
    proof(brief, "crashes")


@pytest.mark.parametrize("order", ["kill", "lock"])
def test_people_end_it(brief: Stack, order: str) -> None:
    agent = f"ended-by-{order}"
    with brief.connect(brief.token(agent), autocommit=True) as connection:
        user = login_of(brief, agent)
        brief.blastwall("sessions", order, str(brief.session(agent)["id"]) if order == "kill" else agent)
        within(AT_ONCE, lambda: gone(brief, user))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert proof(brief, agent)["seconds"] < AT_ONCE


def test_the_token_expires(brief: Stack) -> None:
    with brief.connect(brief.token("expires", ttl=3), autocommit=True) as connection:
        user = login_of(brief, "expires")
        until = brief.value("SELECT extract(epoch FROM rolvaliduntil)::float8 FROM pg_roles WHERE rolname = %s", user)
        within(3 + AT_ONCE, lambda: gone(brief, user))
        assert time.time() - until < AT_ONCE
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert proof(brief, "expires")["seconds"] < AT_ONCE


def test_a_hundred_sessions_with_random_ends_leave_nothing_behind(brief: Stack) -> None:
    chance = random.Random(4711)
    began = time.monotonic()
    store = Store(brief.state / "blastwall.db")
    sessions = LocalSessions(store, SystemClock())
    before = brief.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bw\\_%%'")
    gate = asyncio.Semaphore(20)

    async def one(number: int) -> str:
        agent = f"crowd-{number}"
        ending = chance.choice(["leave", "crash", "kill", "lock"])
        async with gate:
            connection = await psycopg.AsyncConnection.connect(
                brief.uri(), password=brief.token(agent), connect_timeout=15, autocommit=True
            )
            await connection.execute("SELECT 1")
            (row,) = [row for row in await sessions.ls() if row.session.principal.agent == agent]
            if ending == "leave":
                await connection.close()
            elif ending == "crash":
                socket.socket(fileno=os.dup(connection.fileno())).shutdown(socket.SHUT_RDWR)
            elif ending == "kill":
                assert await sessions.kill(row.session.id, "enough", "carol")
            else:
                assert await sessions.lock(agent, "enough", "carol") == 1
            connection.pgconn.finish()
        return ending

    async def crowd() -> set[str]:
        return set(await asyncio.gather(*map(one, range(100))))

    async def unclosed() -> int:
        question = "SELECT count(*) FROM leases WHERE state <> 'closed'"
        return int(await store.read(lambda db: db.execute(question).fetchone()[0]))

    async def everything() -> None:
        assert await crowd() == {"leave", "crash", "kill", "lock"}
        deadline = time.monotonic() + 5
        while await unclosed() or brief.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bw\\_%%'") != before:
            assert time.monotonic() < deadline, await unclosed()
            await asyncio.sleep(0.1)

    try:
        asyncio.run(everything())
    finally:
        store.close()
    assert not brief.value("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'bw\\_%%'")
    assert before == 0
    assert time.monotonic() - began < 20
    failed = [line for line in brief.log.splitlines() if " ERROR " in line]
    assert not failed, failed


def test_a_gateway_that_is_killed(brief: Stack, rig_directory: Path) -> None:
    """Nobody is left who knows the password; the next gateway finds the lease, and the database has no login of it."""
    connection = brief.connect(brief.token("orphan"), autocommit=True)
    user = login_of(brief, "orphan")
    gateway = brief.local.gateway
    os.kill(gateway.pid, signal.SIGKILL)
    within(5, lambda: not gateway.running)
    gateway.stop()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    assert brief.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", user) == 1
    began = time.monotonic()
    brief.local.gateway = GatewayProcess(
        brief.config, brief.state, brief.state / "overrides.json", brief.state / "gateway.log"
    ).start()
    within(RECLAIMED, lambda: gone(brief, user))
    assert time.monotonic() - began < 15, "its first look is at its start"
    assert proof(brief, "orphan")["proof"].endswith("the target has no such login")


def test_a_gateway_that_stops_takes_back_what_it_vended(brief: Stack) -> None:
    brief.port = int(brief.local.gateway.listening["postgres"].rpartition(":")[2])
    with brief.connect(brief.token("stopped"), autocommit=True):
        user = login_of(brief, "stopped")
        assert brief.local.gateway.stop() == 0
        assert gone(brief, user)
    proof(brief, "stopped")
