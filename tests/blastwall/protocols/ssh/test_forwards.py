from __future__ import annotations

import asyncio
import os
from pathlib import Path

import asyncssh
import pytest

from blastwall.model import Effect
from blastwall.protocols.ssh.frames import Piece
from tests.blastwall.protocols.ssh.gate import client, gate

ALL = frozenset({Effect.READ, Effect.ADMINISTER})


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    writer.close()


async def test_a_listed_destination_that_policy_permits(tmp_path: Path) -> None:
    payload = os.urandom(200_000)
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with gate(tmp_path, destinations=[f"127.0.0.1:{port}"]) as through:
            through.permits = ALL
            async with client(through) as agent:
                reader, writer = await agent.open_connection("127.0.0.1", port, encoding=None)

                writer.write(payload)
                writer.write_eof()
                assert await reader.read() == payload
            for piece in (Piece.INPUT, Piece.OUTPUT):
                assert b"".join(m.data[1:] for m in through.seen if m.data[0] == piece) == payload


async def test_a_destination_that_policy_refuses_hears_nothing(tmp_path: Path) -> None:
    came = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.close()

    async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with gate(tmp_path, destinations=[f"127.0.0.1:{port}"]) as through, client(through) as agent:
            reader, writer = await agent.open_connection("127.0.0.1", port, encoding=None)
            assert await reader.read() == b""
            writer.close()
        assert not came.is_set()


async def test_what_is_not_listed_does_not_open(tmp_path: Path) -> None:
    async with gate(tmp_path, destinations=["10.0.0.5:5432"]) as through:
        through.permits = ALL
        async with client(through) as agent:
            early, _ = await agent.open_connection("10.0.0.5", 5433, encoding=None)
            assert await early.read() == b""
            assert (await agent.run("uptime")).exit_status == 3
            with pytest.raises(asyncssh.ChannelOpenError):
                await agent.open_connection("10.0.0.5", 5433)
            assert not [masked for masked in through.seen if masked.statement != through.seen[-1].statement]
