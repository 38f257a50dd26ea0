"""``blastwall up`` as a person runs it: what it prints, how it stops, what it says when a part dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import up
from rig import account
from rig.hosts import SshKeys
from rig.running import Running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def state(rig_directory: Path) -> Iterator[Path]:
    yield rig_directory / "cli-up"
    account.remove_tree(rig_directory / "cli-up")


def start(state: Path, *arguments: str, config: Path = ROOT / "config") -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "cli",
        "up",
        "--config",
        str(config),
        "--state",
        str(state),
        "--port",
        "0",
        *arguments,
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def process(state: Path) -> Iterator[subprocess.Popen[str]]:
    started = start(state)
    yield started
    if started.poll() is None:
        started.terminate()
    started.communicate(timeout=60)


def read_until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ready:"):
            return "".join(lines)
    assert process.stderr is not None
    raise AssertionError(f"never ready: {''.join(lines)}{process.stderr.read()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_how_to_connect_and_stops_cleanly(process: subprocess.Popen[str], state: Path, number: int) -> None:
    text = read_until_ready(process)
    for client in ("psql", "psycopg", "SQLAlchemy", "JDBC", "node-postgres"):
        assert f"\n  {client} " in text
    assert "sslmode=verify-full" in text
    assert f"blastwall connect --state {state} shop" in text
    server = int((state / "targets" / "shop" / "server.pid").read_text())
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (0, "stopped\n", "")
    assert not Path(f"/proc/{server}").exists()
    assert not (state / "running.json").exists()


def test_a_part_that_dies_is_named_and_the_rest_is_stopped(process: subprocess.Popen[str], state: Path) -> None:
    read_until_ready(process)
    server = int((state / "targets" / "shop" / "server.pid").read_text())
    os.kill(server, signal.SIGQUIT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 3
    assert error.startswith("blastwall: target shop stopped by itself")
    assert "Traceback" not in error


def test_an_interrupted_start_leaves_nothing(state: Path) -> None:
    lock = state / "up.lock"
    lock.unlink(missing_ok=True)
    process = start(state)
    while not lock.exists():
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert out.endswith("stopped\n")
    pid_file = state / "targets" / "shop" / "server.pid"
    assert not pid_file.exists() or not Path(f"/proc/{pid_file.read_text()}").exists()
    assert not (state / "running.json").exists()


def test_a_wrong_configuration_is_2_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("version: 1\nspeling: true\n")
    process = start(tmp_path / "state", config=tmp_path)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "gateway.yaml:2: unknown key 'speling'" in error
    assert "Traceback" not in error


def test_port_and_listen_exclude_each_other(state: Path) -> None:
    process = start(state, "--listen", "127.0.0.1:1")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--listen or --port" in error


def test_the_default_state_needs_no_option() -> None:
    running = Running(
        1, "", {"postgres": "127.0.0.1:7432"}, "/ca.pem", {"shop": {"protocol": "postgres", "database": "d"}}
    )
    text = up.announcement(running, Path(".state"))
    assert "blastwall connect shop" in text
    assert "blastwall token --agent my-agent --group agents)" in text
    assert "--state 'my state' --agent" in up.announcement(running, Path("my state"))


def test_hosts_are_not_told_of_with_a_databases_password(tmp_path: Path) -> None:
    SshKeys.ensure(tmp_path / "ssh")
    running = Running(1, "", {"ssh": "127.0.0.1:7422"}, "/ca.pem", {"web": {"protocol": "ssh", "database": ""}})
    text = up.announcement(running, tmp_path)
    assert "PGPASSWORD" not in text
    assert f"blastwall ssh login --state {tmp_path} && blastwall ssh config --state {tmp_path} >> ~/.ssh/config" in text


def test_an_address_that_is_none_starts_nothing(tmp_path: Path) -> None:
    found = CliRunner().invoke(up.command, ["--state", str(tmp_path / "state"), "--listen", "127.0.0.1:99999"])
    assert found.exit_code == 2
    assert "--listen" in found.output and "HOST:PORT" in found.output
    assert not (tmp_path / "state").exists()


def test_the_emulated_account_chooses_its_own_port(state: Path) -> None:
    process = start(state, "--cloud")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "--cloud listens where it finds a free port" in said


def test_what_becomes_of_a_changed_configuration_is_told_here(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text("2026-01-01 00:00:00,000 ERROR blastwall.watch the new configuration is invalid: long ago\n")
    news = up._News(log)
    assert news.take() == []
    with log.open("a") as file:
        file.write(
            "2026-01-01 00:00:01,000 ERROR blastwall.watch the new configuration is invalid, so the old one stays:\n"
        )
        file.write(
            "config/policies/a.cedar:3: not a Cedar policy: \x1b[31minvalid token\n2026-01-01 00:00:02,000 INFO bla"
        )
        file.flush()
        first = news.take()
        file.write("stwall.gateway client fault: odd\nits second line\n")
        file.write("2026-01-01 00:00:03,000 INFO blastwall.watch the new configuration is in force\n")
    assert first[0] == "the new configuration is invalid, so the old one stays:"
    assert first[1].startswith("config/policies/a.cedar:3: not a Cedar policy: ") and "\x1b" not in first[1]
    assert len(first) == 2
    assert news.take() == ["the new configuration is in force"]


def test_a_log_that_is_not_there_yet_says_nothing(tmp_path: Path) -> None:
    assert up._News(tmp_path / "gateway.log").take() == []
