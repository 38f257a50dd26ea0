"""What other verbs read of a running stack, and that they are not fooled by one that has gone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rig import running
from rig.running import Running


def sample(pid: int) -> Running:
    return Running(pid, "/etc/config", {"postgres": "127.0.0.1:7432"}, "/ca.pem", {"shop": {"protocol": "postgres"}})


def test_what_is_written_is_read_and_is_private(tmp_path: Path) -> None:
    running.write(tmp_path, sample(os.getpid()))
    assert running.read(tmp_path) == sample(os.getpid())
    assert running.path(tmp_path).stat().st_mode & 0o777 == 0o600
    running.remove(tmp_path)
    assert running.read(tmp_path) is None
    running.remove(tmp_path)


def test_a_stack_whose_process_is_gone_does_not_run(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    running.write(tmp_path, sample(process.pid))
    assert running.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x"}'])
def test_a_damaged_file_is_no_stack(tmp_path: Path, text: str) -> None:
    running.path(tmp_path).write_text(text)
    assert running.read(tmp_path) is None
