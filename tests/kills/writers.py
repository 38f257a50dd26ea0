"""Processes that record as fast as they can until they are killed: ``python -m tests.kills.writers STATE RUNS SEED``.

Each run is a fork of this process, so that it costs milliseconds. It records several connections at once, and says in a
log of its own which statement it has let through to its "database" *after* the recording accepted it: what stands in
that log and not in the recording ran unrecorded. The parent kills it, with SIGKILL, at a moment of no meaning.

One line of JSON for each run: its mode, its state directory and its log.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from blastwall.aws.recorder import compose_recorder
from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.signer import load_signer
from blastwall.model import Effect, Facts, Masked, Permit, Principal, Session, Statement, Target
from blastwall.recording.writer import Writer
from blastwall.settings import RecordingSettings

MODES = ("kernel", "zstd", "power_loss", "aws")
WEIGHTS = (18, 10, 17, 5)
CONNECTIONS = 3
CHECKPOINTS = 0.01  # seconds: many, so that kills land among them
SESSION = Session("session-1", Principal("iss", "sub", "agent-1"), "shop", 0.0, 1.0)
FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)
NOISE = random.Random(7).randbytes(1 << 20)


def recorder_of(mode: str, state: Path) -> LocalRecorder:
    clock = SystemClock()
    if mode == "aws":
        settings = RecordingSettings(
            os.environ["KILLS_BUCKET"],
            os.environ["KILLS_KEY"],
            str(state),
            segment_bytes=250_000,
            segment_seconds=0.05,
            checkpoint_seconds=CHECKPOINTS,
            endpoint_url=os.environ["KILLS_ENDPOINT"],
        )
        return compose_recorder(settings, clock)
    signer = load_signer(state.parent / "keys")
    return LocalRecorder(state, clock, signer=signer, compress=mode == "zstd", checkpoint_seconds=CHECKPOINTS)


async def connection(recorder: LocalRecorder, mode: str, number: int, log: int, chance: random.Random) -> None:
    """One connection, for ever. A short one is ended in order, and another begun."""
    durability = "power_loss" if mode == "power_loss" else "kernel"
    target = Target("shop", "postgres", "db", 5432, durability=durability)
    while True:
        recording = await asyncio.to_thread(recorder.open, SESSION, target, f"c-{number}", {})
        await statements(recording, log, chance)
        await asyncio.to_thread(recording.close, "the client left")


async def statements(recording: Writer, log: int, chance: random.Random) -> None:
    for number in range(1, chance.choice((20, 10_000))):
        text = f"SELECT {number} -- " + "x" * chance.randrange(200)
        recording.intent(Statement(text, number=number), FACTS, Permit(text))
        pending = recording.commit()
        if pending is not None:
            await pending
        os.write(log, f"{recording.id} {number}\n".encode())
        for _ in range(chance.randrange(3)):
            start, size = chance.randrange(1 << 19), chance.choice((100, 5_000, 60_000))
            room = recording.relayed(Masked(NOISE[start : start + size], number, 1))
            if room is not None:
                await room
        if chance.random() < 0.1:
            recording.flush()
        await asyncio.sleep(0)


async def record(mode: str, state: Path, log: int, seed: int) -> None:
    recorder = recorder_of(mode, state)
    chances = [random.Random(seed * 100 + number) for number in range(CONNECTIONS)]
    await asyncio.gather(*(connection(recorder, mode, n, log, chance) for n, chance in enumerate(chances)))


def run(root: Path, number: int, chance: random.Random) -> dict[str, str]:
    """Fork, let it record, kill it."""
    (mode,) = chance.choices(MODES, WEIGHTS)
    state = root / f"run-{number}"
    state.mkdir()
    log = state / "database.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    seed = chance.randrange(1 << 30)
    pid = os.fork()
    if not pid:
        try:
            asyncio.run(record(mode, state, descriptor, seed))
        finally:
            os._exit(9)
    os.close(descriptor)
    began = time.monotonic()
    while not log.stat().st_size and time.monotonic() - began < 10.0:
        time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.25 if mode == "aws" else 0.1))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return {"mode": mode, "state": str(state), "log": str(log), "killed": str(os.WIFSIGNALED(status))}


def main(root: Path, runs: int, seed: int) -> None:
    load_signer(root / "keys")
    chance = random.Random(seed)
    for number in range(runs):
        print(json.dumps(run(root, number, chance)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
