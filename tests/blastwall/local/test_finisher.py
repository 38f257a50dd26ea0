"""The finisher on a real disk: what is abandoned is completed once, what is live or damaged is left alone."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from blastwall.local.clock import ManualClock, SystemClock
from blastwall.local.finisher import ABANDONED_SECONDS, Finisher
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.local.signer import load_signer, trusted_keys
from blastwall.model import Effect, Facts, Masked, Permit, Principal, Session, Statement, Target
from blastwall.recording.verify import State

FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)
SESSION = Session("session-1", Principal("iss", "sub", "agent-1"), "shop", 0.0, 1.0)
TARGET = Target("shop", "postgres", "db", 5432)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def signer(state):
    return load_signer(state / "keys")


@pytest.fixture
def trusted(state, signer):
    return trusted_keys(state / "keys" / "recording.pub")


@pytest.fixture
def begin(state, signer):
    recorder = LocalRecorder(state, ManualClock(), signer=signer)
    yield lambda: recorder.open(SESSION, TARGET, "c", {})
    recorder.close()


@pytest.fixture
def finisher(state, signer):
    return Finisher(Shelf(state), SystemClock(), signer=signer)


def abandon(recording, count=3):
    """Let go of a recording as the kernel does for a killed process, a while ago."""
    for number in range(1, count + 1):
        recording.intent(Statement("SELECT 1", number=number), FACTS, Permit("SELECT 1"))
        recording.relayed(Masked(b"rows", number, 1))
        recording.commit()
    recording._blocks.close()
    return recording.id


def age(state, id, seconds=ABANDONED_SECONDS + 1):
    path = Shelf(state).find(id).path
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_an_abandoned_recording_is_completed(state, begin, finisher, trusted):
    id = abandon(begin())
    path = age(state, id)
    with path.open("ab") as file:
        file.write(b"\0\0\0\1 torn")
    age(state, id)
    assert finisher.run().completed == [id]
    entry = Shelf(state).find(id)
    verdict = entry.verify(trusted)
    assert (verdict.state, verdict.completed_by) == (State.INTACT, "finisher")
    assert entry.summary()["state"] == "complete"
    assert entry.summary()["statements"] == 3
    assert finisher.run().completed == [], "once"


def test_a_live_recording_is_never_touched(state, begin, finisher, trusted):
    recording = begin()
    recording.intent(Statement("SELECT 1", number=1), FACTS, Permit("SELECT 1"))
    recording.commit()
    path = age(state, recording.id, 3600)
    size = path.stat().st_size
    assert finisher.run().completed == []
    assert path.stat().st_size == size
    recording.close("end")
    assert Shelf(state).find(recording.id).verify(trusted).completed_by == ""


def test_one_that_was_written_to_a_moment_ago_is_left_for_now(state, begin, finisher):
    """Its lock is gone, but on a shared file system its writer may only have lost its connection."""
    id = abandon(begin())
    assert finisher.run().completed == []
    age(state, id)
    assert finisher.run().completed == [id]


def test_what_was_left_for_now_is_completed_later_however_old_its_day_is(state, begin, finisher):
    path = Shelf(state).find(abandon(begin())).path
    old = path.parent.with_name("2001-01-01")
    path.parent.rename(old)
    for day in ("2002-01-01", "2002-01-02", "2002-01-03"):
        (old.parent / day).mkdir()
    assert finisher.run().completed == []
    long_ago = time.time() - ABANDONED_SECONDS - 1
    os.utime(old / path.name, (long_ago, long_ago))
    assert finisher.run().completed == [path.name.removesuffix(".bwr")]
    assert finisher.run().completed == []


def test_a_clock_that_was_set_back_does_not_keep_it_open(state, begin, finisher):
    id = abandon(begin())
    age(state, id, -365 * 86_400)
    assert finisher.run().completed == [id]


def test_two_finishers_at_once_do_no_harm(state, begin, signer, trusted):
    ids = sorted(abandon(begin()) for _ in range(12))
    for id in ids:
        age(state, id)
    gate = threading.Barrier(4)

    def run(_):
        finisher = Finisher(Shelf(state), SystemClock(), signer=signer)
        gate.wait(10)
        return finisher.run()

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(run, range(4)))
    assert not [report.problems for report in reports if report.problems]
    assert sorted(id for report in reports for id in report.completed) == ids
    for id in ids:
        assert Shelf(state).find(id).verify(trusted).state is State.INTACT


def test_a_finisher_that_was_stopped_is_taken_over_by_the_next(state, begin, finisher, trusted):
    """At whatever byte of its own end it stopped."""
    id = abandon(begin())
    path = age(state, id)
    before = path.read_bytes()
    finisher.run()
    whole = path.read_bytes()
    manifest = Shelf(state).find(id).manifest_path
    for cut in range(len(before), len(whole) + 1, 31):
        path.write_bytes(whole[:cut])
        manifest.unlink()
        age(state, id)
        assert finisher.run().completed == [id]
        assert Shelf(state).find(id).verify(trusted).state is State.INTACT


def test_what_is_damaged_is_named_and_left(state, begin, finisher, trusted):
    id = abandon(begin())
    path = age(state, id)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    age(state, id)
    for _ in range(2):
        report = finisher.run()
        assert list(report.problems) == [id]
        assert not report.completed
    assert path.read_bytes() == bytes(data)
    assert Shelf(state).find(id).verify(trusted).state is State.TAMPERED


def test_a_file_without_a_header_tells_of_nothing_and_is_left(state, begin, finisher):
    id = abandon(begin())
    path = age(state, id)
    path.write_bytes(path.read_bytes()[:40])
    age(state, id)
    report = finisher.run()
    assert (report.completed, report.problems) == ([], {})


def test_its_time_is_limited(state, begin, signer):
    for _ in range(3):
        age(state, abandon(begin()))
    clock = ManualClock(time.time())
    assert Finisher(Shelf(state), clock, signer=signer).run(seconds=-1.0).unfinished
