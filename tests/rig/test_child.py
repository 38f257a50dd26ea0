"""Processes of the rig: told when ready, ended with whoever started them, quoted when they fail."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from rig.child import Child
from rig.postgres import RigFault

READY = "import os, sys, time; os.write(int(sys.argv[-1]), b'{\"port\": 7}\\n'); time.sleep(60)"


def child(code: str, folder: Path) -> Child:
    return Child("a part", [sys.executable, "-c", code], dict(os.environ), folder / "log", folder)


def test_it_says_where_it_is_and_stops(tmp_path: Path) -> None:
    made = child(READY, tmp_path)
    made.start(30)
    assert made.told == {"port": 7} and made.running
    assert made.stop() == 128 + signal.SIGTERM
    assert not made.running and made.stop() == 0


def test_what_does_not_start_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(RigFault, match="the port is taken"):
        child("raise SystemExit('the port is taken')", tmp_path).start(30)


def test_what_is_never_ready_is_ended(tmp_path: Path) -> None:
    made = child("import time; time.sleep(60)", tmp_path)
    with pytest.raises(RigFault, match="not ready in time"):
        made.start(0.2)
    assert not made.running


def test_a_killed_one_is_noticed(tmp_path: Path) -> None:
    made = child(READY, tmp_path)
    made.start(30)
    made.signal(signal.SIGKILL)
    assert made.wait(30) == 128 + signal.SIGKILL
    assert not made.running
    made.stop()
