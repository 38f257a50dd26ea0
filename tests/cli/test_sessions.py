"""``blastwall sessions``: what operators see and do, through the command line as they type it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time

import pytest

from blastwall.credentials.lease import Lease
from blastwall.errors import TokenFault
from blastwall.local.clock import SystemClock
from blastwall.local.leases import LocalLeases
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import Principal, Target
from cli.__main__ import run

TARGET = Target("shop", "postgres", "127.0.0.1", 5432)


class Gateway:
    """What the gateway does with sessions, in the same state directory."""

    def __init__(self, state) -> None:
        self.state = state
        self.numbers = itertools.count(1)

    def do(self, work):
        async def inside():
            store = Store(self.state / "blastwall.db")
            try:
                return await work(LocalSessions(store, SystemClock()))
            finally:
                store.close()

        return asyncio.run(inside())

    def open(self, agent: str = "reporter", break_glass: str | None = None):
        principal = Principal(
            "https://idp",
            agent,
            agent,
            frozenset({"agents"}),
            "alice",
            f"token-{agent}",
            time.time(),
            time.time() + 3600,
        )

        async def work(sessions):
            session = await sessions.open(principal, TARGET, break_glass)
            await sessions.attach(session, f"c-{next(self.numbers)}")
            return session

        return self.do(work)


@pytest.fixture
def gateway(tmp_path):
    return Gateway(tmp_path)


def call(gateway, *arguments: str) -> int:
    return run(["sessions", *arguments, "--state", str(gateway.state)])


def test_the_list_shows_live_sessions(gateway, capsys):
    session = gateway.open()
    assert call(gateway, "ls", "--format", "json") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["id"], row["principal"]["agent"], row["connections"]) == (session.id, "reporter", ["c-1"])
    assert call(gateway, "ls") == 0
    assert session.id in capsys.readouterr().out


def test_killing_ends_the_session_and_says_why(gateway, capsys):
    session = gateway.open()
    assert call(gateway, "kill", session.id, "--reason", "runaway loop") == 0
    capsys.readouterr()
    assert call(gateway, "show", session.id) == 0
    assert "runaway loop" in capsys.readouterr().out
    assert call(gateway, "ls", "--format", "json") == 0
    assert capsys.readouterr().out == ""
    assert call(gateway, "ls", "--all", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["reason"].endswith("runaway loop")
    with pytest.raises(TokenFault, match="runaway loop"):
        gateway.open()


@pytest.mark.parametrize("verb", ["kill", "show"])
def test_an_unknown_session_is_a_no_that_says_where_to_look(gateway, capsys, verb):
    gateway.open()
    assert call(gateway, verb, "s-\x1b[2Jnone") == 1
    captured = capsys.readouterr()
    assert "sessions ls --all" in captured.err
    assert "\x1b" not in captured.err


def test_killing_twice_is_a_no(gateway):
    session = gateway.open()
    assert call(gateway, "kill", session.id) == 0
    assert call(gateway, "kill", session.id) == 1


def test_an_agent_is_locked_and_unlocked(gateway, capsys):
    gateway.open()
    gateway.open("writer")
    assert call(gateway, "lock", "reporter", "--reason", "leaked key") == 0
    assert "1 session ended" in capsys.readouterr().out
    with pytest.raises(TokenFault, match="leaked key"):
        gateway.open()
    assert gateway.open("writer").principal.agent == "writer"
    assert call(gateway, "unlock", "reporter") == 0
    assert call(gateway, "unlock", "reporter") == 1
    assert gateway.open().principal.agent == "reporter"


def test_nobody_is_locked_by_no_name(gateway, capsys):
    assert call(gateway, "lock", " ") == 2
    assert "name the agent" in capsys.readouterr().err


def test_a_reason_cannot_imitate_another_table(gateway, capsys):
    session = gateway.open(break_glass="f\u0456re")
    assert call(gateway, "show", session.id) == 0
    assert "f⟨U+0456⟩re" in capsys.readouterr().out


def test_a_state_directory_that_was_never_used_says_so_and_stays_unmade(tmp_path, capsys):
    assert run(["sessions", "ls", "--state", str(tmp_path / "none")]) == 4
    assert "blastwall up" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_session_shows_its_credentials_and_what_became_of_them(gateway, capsys):
    session = gateway.open()
    now = time.time()
    leases = [
        Lease(session.id, id, "shop", "role", "app", "here", now, now + 60)
        for id in ("bw_s_a", "bw_s_a__2", "bw_s_a__3")
    ]

    async def keep(store):
        kept = LocalLeases(store)
        for lease in leases:
            await kept.write(lease)
        await kept.claim(leases[1], now)
        await kept.retry(leases[1], now, "the target is away")
        await kept.close(leases[2], now, "the target refuses it 0.05 s after the end")

    async def inside():
        store = Store(gateway.state / "blastwall.db")
        try:
            await keep(store)
        finally:
            store.close()

    asyncio.run(inside())
    assert call(gateway, "show", session.id) == 0
    shown = capsys.readouterr().out
    assert "bw_s_a until 20" in shown
    assert "being taken back (the target is away)" in shown
    assert "bw_s_a__3, dead: the target refuses it 0.05 s after the end" in shown
    assert call(gateway, "show", session.id, "--format", "json") == 0
    assert [lease["state"] for lease in json.loads(capsys.readouterr().out)["credentials"]] == [
        "open",
        "ending",
        "closed",
    ]
