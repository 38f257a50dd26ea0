"""Other clients than ssh itself: git, a shared connection, and what Ansible's ssh plugin sends."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig import account
from tests.e2e.hosts import Agent, home
from tests.e2e.people import deciding
from tests.e2e.stacks import Stack


@pytest.fixture
def ansible(agent: Agent, tmp_path: Path) -> Iterator[list[str]]:
    """The command line of ansible-core 2.19's ssh plugin up to the line it runs, as -vvvv shows it.

    One connection serves all tasks for a minute; the raw module has a terminal, the others' first line has none.
    """
    control = ["-o", f"ControlPath={tmp_path}/cp"]
    options = ["-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", f"Port={agent.stack.port}"]
    options += ["-o", "KbdInteractiveAuthentication=no"]
    options += ["-o", "PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey"]
    options += ["-o", "PasswordAuthentication=no", "-o", 'User="web"', "-o", "ConnectTimeout=10", *agent.options]
    yield ["ssh", *options, *control, "-o", "NumberOfPasswordPrompts=1"]
    agent.run(["ssh", *control, *agent.options, "-O", "exit", "127.0.0.1"])


def test_ansibles_raw_module_runs_what_is_judged(hosts: Stack, agent: Agent, ansible: list[str]) -> None:
    done = agent.run([*ansible, "-tt", "127.0.0.1", "cat notes/numbers.txt | sort"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [b"one", b"three", b"two"]
    refused = agent.run([*ansible, "-tt", "127.0.0.1", "rm -rf notes"])
    assert refused.returncode == 126
    assert b"blastwall: refused" in refused.stdout + refused.stderr
    assert len(hosts.recordings(agent.name)) == 1, "both went over one connection"


def test_ansibles_modules_that_bring_programs_do_not_run(agent: Agent, ansible: list[str]) -> None:
    asked = agent.run([*ansible, "127.0.0.1", "/bin/sh -c 'echo ~ && sleep 0'"])
    assert (asked.returncode, asked.stdout[:1]) == (0, b"/"), "it asks for the home directory, which is harmless"
    for line in (
        '/bin/sh -c \'( umask 77 && mkdir -p "` echo ~/.ansible/tmp `"&& mkdir "` echo ~/.ansible/tmp/x `" && echo x )\'',
        "/bin/sh -c '/usr/bin/python3 && sleep 0'",
    ):
        done = agent.run([*ansible, "127.0.0.1", line])
        assert done.returncode == 126
        assert b"blastwall: refused" in done.stderr
    assert not (home(agent.stack) / ".ansible").exists()


def git(agent: Agent, *words: str, where: Path) -> subprocess.CompletedProcess[bytes]:
    """Stock git, with the agent's ssh."""
    command = " ".join(["ssh", *agent.options, "-p", str(agent.stack.port)])
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(where),
        "GIT_SSH_COMMAND": command,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    return subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *words],
        cwd=where,
        env=environment,
        capture_output=True,
        timeout=40,
        check=False,
    )


@pytest.fixture
def repository(hosts: Stack, agent: Agent, tmp_path: Path) -> Iterator[str]:
    """A bare repository in the host's home directory, with one commit."""
    work = tmp_path / "work"
    work.mkdir()
    name = f"{agent.name}.git"
    there = home(hosts) / name
    for words in (
        ["init", "-q"],
        ["commit", "-q", "--allow-empty", "-m", "first"],
        ["clone", "-q", "--bare", ".", str(there)],
    ):
        done = git(agent, *words, where=work)
        assert done.returncode == 0, done.stderr
    owner = account.unprivileged()
    if owner is not None:
        for path in (there, *there.rglob("*")):
            shutil.chown(path, owner.uid, owner.gid)
    yield name
    shutil.rmtree(there)


def test_git_fetches_by_policy_and_pushes_when_a_person_agrees(
    hosts: Stack, agent: Agent, repository: str, tmp_path: Path
) -> None:
    done = git(agent, "clone", "-q", f"web@127.0.0.1:{repository}", "copy", where=tmp_path)
    assert done.returncode == 0, done.stderr
    copy = tmp_path / "copy"
    assert git(agent, "log", "--format=%s", where=copy).stdout == b"first\n"
    assert git(agent, "commit", "-q", "--allow-empty", "-m", "second", where=copy).returncode == 0
    with deciding(hosts, agent.name):
        pushed = git(agent, "push", "-q", "origin", "main", where=copy)
    assert pushed.returncode == 0, pushed.stderr
    (head,) = (home(hosts) / repository / "refs" / "heads").iterdir()
    assert head.read_text() == git(agent, "rev-parse", "HEAD", where=copy).stdout.decode()
    asked = {each["text"]: each["effect"] for each in hosts.asked(agent.name) if each["kind"] == "execute"}
    assert asked == {f"exec: git-upload-pack '{repository}'": "read", f"exec: git-receive-pack '{repository}'": "write"}


def test_a_push_that_a_person_refuses_changes_nothing(
    hosts: Stack, agent: Agent, repository: str, tmp_path: Path
) -> None:
    assert git(agent, "clone", "-q", f"web@127.0.0.1:{repository}", "copy", where=tmp_path).returncode == 0
    copy = tmp_path / "copy"
    assert git(agent, "commit", "-q", "--allow-empty", "-m", "second", where=copy).returncode == 0
    with deciding(hosts, agent.name, "deny", "--note", "not on a Friday"):
        pushed = git(agent, "push", "-q", "origin", "main", where=copy)
    assert pushed.returncode != 0
    assert b"not on a Friday" in pushed.stderr
    assert (
        git(agent, "ls-remote", "origin", "main", where=copy).stdout.split()[0]
        != git(agent, "rev-parse", "HEAD", where=copy).stdout.strip()
    )


def test_a_command_that_closed_its_outputs_takes_its_input(agent: Agent) -> None:
    done = agent.ssh("wc -c >/dev/null 2>&1", stdin=bytes(5_000_000))
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
