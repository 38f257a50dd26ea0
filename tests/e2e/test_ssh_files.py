"""sftp and scp with OpenSSH's own clients: every operation is judged by what it does and where."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.e2e.hosts import Agent, home
from tests.e2e.people import deciding
from tests.e2e.stacks import Stack


def test_reading_files(agent: Agent, tmp_path: Path) -> None:
    done = agent.sftp("ls notes", f"get notes/numbers.txt {tmp_path}/one", f"get app.log {tmp_path}/two")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one").read_text() == "one\ntwo\nthree\n"
    assert b"notes/numbers.txt" in done.stdout
    assert agent.scp("web@127.0.0.1:notes/numbers.txt", f"{tmp_path}/three").returncode == 0
    assert (tmp_path / "three").read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize("line", ["get .env {place}/got", "rm app.log", "rmdir notes", "get /etc/shadow {place}/got"])
def test_what_may_not_be_done_is_not(agent: Agent, tmp_path: Path, line: str) -> None:
    before = sorted(str(path) for path in home(agent.stack).rglob("*"))
    done = agent.sftp(line.format(place=tmp_path))
    assert done.returncode != 0
    assert b"blastwall: refused" in done.stderr
    assert not (tmp_path / "got").exists()
    assert sorted(str(path) for path in home(agent.stack).rglob("*")) == before


def test_an_upload_waits_for_a_person(hosts: Stack, agent: Agent, tmp_path: Path) -> None:
    content = os.urandom(700_001)
    (tmp_path / "up").write_bytes(content)
    with deciding(hosts, agent.name) as decided:
        done = agent.sftp(f"put {tmp_path}/up uploaded.bin")
    assert done.returncode == 0, done.stderr
    assert decided
    uploaded = home(hosts) / "uploaded.bin"
    assert uploaded.read_bytes() == content
    noted = [v["fields"] for v in hosts.recorded(agent.name) if v["type"] == "happened" and v["name"] == "file"]
    assert [(each["written"], each["sha256"]) for each in noted] == [
        (len(content), hashlib.sha256(content).hexdigest())
    ]
    uploaded.unlink()


def test_a_refused_upload_leaves_nothing(hosts: Stack, agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "up").write_text("x")
    with deciding(hosts, agent.name, "deny"):
        done = agent.scp(f"{tmp_path}/up", "web@127.0.0.1:refused.txt")
    assert done.returncode != 0
    assert not (home(hosts) / "refused.txt").exists()


def test_changing_names_waits_too(hosts: Stack, agent: Agent) -> None:
    (home(hosts) / "notes" / "old.txt").write_text("x")
    with deciding(hosts, agent.name) as decided:
        done = agent.sftp("rename notes/old.txt notes/new.txt", "symlink new.txt notes/link")
    assert done.returncode == 0, done.stderr
    assert len(decided) == 2
    assert (home(hosts) / "notes" / "new.txt").exists()
    for name in ("new.txt", "link"):
        (home(hosts) / "notes" / name).unlink()


def test_a_link_to_a_secret_is_not_made(hosts: Stack, agent: Agent) -> None:
    done = agent.sftp("symlink .env notes/way-in")
    assert b"Secrets are kept" in done.stderr
    assert not (home(hosts) / "notes" / "way-in").is_symlink()


def test_a_large_file_arrives_whole(hosts: Stack, agent: Agent, tmp_path: Path) -> None:
    content = os.urandom(9_000_000)
    (home(hosts) / "large.bin").write_bytes(content)
    try:
        assert agent.sftp(f"get large.bin {tmp_path}/large").returncode == 0
        assert (tmp_path / "large").read_bytes() == content
    finally:
        (home(hosts) / "large.bin").unlink()
