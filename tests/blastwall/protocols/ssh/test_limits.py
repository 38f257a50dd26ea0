"""What the library would keep for a client without a limit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
from asyncssh.channel import SSHClientChannel, SSHServerChannel
from asyncssh.packet import SSHPacket, String
from asyncssh.stream import SSHServerStreamSession

import blastwall.protocols.ssh.conversation  # noqa: F401  it installs the limits
from blastwall.protocols.ssh import limits
from tests.blastwall.protocols.ssh.gate import client, gate


async def test_channels_that_ask_for_nothing_end_somewhere(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:

        async def open_() -> None:
            loop = asyncio.get_running_loop()
            channel: SSHClientChannel[bytes] = SSHClientChannel(agent, loop, "strict", None, "", 1 << 20, 1 << 15)
            await channel._open(b"session")

        for _ in range(limits.MOST_OPEN):
            await open_()
        with pytest.raises(asyncssh.ChannelOpenError, match="open already") as refused:
            await open_()
        assert refused.value.code == asyncssh.OPEN_RESOURCE_SHORTAGE


def test_few_and_short_variables_are_kept() -> None:
    channel = SimpleNamespace(_env={}, logger=SimpleNamespace(debug1=lambda *_: None))

    def ask(name: str, value: str) -> Any:
        return SSHServerChannel._process_env_request(channel, SSHPacket(String(name) + String(value)))  # type: ignore[arg-type]

    assert ask("LANG", "C")
    assert not ask("LC_LONG", "x" * limits.LONGEST_VARIABLE)
    assert [ask(f"LC_{number}", "C") for number in range(limits.MOST_VARIABLES)].count(
        True
    ) == limits.MOST_VARIABLES - 1
    assert len(channel._env) == limits.MOST_VARIABLES
    assert channel._env[b"LANG"] == b"C"


def test_sizes_and_signals_that_nobody_reads_are_few() -> None:
    session: Any = SSHServerStreamSession(None, None, 3, False)
    for width in range(limits.MOST_WAITING * 2):
        session.terminal_size_changed(width, 24, 0, 0)
    assert [each.width for each in session._recv_buf[None]] == [limits.MOST_WAITING * 2 - 1], "the last counts"
    for width in range(limits.MOST_WAITING):
        session.signal_received("USR1")
        session.terminal_size_changed(width, 24, 0, 0)
    assert len(session._recv_buf[None]) == limits.MOST_WAITING


async def test_variables_within_the_limit_reach_the_command(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        done = await agent.run("cat", env={"LANG": "C", "LC_LONG": "x" * 1000}, input="in")
        assert done.stdout == "in"
