"""The spool under a disk that is slow, full, broken or silent: commits wait together, and a failure is believed."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from blastwall.errors import RecordingFault
from blastwall.local.clock import ManualClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Entry, Shelf
from blastwall.local.spool import MOST, REAL, ROOM, Disk, Lease, SpoolSink, place_manifest
from blastwall.model import Effect, Facts, Masked, Permit, Principal, Session, Statement, Target
from blastwall.recording.verify import State

FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)
SESSION = Session("session-1", Principal("iss", "sub", "agent-1"), "shop", 0.0, 1.0)
DURABLE = Target("shop", "postgres", "db", 5432, durability="power_loss")
SECONDS = 10.0


class Slow:
    """A disk whose every fsync waits for permission; it can be told to fail."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.allowed = threading.Semaphore(0)
        self.syncs = 0
        self.failure: OSError | None = None
        self.disk = Disk(sync=self.sync)

    def sync(self, descriptor):
        self.entered.release()
        assert self.allowed.acquire(timeout=SECONDS)
        self.syncs += 1
        if self.failure is not None:
            raise self.failure

    async def begun(self):
        await asyncio.to_thread(self.entered.acquire, True, SECONDS)


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def begin(state):
    """Begin a recording whose every commit waits for the disk that is given."""
    recorders = []

    def make(disk=REAL, target=DURABLE):
        recorder = LocalRecorder(state, ManualClock(), disk=disk)
        recorders.append(recorder)
        return recorder.open(SESSION, target, "c", {})

    yield make
    for recorder in recorders:
        recorder.close()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as made:
        yield made


def ask(recording, number, text="SELECT 1"):
    recording.intent(Statement(text, number=number), FACTS, Permit(text))


async def test_commits_behind_a_slow_one_share_the_next_round(begin, slow, state):
    recording = begin(slow.disk)
    ask(recording, 1)
    first = recording.commit()
    await slow.begun()
    later = []
    for number in range(2, 12):
        ask(recording, number)
        later.append(recording.commit())
    assert not first.done()
    slow.allowed.release()
    await first
    assert not any(future.done() for future in later)
    slow.allowed.release()
    await asyncio.gather(*later)
    assert slow.syncs == 2, "ten commits behind the first shared one fsync"
    slow.allowed.release(5)
    await asyncio.to_thread(recording.close, "end")
    assert Shelf(state).find(recording.id).verify({}).state is State.UNSIGNED


async def test_recordings_do_not_wait_for_each_others_disk(pool, slow, tmp_path):
    stuck, free = SpoolSink(tmp_path / "a.bwr", pool, disk=slow.disk), SpoolSink(tmp_path / "b.bwr", pool)
    for sink in (stuck, free):
        sink.write((b"x",), 1)
    waits, done = stuck.settle(), free.settle()
    await asyncio.wait_for(done, SECONDS)
    assert not waits.done()
    slow.allowed.release(5)
    await waits
    stuck.close()
    free.close()


async def test_a_failed_fsync_refuses_the_commit_and_everything_after(begin, slow):
    slow.failure = OSError(errno.EIO, "Input/output error")
    slow.allowed.release(10)
    recording = begin(slow.disk)
    ask(recording, 1)
    with pytest.raises(RecordingFault, match="Input/output error"):
        await recording.commit()
    with pytest.raises(RecordingFault, match="Input/output error"):
        ask(recording, 2)
        recording.commit()
    recording.close("end")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
        (None, "only"),
        (ValueError("a defect"), "ValueError: a defect"),
    ],
    ids=["full", "quota", "short write", "defect"],
)
async def test_what_the_disk_does_not_take_never_counts_as_recorded(begin, failure, said, state):
    full = False

    def write(descriptor, parts):
        if not full:
            return os.writev(descriptor, parts)
        if failure is None:
            return os.writev(descriptor, [b"".join(parts)[:-1]])
        raise failure

    recording = begin(Disk(write=write))
    ask(recording, 1)
    await recording.commit()
    full = True
    ask(recording, 2)
    with pytest.raises(RecordingFault, match=said):
        await recording.commit()
    with pytest.raises(RecordingFault):
        recording.flush()
    with pytest.raises(RecordingFault):
        recording.intent(Statement("SELECT 3", number=3), FACTS, Permit("SELECT 3"))
    recording.close("end")
    assert Shelf(state).find(recording.id).summary()["statements"] == 1


async def test_a_recording_that_cannot_begin_leaves_nothing_that_looks_alive(begin, state):
    with pytest.raises(RecordingFault, match="No space"):
        begin(Disk(write=_full), Target("shop", "postgres", "db", 1))
    (path,) = (state / "recordings").rglob("*.bwr")
    assert not Entry(path).live()


def _full(descriptor, parts):
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_silent_disk_is_a_failed_one(pool, slow, tmp_path):
    now = [100.0]
    sink = SpoolSink(tmp_path / "a.bwr", pool, disk=slow.disk, patience=4.0, monotonic=lambda: now[0])
    sink.write((b"x",), 1)
    pending = sink.settle()
    await slow.begun()
    now[0] += 3.9
    sink.check()
    now[0] += 0.2
    with pytest.raises(OSError, match="no sign for 4 seconds"):
        sink.check()
    with pytest.raises(RecordingFault, match="no sign"):
        await asyncio.wait_for(pending, 1)  # while the disk still does not answer
    slow.allowed.release(5)
    with pytest.raises(OSError, match="no sign"):
        sink.write((b"y",), 1)
    sink.close()


async def test_an_acknowledgement_that_comes_too_late_or_twice_changes_nothing(pool, slow, tmp_path):
    now = [100.0]
    sink = SpoolSink(tmp_path / "a.bwr", pool, disk=slow.disk, monotonic=lambda: now[0])
    sink.write((b"x",), 1)
    pending, again = sink.settle(), sink.settle()
    await slow.begun()
    now[0] += 60
    with pytest.raises(OSError, match="no sign"):
        sink.check()
    slow.allowed.release(5)  # now the disk answers: for a recording that was given up
    for future in (pending, again):
        with pytest.raises(RecordingFault):
            await future
    with pytest.raises(OSError, match="no sign"):
        sink.write((b"y",), 1)
    sink.close()


async def test_whoever_relays_more_than_the_disk_takes_waits_for_room(pool, slow, tmp_path):
    taking = threading.Event()

    def write(descriptor, parts):
        assert taking.wait(SECONDS)
        return os.writev(descriptor, parts)

    sink = SpoolSink(tmp_path / "a.bwr", pool, disk=Disk(write=write))
    block = bytes(ROOM // 4)
    waited = None
    for _ in range(8):
        sink.write((block,), len(block))
        waited = waited or sink.room()
    assert waited is not None
    assert not waited.done()
    with pytest.raises(OSError, match="too slow"):
        sink.write((b"",), MOST)
    taking.set()
    await asyncio.wait_for(waited, SECONDS)
    await sink.settle()
    assert (tmp_path / "a.bwr").stat().st_size == 8 * len(block)
    sink.close()


async def test_a_waiter_that_gave_up_does_not_stop_the_others(begin, slow):
    recording = begin(slow.disk)
    ask(recording, 1)
    gone, waits = recording.commit(), recording.commit()
    gone.cancel()
    slow.allowed.release(10)
    await waits
    await asyncio.to_thread(recording.close, "end")


async def test_best_effort_waits_for_nothing(begin, slow, state):
    recording = begin(slow.disk, Target("shop", "postgres", "db", 1, durability="power_loss", recording="best_effort"))
    ask(recording, 1)
    assert recording.commit() is None
    slow.allowed.release(10)
    await asyncio.to_thread(recording.close, "end")
    assert Shelf(state).find(recording.id).verify({}).state is State.UNSIGNED


async def test_what_is_durable_already_is_not_waited_for(begin):
    recording = begin()
    ask(recording, 1)
    await recording.commit()
    assert recording.commit() is None
    recording.close("end")


async def test_a_writer_that_was_silent_for_too_long_stops(pool, tmp_path):
    """Its recording may have been completed by another: what it writes now would run, and be in no recording."""
    now = [100.0]
    lease = Lease(beat=20.0, most=60.0)
    sink = SpoolSink(tmp_path / "a.bwr", pool, lease=lease, monotonic=lambda: now[0])
    sink.write((b"x",), 1)
    await sink.settle()
    now[0] += 59
    sink.write((b"y",), 1)
    await sink.settle()
    now[0] += 61
    sink.write((b"z",), 1)
    with pytest.raises(RecordingFault, match="another may have completed"):
        await sink.settle()
    sink.close()


async def test_an_idle_writer_keeps_its_lease(pool, tmp_path):
    now = [100.0]
    path = tmp_path / "a.bwr"
    lease = Lease(beat=20.0, most=60.0)  # and a disk that may take its time: these jumps of the clock are not its fault
    sink = SpoolSink(path, pool, patience=float("inf"), lease=lease, monotonic=lambda: now[0])
    sink.write((b"x",), 1)
    await sink.settle()
    for _ in range(10):
        os.utime(path, (0, 0))
        now[0] += 21
        sink.check()
        await asyncio.to_thread(_until, lambda: path.stat().st_mtime > 0)
    sink.write((b"y",), 1)
    await sink.settle()
    sink.close()


def _until(true):
    deadline = threading.Event()
    for _ in range(1000):
        if true():
            return
        deadline.wait(0.005)
    raise AssertionError("it never came true")


async def test_a_recorder_that_is_closed_takes_nothing_more(begin, state):
    recorder = LocalRecorder(state, ManualClock())
    recording = recorder.open(SESSION, DURABLE, "c", {})
    recorder.close()
    ask(recording, 1)
    with pytest.raises(RecordingFault, match="closed"):
        recording.commit()
        ask(recording, 2)
        recording.commit()
    recording.close("end")
    assert not Entry(next((state / "recordings").rglob("*.bwr"))).live(), "its lock is let go"


def test_the_manifest_is_never_placed_over_another(tmp_path):
    path = tmp_path / "0123.bwr"
    place_manifest(path, b"first")
    with pytest.raises(FileExistsError):
        place_manifest(path, b"second")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("0123.manifest.json", b"first")]


async def test_a_closed_recording_is_whole_before_its_manifest_stands(pool, slow, tmp_path):
    sink = SpoolSink(tmp_path / "a.bwr", pool, disk=slow.disk)
    sink.write((b"the end",), 7)
    sealing = asyncio.create_task(asyncio.to_thread(sink.seal, b"{}"))
    await slow.begun()
    assert not (tmp_path / "a.manifest.json").exists()
    slow.allowed.release(5)
    await sealing
    assert (tmp_path / "a.manifest.json").exists()
    sink.close()


async def test_many_writers_and_committers_lose_nothing(pool, tmp_path):
    """Out of order and all at once: what settled is in the file, in the order it was handed over."""
    sinks = [SpoolSink(tmp_path / f"{number}.bwr", pool) for number in range(6)]

    async def one(sink):
        for number in range(60):
            sink.write((b"%03d" % number,), 3)
            if number % 7 == 0:
                await sink.settle()
                assert sink.path.read_bytes().endswith(b"%03d" % number)
        await sink.settle()

    await asyncio.gather(*(one(sink) for sink in sinks))
    for sink in sinks:
        assert sink.path.read_bytes() == b"".join(b"%03d" % number for number in range(60))
        sink.close()


def test_relayed_tells_when_to_wait(begin):
    recording = begin()
    assert recording.relayed(Masked(b"small", 1)) is None
    recording.close("end")
