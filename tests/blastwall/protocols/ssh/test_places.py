from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from blastwall.model import Effect
from blastwall.protocols.ssh import conversation
from blastwall.protocols.ssh.places import Places, Unplaced
from tests.blastwall.protocols.ssh.gate import client, gate


@asynccontextmanager
async def host(root: Path) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to a host that serves the files below a directory."""
    key = asyncssh.generate_private_key("ssh-ed25519")

    class Open(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

    def serve(chan: Any) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(chan, chroot=os.fsencode(root))

    async with (
        await asyncssh.listen("127.0.0.1", 0, server_factory=Open, server_host_keys=[key], sftp_factory=serve) as box,
        asyncssh.connect(
            "127.0.0.1", box.get_port(), username="a", known_hosts=None, config=None, agent_path=None
        ) as connection,
    ):
        yield connection


async def test_links_are_seen_through_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "odd\udcff").symlink_to("real")
    async with host(tmp_path) as connection:
        places = Places(lambda: connection.start_sftp_client(path_encoding=None))
        found = await places.resolve(
            {"/link": b"/link", "/link/new": b"/link/new", r"/odd\xff": b"/odd\xff", "/no/new": b"/no/new"}
        )
    assert found == {"/link": "~/real", "/link/new": "~/real/new", r"/odd\xff": "~/real", "/no/new": "~/no/new"}


async def test_a_client_that_has_ended_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a")
    async with host(tmp_path) as connection:
        started: list[asyncssh.SFTPClient] = []

        async def start() -> asyncssh.SFTPClient:
            started.append(await connection.start_sftp_client(path_encoding=None))
            return started[-1]

        places = Places(start)
        for _ in range(2):
            assert await places.resolve({"/link": b"/link"}) == {"/link": "~/a"}
            started[-1].exit()
            await started[-1].wait_closed()
        assert len(started) == 2


async def test_a_host_that_does_not_say_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with host(tmp_path) as connection:
        places = Places(lambda: connection.start_sftp_client(path_encoding=None))
        await places.client()
        connection.abort()
        with pytest.raises(Unplaced, match="does not say"):
            await places.resolve({"/link": b"/link"})

    async def never() -> asyncssh.SFTPClient:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("blastwall.protocols.ssh.places.RESOLVE_SECONDS", 0.05)
    with pytest.raises(Unplaced, match="within"):
        await Places(never).resolve({"a": b"a"})


async def test_what_is_not_placed_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(self: Places, named: object) -> None:
        raise Unplaced("it is silent")

    async with gate(tmp_path) as through, client(through) as agent:
        (tmp_path / "files" / "a").write_bytes(b"x")
        assert (await agent.run("cat /a", input="y")).exit_status == 0
        monkeypatch.setattr(Places, "resolve", silent)
        done = await agent.run("cat /a")
        assert (done.exit_status, str(done.stdout)) == (126, "")
        assert "it is silent" in str(done.stderr)
        async with agent.start_sftp_client() as files:
            with pytest.raises(asyncssh.SFTPPermissionDenied, match="silent"):
                await files.open("/a", "rb")
        assert (await agent.run("uptime")).exit_status == 3, "what names no path needs no answer"


async def test_what_leads_elsewhere_after_it_waited_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "FRESH_SECONDS", 0.0)
    link = tmp_path / "files" / "link"
    async with gate(tmp_path) as through:
        (tmp_path / "files" / "good").write_bytes(b"good")
        (tmp_path / "files" / "bad").write_bytes(b"bad")
        run = through._run

        async def slow(conversation: object, exchange: object) -> None:
            link.unlink()
            link.symlink_to("bad")  # while a person thinks about it
            await run(conversation, exchange)  # type: ignore[arg-type]  # passed on as they came

        through.permits = frozenset({Effect.READ, Effect.WRITE})
        async with client(through) as agent, agent.start_sftp_client() as files:
            link.symlink_to("good")
            async with files.open("/link", "rb") as file:
                content: object = await file.read()
                assert content == b"good"
            monkeypatch.setattr(through, "_run", slow)
            done = await agent.run("cat /link", input="never read")
            assert (done.exit_status, str(done.stdout)) == (126, "")
            assert "leads elsewhere by now" in str(done.stderr)
            for attempt in (files.open("/link", "rb"), files.setstat("/link", asyncssh.SFTPAttrs())):
                link.unlink()
                link.symlink_to("good")
                with pytest.raises(asyncssh.SFTPPermissionDenied, match="leads elsewhere"):
                    await attempt
