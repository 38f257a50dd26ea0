"""The gateway as a child process: ready, dead on arrival, ended cleanly."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rig import child as children
from rig.gateway import GatewayProcess, compiled_environment
from rig.postgres import RigFault


def stand_in(directory: Path, body: str) -> dict[str, str]:
    """A package named as the gateway's, found first: what the contract asks of it, and nothing else."""
    package = directory / "fargate_proxy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import json, os, signal, sys, time\n"
        "fd = int(sys.argv[sys.argv.index('--ready-fd') + 1])\n"
        "print(' '.join(sys.argv[1:]), file=sys.stderr, flush=True)\n" + body
    )
    return {**os.environ, "PYTHONPATH": str(directory)}


def process(tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> GatewayProcess:
    monkeypatch.chdir(tmp_path)  # python -m looks at the working directory first
    environ = stand_in(tmp_path, body)
    return GatewayProcess(Path("config"), Path("state"), Path("overrides.json"), tmp_path / "gateway.log", environ)


READY = "os.write(fd, json.dumps({'listening': {'postgres': '127.0.0.1:7432'}}).encode() + b'\\n')\n"


def test_it_is_ready_when_it_says_so_and_ends_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + READY + "signal.pause()\n"
    child = process(tmp_path, body, monkeypatch).start()
    assert child.listening == {"postgres": "127.0.0.1:7432"}
    assert child.running
    assert Path(f"/proc/{child.pid}/cmdline").read_bytes().split(b"\0")[1:3] == [b"-m", b"fargate_proxy"]
    assert "--config config --overrides overrides.json --state state" in child.last_words()
    assert child.log.stat().st_mode & 0o777 == 0o600
    assert child.stop() == 0
    assert not child.running
    assert child.stop() == 0


def test_a_build_of_other_sources_is_not_taken_for_these(tmp_path: Path) -> None:
    build = tmp_path / ".cache" / "compiled"
    for place in (tmp_path, build):
        for package in ("blastwall", "fargate_proxy"):
            (place / package).mkdir(parents=True)
            (place / package / "__init__.py").write_text("")
    found = compiled_environment(tmp_path, {"HOME": "/"})
    assert found == {"HOME": "/", "PYTHONPATH": str(build), "PYTHONSAFEPATH": "1"}
    (tmp_path / "blastwall" / "__init__.py").write_text("changed = True")
    with pytest.raises(RigFault, match=r"blastwall/__init__\.py: run `make compiled`, or remove it"):
        compiled_environment(tmp_path, {})
    (tmp_path / "blastwall" / "__init__.py").write_text("")
    (tmp_path / "blastwall" / "new.py").write_text("")
    with pytest.raises(RigFault, match=r"blastwall/new\.py"):
        compiled_environment(tmp_path, {})


def test_without_a_build_the_sources_run(tmp_path: Path) -> None:
    assert compiled_environment(tmp_path, {"A": "b"}) == {"A": "b"}


def test_its_exit_status_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n" + READY + "signal.pause()\n"
    assert process(tmp_path, body, monkeypatch).start().stop() == 7


def test_one_that_dies_at_once_is_reported_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = process(tmp_path, "sys.exit('no such target')\n", monkeypatch)
    with pytest.raises(RigFault, match=r"did not start:(.|\n)*no such target"):
        child.start()
    assert not child.running


def test_one_that_is_never_ready_is_ended_at_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = process(tmp_path, "print('thinking', file=sys.stderr, flush=True)\ntime.sleep(60)\n", monkeypatch)
    with pytest.raises(RigFault, match="not ready in time"):
        child.start(seconds=1.0)
    assert not child.running
    assert not Path(f"/proc/{child.pid}").exists()


def test_one_that_floods_the_ready_pipe_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "MOST_READY_BYTES", 10_000)
    child = process(tmp_path, "while True: os.write(fd, b'x' * 4096)\n", monkeypatch)
    with pytest.raises(RigFault, match="did not start"):
        child.start()
    assert not child.running


def test_reloading_is_a_hangup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = (
        "signal.signal(signal.SIGHUP, lambda *_: open('reloaded', 'w').close())\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + READY + "while True: signal.pause()\n"
    )
    child = process(tmp_path, body, monkeypatch).start()
    child.reload()
    child.stop()
    assert (tmp_path / "reloaded").exists()


def test_it_goes_when_its_parent_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    body = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + READY + "signal.pause()\n"
    environ = stand_in(tmp_path, body)
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom rig.gateway import GatewayProcess\n"
        "where = Path(sys.argv[1])\nos.chdir(where)\n"
        "child = GatewayProcess(where, where, where, where / 'log').start()\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    root = Path(__file__).parents[2]
    environ["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{root}"
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=environ)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    watched = os.pidfd_open(pid)
    parent.kill()
    parent.communicate()
    import select

    assert select.select([watched], [], [], 15)[0], "the gateway outlived its parent"
    os.close(watched)
