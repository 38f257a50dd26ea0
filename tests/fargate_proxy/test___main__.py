"""The gateway process itself: it says when it is ready, keeps a bad reload out, ends well, and tells whose fault a start is."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[2] / "config"


@contextlib.contextmanager
def process(config: Path, state: Path, listen: str = "127.0.0.1:0") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and the reading end of its ready pipe."""
    overrides = state / "overrides.json"
    overrides.write_text(json.dumps({"listen": {"postgres": listen}}))
    read, write = os.pipe()
    command = [sys.executable, "-m", "fargate_proxy", "--config", str(config), "--overrides", str(overrides)]
    command += ["--state", str(state / "state"), "--ready-fd", str(write)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pass_fds=[write], cwd=CONFIG.parent)
    os.close(write)
    try:
        yield running, read
    finally:
        running.kill()
        running.communicate()
        os.close(read)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copytree(CONFIG, tmp_path / "config")
    shutil.copytree(CONFIG.parent / "demo", tmp_path / "demo", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "config"


def ready(read: int) -> dict[str, str]:
    with os.fdopen(os.dup(read)) as pipe:
        return dict(json.loads(pipe.readline())["listening"])


def test_it_listens_reloads_keeps_a_bad_reload_out_and_ends_on_sigterm(config: Path, tmp_path: Path) -> None:
    with process(config, tmp_path) as (running, read):
        host, _, port = ready(read)["postgres"].rpartition(":")
        with socket.create_connection((host, int(port)), 5):
            pass
        (config / "gateway.yaml").write_text("version: 7\n")
        running.send_signal(signal.SIGHUP)
        assert running.stderr is not None
        for line in running.stderr:
            if "the old one stays in force" in line:
                break
        with socket.create_connection((host, int(port)), 5):
            pass
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


def test_a_wrong_configuration_is_the_operators_and_names_the_line(config: Path, tmp_path: Path) -> None:
    text = (config / "gateway.yaml").read_text().replace("insecure_local: true", "insecure_local: perhaps")
    (config / "gateway.yaml").write_text(text)
    with process(config, tmp_path) as (running, _):
        _, said = running.communicate(timeout=30)
        assert running.returncode == 2
        assert "gateway.yaml:" in said


def test_a_taken_port_is_the_machines_and_named(config: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with process(config, tmp_path, address) as (running, _):
            _, said = running.communicate(timeout=30)
        assert running.returncode == 3
        assert address in said


def test_it_does_not_outstay_its_drain(config: Path, tmp_path: Path) -> None:
    with process(config, tmp_path) as (running, read):
        host, _, port = ready(read)["postgres"].rpartition(":")
        with socket.create_connection((host, int(port)), 5):  # a client that says nothing
            started = time.monotonic()
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
            assert time.monotonic() - started < 15
