from __future__ import annotations

import asyncio
from pathlib import Path

import asyncssh
import pytest

from blastwall.model import Denial, DenialCode
from tests.blastwall.protocols.ssh.gate import client, gate


async def test_two_commands_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        waiting = await agent.create_process("cat", encoding=None)
        assert (await agent.run("uptime")).exit_status == 3
        waiting.stdin.write(b"x")
        waiting.stdin.write_eof()
        assert await waiting.stdout.read() == b"x"


async def test_more_channels_than_allowed_are_refused(tmp_path: Path) -> None:
    async with gate(tmp_path, most_channels=2) as through, client(through) as agent:
        held = [await agent.create_process("cat") for _ in range(2)]
        await asyncio.sleep(0.05)
        done = await agent.run("uptime")
        assert done.exit_status == 69
        assert "2 channels" in str(done.stderr)
        for process in held:
            process.stdin.write_eof()


async def test_other_subsystems_and_forwarding_are_not_served(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        assert (await agent.run("uptime")).exit_status == 3
        done = await agent.run(subsystem="netconf")
        assert done.exit_status == 126
        for opening in (
            agent.open_connection("127.0.0.1", 22),
            agent.open_unix_connection("/run/docker.sock"),
        ):
            with pytest.raises(asyncssh.ChannelOpenError):
                await opening
        with pytest.raises(asyncssh.ChannelListenError):
            await agent.start_server(lambda *_: None, "127.0.0.1", 0)
        assert (await agent.run("uptime")).exit_status == 3


async def test_the_host_may_vanish(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        try:
            assert (await agent.run("who")).exit_status == 255
        except (asyncssh.Error, OSError):
            pass  # the connection ended before the command could
        await asyncio.wait_for(agent.wait_closed(), 10)


async def test_the_end_says_why(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        process = await agent.create_process("cat", encoding=None)
        process.stdin.write(b"x")
        assert await process.stdout.read(1) == b"x"
        await through.conversations[0].close(Denial(DenialCode.IDENTITY, "somebody ended it"))
        assert b"somebody ended it" in await process.stderr.read()
