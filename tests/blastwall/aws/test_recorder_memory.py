"""A very large result passes through without staying: memory is bounded by what waits, not by what has passed.

``python -m bench.recording`` does the same with 2 GB through a whole gateway.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MIB = 160

PASS = textwrap.dedent(
    """
    import asyncio, json, os, sys, threading, time
    from pathlib import Path
    from bench.measure import reset_peak, resident
    from blastwall.aws.recorder import AwsRecorder
    from blastwall.local.clock import SystemClock
    from blastwall.local.recorder import LocalRecorder
    from blastwall.local.signer import load_signer
    from blastwall.model import *
    from blastwall.settings import RecordingSettings

    state, way, mib = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    session = Session("s", Principal("i", "s", "agent"), "shop", 0.0, 1.0)

    class Slow:
        # A bucket that takes 80 MB/s for each of the shipper's threads, and keeps nothing.
        name = "slow"
        taken = 0
        def put_new(self, key, body):
            Slow.taken += len(body)
            time.sleep(len(body) / 80e6)

    async def main():
        signer = load_signer(state / "keys")
        if way == "aws":
            settings = RecordingSettings("slow", "key", str(state), backlog_bytes=16 << 20)
            recorder = AwsRecorder(settings, SystemClock(), Slow(), signer)
            recorder._compress = False  # the bytes themselves, not what is left of them
        else:
            recorder = LocalRecorder(state, SystemClock(), signer=signer)
        target = Target("shop", "postgres", "h", 1, durability="power_loss" if way == "power_loss" else "kernel")
        recording = recorder.open(session, target, "c", {})

        async def relay(count):
            for number in range(count * 16):
                room = recording.relayed(Masked(bytes([number % 251]) * 65536, 1))
                if room is not None:
                    await room
                if not number % 64:
                    recording.flush()
                    await asyncio.sleep(0)

        await relay(16)
        reset_peak(os.getpid())
        before, _ = resident(os.getpid())
        await relay(mib)
        _, peak = resident(os.getpid())
        await asyncio.to_thread(recording.close, "end")
        await asyncio.to_thread(recorder.close)
        print(json.dumps({"added": peak - before, "taken": Slow.taken}))

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("way", ["kernel", "power_loss", "aws"])
def test_memory_stays_flat_however_much_passes(tmp_path: Path, way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PASS, str(tmp_path), way, str(MIB)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["added"] < 64, f"{found['added']:.0f} MiB more for {MIB} MiB that passed"
    if way == "aws":
        assert found["taken"] > MIB << 20, "all of it reached the bucket"
