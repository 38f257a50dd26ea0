"""What a client may do beside the judged way, by SFTP: to files that it has open, and to the gateway's own view of links."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import paramiko
import pytest

from tests.e2e.hosts import Agent, home
from tests.e2e.people import deciding, requests
from tests.e2e.stacks import Stack


@contextlib.contextmanager
def files(stack: Stack, name: str) -> Iterator[tuple[paramiko.SSHClient, paramiko.SFTPClient]]:
    """An agent of that name with paramiko, and its SFTP."""
    token = stack.token(name)
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            stack.host, stack.port, username="web", password=token, look_for_keys=False, allow_agent=False, timeout=30
        )
        with client.open_sftp() as sftp:
            yield client, sftp


def test_a_file_that_is_open_for_reading_cannot_be_changed(hosts: Stack) -> None:
    path = home(hosts) / "app.log"
    before = path.stat()
    with files(hosts, "reader-1") as (_, sftp), sftp.open("app.log", "r") as file:
        for change in (lambda: file.chmod(0o666), lambda: file.utime((1, 1)), lambda: file.truncate(0)):
            with pytest.raises(OSError, match="blastwall"):
                change()
        assert file.stat().st_size == before.st_size
    after = path.stat()
    assert (after.st_mode, after.st_mtime, after.st_size) == (before.st_mode, before.st_mtime, before.st_size)


@pytest.mark.parametrize("path", [b"a\0b", b"x" * 300_000], ids=["nul", "long"])
def test_no_path_blinds_the_gateway_to_links(hosts: Stack, path: bytes) -> None:
    link = home(hosts) / "plain"
    link.unlink(missing_ok=True)
    link.symlink_to(".env")
    try:
        with files(hosts, f"blinder-{len(path)}") as (client, sftp):
            with pytest.raises((OSError, EOFError)):
                sftp.stat(path)
            _, out, err = client.exec_command("cat plain", timeout=30)
            assert b"planted-secret" not in out.read()
            assert b"Secrets are kept" in err.read()
    finally:
        link.unlink()


def test_an_approver_sees_what_is_set_and_emptying_is_no_setting(hosts: Stack, agent: Agent) -> None:
    path = home(hosts) / "app.log"
    before = path.stat()
    with deciding(hosts, agent.name):
        assert agent.sftp("chmod 600 app.log").returncode == 0
    (asked,) = requests(hosts, agent.name)
    assert asked.request.statement.text == f"sftp: setstat {path.resolve()} mode=0600"
    assert path.stat().st_mode & 0o7777 == 0o600
    path.chmod(before.st_mode & 0o7777)
    assert b"owner's rights" in agent.sftp("chmod 4755 app.log").stderr
    with files(hosts, "emptier-1") as (_, sftp), pytest.raises(OSError, match="blastwall"):
        sftp.truncate("app.log", 0)
    assert path.stat().st_size == before.st_size


def test_an_upload_that_keeps_times_and_rights_is_one_question(hosts: Stack, agent: Agent) -> None:
    (agent.directory / "up").write_text("kept")
    (agent.directory / "up").chmod(0o640)
    with deciding(hosts, agent.name) as decided:
        assert agent.scp("-p", f"{agent.directory}/up", "web@127.0.0.1:kept.txt").returncode == 0
    assert len(decided) == 1
    kept = home(hosts) / "kept.txt"
    assert kept.stat().st_mode & 0o7777 == 0o640
    assert abs(kept.stat().st_mtime - (agent.directory / "up").stat().st_mtime) < 2
    noted = [v["fields"] for v in hosts.recorded(agent.name) if v["type"] == "happened" and v["name"] == "file"]
    assert any("mode=0640" in each["settings"] for each in noted)
    kept.unlink()
