from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from blastwall.model import Effect, Masked
from blastwall.protocols.ssh.frames import Piece, unpack
from blastwall.protocols.ssh.operations import AHEAD_BYTES
from tests.blastwall.protocols.ssh.gate import Gate, client, gate


def recorded(through: Gate, *pieces: Piece) -> bytes:
    return b"".join(data for piece, data in map(_unpacked, through.seen) if piece in pieces)


def _unpacked(masked: Masked) -> tuple[Piece, bytes]:
    return unpack(masked.data)


def files_noted(through: Gate) -> list[Mapping[str, Any]]:
    return [fields for name, fields in through.told if name == "file"]


async def test_content_is_recorded_up_to_the_limit_and_passes_whole(tmp_path: Path) -> None:
    content = os.urandom(400_000)
    limits = {"recorded_file_bytes": 100_000, "recorded_session_bytes": 1_000_000}
    async with gate(tmp_path, **limits) as through:
        through.permits = frozenset({Effect.READ, Effect.WRITE})
        (tmp_path / "files" / "a").write_bytes(content)
        async with client(through) as agent, agent.start_sftp_client() as files:
            async with files.open("/a", "rb", block_size=32_768) as file:
                assert await file.read() == content
            kept = recorded(through, Piece.OUTPUT)
            assert content.startswith(kept[:65_536]) and 65_536 <= len(kept) <= 100_000
            async with files.open("/b", "wb", block_size=32_768, max_requests=1) as file:
                await file.write(content)
        assert (tmp_path / "files" / "b").read_bytes() == content
        assert len(recorded(through, Piece.INPUT)) <= 100_000
    read, wrote = files_noted(through)
    digest = hashlib.sha256(content).hexdigest()
    assert (read["read"], read["sha256"], read["in_order"]) == (400_000, digest, True)
    assert read["unrecorded"] == 400_000 - len(kept)
    assert (wrote["written"], wrote["sha256"]) == (400_000, digest)


async def test_the_session_has_a_limit_too(tmp_path: Path) -> None:
    async with gate(tmp_path, recorded_session_bytes=50_000) as through:
        (tmp_path / "files" / "a").write_bytes(b"x" * 30_000)
        async with client(through) as agent, agent.start_sftp_client() as files:
            for _ in range(3):
                async with files.open("/a", "rb") as file:
                    assert len(await file.read()) == 30_000
    assert [each["unrecorded"] for each in files_noted(through)] == [0, 30_000, 30_000]
    assert len(recorded(through, Piece.OUTPUT)) == 30_000


async def test_reads_are_asked_ahead_of_their_turn_and_answered_in_it(tmp_path: Path) -> None:
    content = os.urandom(AHEAD_BYTES * 2)
    async with gate(tmp_path) as through:
        (tmp_path / "files" / "a").write_bytes(content)
        async with client(through) as agent, agent.start_sftp_client() as files:
            file = await files.open("/a", "rb", block_size=0)
            wanted = range(0, len(content), 65_536)
            parts = await asyncio.gather(*(file.read(65_536, offset) for offset in reversed(wanted)))
            assert b"".join(reversed(parts)) == content
            await file.close()
    (noted,) = files_noted(through)
    assert noted["in_order"] is False
    assert noted["read"] == len(content)


async def test_a_read_sees_the_write_before_it(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        through.permits = frozenset({Effect.READ, Effect.WRITE})
        async with client(through) as agent, agent.start_sftp_client() as files:
            file = await files.open("/a", "w+b")
            for turn in range(20):
                word = b"%04d" % turn
                _, seen = await asyncio.gather(file.write(word, 0), file.read(4, 0))
                assert seen == word
            await file.close()


async def test_reads_that_fail_on_the_host_are_told(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        (tmp_path / "files" / "d").mkdir()
        async with client(through) as agent, agent.start_sftp_client() as files:
            with pytest.raises(asyncssh.SFTPError):
                async with files.open("/d", "rb") as file:
                    await file.read()
            assert (await files.stat("/d")).permissions


async def test_a_client_that_leaves_amid_its_reads_leaves_nothing_behind(tmp_path: Path) -> None:
    failed: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    async with gate(tmp_path) as through:
        (tmp_path / "files" / "a").write_bytes(bytes(3_000_000))
        async with client(through) as agent:
            files = await agent.start_sftp_client()
            file = await files.open("/a", "rb", block_size=0)
            reads = [asyncio.ensure_future(file.read(32_768, offset)) for offset in range(0, 3_000_000, 32_768)]
            await reads[0]
            agent.abort()
            await asyncio.gather(*reads, return_exceptions=True)
    assert failed == []
