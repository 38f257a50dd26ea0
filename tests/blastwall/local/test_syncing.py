"""Group fsync: commits wait for the disk together, and a disk that fails is believed."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from blastwall.errors import RecordingFault
from blastwall.local.clock import ManualClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.local.syncing import GroupSync
from blastwall.model import Effect, Facts, Permit, Principal, Session, Statement, Target

FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)
SESSION = Session("session-1", Principal("iss", "sub", "agent-1"), "shop", 0.0, 1.0)
DURABLE = Target("shop", "postgres", "db", 5432, durability="power_loss")


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def ask(recording, number, text="SELECT 1"):
    recording.intent(Statement(text, number=number), FACTS, Permit(text))


class Disk:
    """An fsync that waits for permission, and can fail."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.allowed = threading.Semaphore(0)
        self.rounds: list[int] = []
        self.fail = False

    def __call__(self, descriptor):
        self.entered.release()
        self.allowed.acquire(timeout=10)
        self.rounds.append(descriptor)
        if self.fail:
            raise OSError(5, "Input/output error")


async def test_power_loss_durability_waits_for_the_disk_in_groups(state):
    disk = Disk()
    recorder = LocalRecorder(state, ManualClock(), sync=GroupSync(disk))
    recording = recorder.open(SESSION, DURABLE, "c", {})
    ask(recording, 1)
    first = recording.commit()
    assert first is not None
    await asyncio.to_thread(disk.entered.acquire)
    assert not first.done()
    later = []
    for number in range(2, 12):
        ask(recording, number)
        later.append(recording.commit())
    disk.allowed.release()
    await first
    assert not any(future.done() for future in later)
    disk.allowed.release()
    await asyncio.gather(*later)
    assert len(disk.rounds) == 2, "ten commits behind the first shared one fsync"
    for _ in range(5):
        disk.allowed.release()
    recording.close("end")
    recorder.close()
    assert Shelf(state).find(recording.id).summary()["state"] == "complete"


async def test_a_failed_fsync_refuses_the_commit_and_everything_after(state):
    disk = Disk()
    disk.fail = True
    recorder = LocalRecorder(state, ManualClock(), sync=GroupSync(disk))
    recording = recorder.open(SESSION, DURABLE, "c", {})
    ask(recording, 1)
    pending = recording.commit()
    disk.allowed.release(10)
    with pytest.raises(RecordingFault, match="Input/output error"):
        await pending
    ask(recording, 2)
    with pytest.raises(RecordingFault, match="Input/output error"):
        recording.commit()
    recording.close("end")
    recorder.close()


async def test_two_recordings_share_one_thread(state):
    recorder = LocalRecorder(state, ManualClock())
    one, two = (recorder.open(SESSION, DURABLE, f"c{i}", {}) for i in range(2))
    before = threading.active_count()
    for recording in (one, two):
        ask(recording, 1)
        await recording.commit()
    assert threading.active_count() == before + 1
    one.close("end")
    two.close("end")
    recorder.close()
    assert threading.active_count() <= before


async def test_a_closed_group_takes_nothing_more(tmp_path):
    group = GroupSync()
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    await group.want(descriptor)
    group.close()
    with pytest.raises(RecordingFault, match="closed"):
        group.want(descriptor)
    group.finish(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


async def test_a_waiter_that_gave_up_does_not_stop_the_others(state):
    disk = Disk()
    recorder = LocalRecorder(state, ManualClock(), sync=GroupSync(disk))
    one, two = (recorder.open(SESSION, DURABLE, f"c{i}", {}) for i in range(2))
    ask(one, 1)
    ask(two, 1)
    gone, waits = one.commit(), two.commit()
    gone.cancel()
    disk.allowed.release(10)
    await waits
    one.close("end")
    two.close("end")
    recorder.close()
