from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from blastwall.model import Denial, DenialCode
from blastwall.protocols.ssh import farewell
from blastwall.protocols.ssh.farewell import Farewell
from tests.blastwall.protocols.ssh.gate import client, gate

ENDED = Denial(DenialCode.IDENTITY, "the session was ended by an operator", "Connect again with a new token.")


async def test_who_is_refused_after_the_login_is_told_where_it_asks(tmp_path: Path) -> None:
    """Also when the refusal is long decided before the client opens its channel."""
    async with gate(tmp_path) as through:
        through.refusal = ENDED
        async with client(through) as agent:
            await asyncio.sleep(0.05)  # now a disconnect would have come before the channel
            done = await agent.run("uptime")
            assert done.exit_status == 77
            assert "ended by an operator" in str(done.stderr)
            await asyncio.wait_for(agent.wait_closed(), 10)


async def test_who_asks_for_files_is_told_there(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        through.refusal = ENDED
        async with client(through) as agent:
            opened, _ = await agent.create_session(asyncssh.SSHClientSession, subsystem="sftp", encoding=None)
            await asyncio.wait_for(opened.wait_closed(), 10)
            assert opened.get_exit_status() == 77


async def test_who_asks_for_nothing_is_disconnected_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(farewell, "ASKING_SECONDS", 0.05)
    caplog.set_level(logging.INFO, "asyncssh")
    async with gate(tmp_path) as through:
        through.refusal = ENDED
        async with client(through) as agent:
            await asyncio.wait_for(agent.wait_closed(), 10)
    assert [line for line in caplog.messages if "Sending disconnect" in line and "ended by an operator" in line]


@dataclass(eq=False)
class _Session:
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[Denial] = field(default_factory=list)

    @property
    def channel(self) -> _Session:
        return self

    async def wait_closed(self) -> None:
        await self.closed.wait()

    def refuse(self, denial: Denial) -> None:
        self.told.append(denial)
        self.closed.set()


async def test_all_are_told_and_late_ones_too() -> None:
    ending, gone = Farewell(), asyncio.Event()
    sessions = [_Session(), _Session()]
    assert all(ending.enter(session) for session in sessions)
    assert len(ending) == 2
    ending.leave(sessions[1])
    await asyncio.wait_for(ending.say(ENDED, gone), 10)
    assert (sessions[0].told, sessions[1].told) == ([ENDED], [])
    late = _Session()
    assert not ending.enter(late)
    assert late.told == [ENDED]


async def test_nobody_waits_for_a_client_that_left() -> None:
    gone = asyncio.Event()
    gone.set()
    await asyncio.wait_for(Farewell().say(ENDED, gone), farewell.ASKING_SECONDS / 2)
