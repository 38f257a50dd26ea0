"""A file system that is really full: a tiny tmpfs where one can be mounted, and a limit of the kernel's everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from blastwall.local.recordings import Shelf
from blastwall.recording.reader import Reader
from blastwall.recording.records import Intent
from blastwall.recording.verify import State

ROOT = Path(__file__).parents[3]
BYTES = 128 * 1024

FILL = textwrap.dedent(
    """
    import asyncio, resource, shutil, signal, sys
    from pathlib import Path
    from blastwall.errors import RecordingFault
    from blastwall.local.clock import SystemClock
    from blastwall.local.recorder import LocalRecorder
    from blastwall.model import *

    state, durability, limit, keep = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    async def fill():
        recorder = LocalRecorder(state, SystemClock())
        session = Session("s", Principal("i", "s", "agent"), "shop", 0.0, 1.0)
        target = Target("shop", "postgres", "h", 1, durability=durability)
        recording = recorder.open(session, target, "c", {})
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        ran = 0
        try:
            while ran < 10_000:
                recording.intent(Statement("x" * 900, number=ran + 1), Facts(Effect.READ, "select"), Permit("x" * 900))
                pending = recording.commit()
                if pending is not None:
                    await pending
                ran += 1
        except RecordingFault as fault:
            print(ran, fault)
        try:
            recording.intent(Statement("SELECT 1", number=ran + 2), Facts(Effect.READ, "select"), Permit("SELECT 1"))
            recording.commit()
            print("it took more")
        except RecordingFault:
            print("refused")
        try:
            recording.close("full")
        except RecordingFault:
            pass
        recorder.close()

    asyncio.run(fill())
    if keep:
        shutil.copytree(state, keep)
    """
)


def in_tmpfs(directory: Path, command: list[str]) -> list[str]:
    """The command in a mount namespace of its own, where ``directory`` is a tmpfs of :data:`BYTES`."""
    script = f'mount -t tmpfs -o size={BYTES} tmpfs "$0" && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(directory), *command]


def mountable(directory: Path) -> bool:
    """Whether this machine lets an unprivileged user mount: many do not, and then the limit has to do alone."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(in_tmpfs(directory, ["true"]), capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("durability", ["kernel", "power_loss"])
@pytest.mark.parametrize("how", ["tmpfs", "limit"])
def test_nothing_runs_that_a_full_disk_did_not_take(tmp_path: Path, durability: str, how: str) -> None:
    state, kept = tmp_path / "state", tmp_path / "kept"
    state.mkdir()
    real = how == "tmpfs" and mountable(state)
    words = (str(state), durability, "0" if real else str(BYTES), str(kept) if real else "")
    command = [sys.executable, "-c", FILL, *words]
    done = subprocess.run(
        in_tmpfs(state, command) if real else command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, again = done.stdout.splitlines()
    ran, said = first.split(" ", 1)
    assert 50 < int(ran) < 200
    assert "Nothing runs unrecorded" in said
    assert "bytes were taken" in said or "No space left" in said or "File too large" in said
    assert again == "refused"
    (entry,) = Shelf(kept if real else state).entries()
    assert entry.verify({}).state is State.TRUNCATED
    with entry.open() as file:
        intents = [record for record in Reader(file).records() if isinstance(record, Intent)]
    assert len(intents) >= int(ran), "what ran is on record"
