"""The emulator's own virtual environment: its AWS library is another version than ours, and it is never shipped."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from rig.postgres import RigFault

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
INSTALL_SECONDS = 600.0
STAMP = ".made-from"


def ensure_environment(directory: Path) -> Path:
    """The interpreter of the environment in ``directory``, made anew when what it is made from has changed.

    It takes half a minute once. Whoever comes while it is being made waits. Raises RigFault with pip's own words.
    """
    python = directory / "bin" / "python"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode() + bytes(directory.resolve())).hexdigest()
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = directory / STAMP
        if stamp.is_file() and stamp.read_text("utf-8") == wanted and python.exists():
            return python
        shutil.rmtree(directory, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(directory)])
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--retries", "5"]
        _run([str(python), "-m", "pip", "install", *options, "--requirement", str(REQUIREMENTS)])
        stamp.write_text(wanted, "utf-8")
    return python


def _run(command: list[str]) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False, env=environ
        )
    except subprocess.TimeoutExpired:
        raise RigFault(
            "the emulator could not be installed within ten minutes; is the package index reachable?"
        ) from None
    if done.returncode:
        raise RigFault(f"the emulator could not be installed; run it again when this is mended:\n{done.stderr[-2000:]}")
