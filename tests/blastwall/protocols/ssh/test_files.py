from __future__ import annotations

import asyncio
from pathlib import Path

import asyncssh
import pytest

from blastwall.model import Effect
from tests.blastwall.protocols.ssh.gate import client, gate


async def test_files_are_judged_one_by_one(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        (tmp_path / "files" / "a.txt").write_bytes(b"content" * 40_000)
        async with agent.start_sftp_client() as files:
            assert "a.txt" in await files.listdir("/")
            async with files.open("/a.txt", "rb") as file:
                assert await file.read() == b"content" * 40_000
            assert (await files.stat("/a.txt")).size == 280_000
            for refused in (
                files.remove("/a.txt"),
                files.rename("/a.txt", "/b.txt"),
                files.mkdir("/d"),
                files.setstat("/a.txt", asyncssh.SFTPAttrs(permissions=0)),
                files.symlink("/a.txt", "/l"),
                files.open("/new", "wb"),
            ):
                with pytest.raises(asyncssh.SFTPPermissionDenied, match="blastwall"):
                    await refused
        assert [file.name for file in (tmp_path / "files").iterdir()] == ["a.txt"]


async def test_files_open_at_the_same_time(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        through.permits = frozenset({Effect.READ, Effect.WRITE})
        async with client(through) as agent, agent.start_sftp_client() as files:
            async with files.open("/one", "wb") as one, files.open("/two", "wb") as two:
                await asyncio.gather(one.write(b"1" * 100_000), two.write(b"2" * 100_000))
            assert (tmp_path / "files" / "one").read_bytes() == b"1" * 100_000
            assert (tmp_path / "files" / "two").read_bytes() == b"2" * 100_000
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await files.open("/missing", "rb")
        assert through.notes.count("file") == 2


async def test_a_listing_that_is_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies the difference of two listings would remove what was left out."""
    monkeypatch.setattr("blastwall.protocols.ssh.files.MOST_NAMES", 300)
    async with gate(tmp_path) as through, client(through) as agent:
        for number in range(300):
            (tmp_path / "files" / f"{number}").touch()
        async with agent.start_sftp_client() as files:
            with pytest.raises(asyncssh.SFTPFailure, match="only the first 300 names"):
                await files.listdir("/")  # with . and .. there are two more
            (tmp_path / "files" / "0").unlink()
            (tmp_path / "files" / "1").unlink()
            assert len(await files.listdir("/")) == 300
