"""A process's name holds for that process and for no later one with the same number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from blastwall.local import processes


def test_this_process_lives():
    assert processes.alive(processes.current())


def child_name() -> tuple[str, subprocess.Popen[str]]:
    program = "from blastwall.local import processes; print(processes.current(), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child.stdout.readline().strip(), child


def test_another_process_lives_until_it_ends_even_before_it_is_reaped():
    name, child = child_name()
    assert processes.alive(name)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie with its number
    assert not processes.alive(name)
    child.communicate()
    assert not processes.alive(name)


def test_the_same_number_started_at_another_time_is_another_process():
    space, pid, started = processes.current().split(" ")
    assert not processes.alive(f"{space} {pid} {int(started) + 1}")


def test_processes_of_another_boot_are_gone_and_those_of_another_namespace_may_live():
    space, pid, started = processes.current().split(" ")
    boot, namespace = space.split("/")
    assert not processes.alive(f"another-boot/{namespace} {pid} {started}")
    assert processes.alive(f"{boot}/1{namespace} 999999999 {started}")


def test_without_proc_the_number_alone_decides(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_PROC", tmp_path / "none")
    assert processes.alive(processes.current())
    child = subprocess.Popen(["true"])
    child.wait()
    assert not processes.alive(f" {child.pid} ")


@pytest.mark.parametrize("name", ["", "task-1", "a b c", f"{processes._space()} x 1"])
def test_a_name_of_another_make_is_nobodys_to_judge(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of AWS roles have no holder; where there is no /proc that name would have stopped all reclaiming."""
    assert processes.alive(name)
    monkeypatch.setattr(processes, "_PROC", Path("/nonexistent"))
    assert processes.alive(name)
