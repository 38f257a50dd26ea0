"""Segments under a bucket that is slow, refuses, loses answers, or belongs to another: in order, once, nothing lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from blastwall.aws.objects import Bucket
from blastwall.aws.shipping import Shipper, Terms
from blastwall.recording.segments import Place
from tests.blastwall.aws.cloud import DENIED, NO_ANSWER, SECONDS, SLOW_DOWN, Faulty, fail, stored, until

PLACE = Place.of("r1", "s1", "shop", "c1", 1_800_000_000.0)
TERMS = Terms(segment_bytes=1000, segment_seconds=0.05, backlog_bytes=10_000, patience=0.3)


class Spooled:
    """A spool file that grows by hand."""

    def __init__(self, shipper, path, *, strict=True):
        self.path = path
        self.path.write_bytes(b"")
        self.shipment = shipper.begin(path, PLACE, strict=strict)
        self.length = 0

    def grow(self, data):
        with self.path.open("ab") as file:
            file.write(data)
        self.length += len(data)
        self.shipment.grown(self.length)


@pytest.fixture
def shipper(bucket):
    made = Shipper(bucket, TERMS)
    yield made
    made.close(0.0)


@pytest.fixture
def spooled(shipper, tmp_path):
    return Spooled(shipper, tmp_path / "r1.bwr")


def test_a_segment_goes_when_it_is_large_enough(spooled, bucket, s3):
    spooled.grow(b"a" * 2500)
    until(lambda: len(s3.puts) >= 2)
    assert s3.puts[:2] == [PLACE.segment(0), PLACE.segment(1)]
    until(lambda: stored(bucket) == b"a" * 2500)


def test_a_small_one_goes_when_it_has_waited(spooled, bucket, s3):
    spooled.grow(b"small")
    until(lambda: stored(bucket) == b"small")
    assert len(s3.puts) == 1, "and nothing more is put while there is no traffic"


def test_the_manifest_comes_last_and_the_spool_goes(spooled, bucket, s3, tmp_path, shipper):
    (tmp_path / "r1.manifest.json").write_bytes(b"{}")
    spooled.grow(b"x" * 3333)
    spooled.shipment.seal(b"{}")
    assert shipper.close(SECONDS)
    assert s3.puts[-1] == PLACE.manifest
    assert len(s3.puts) == 5
    assert stored(bucket) == b"x" * 3333
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_refuses_fails_the_recording_at_once(spooled, s3):
    s3.before = fail(DENIED)
    spooled.grow(b"x" * 2000)
    until(lambda: spooled.shipment._failure)
    with pytest.raises(OSError, match="AccessDenied"):
        spooled.shipment.check()
    assert spooled.path.exists(), "the spool has it all"


def test_best_effort_is_not_stopped_by_the_bucket(shipper, s3, tmp_path):
    spooled = Spooled(shipper, tmp_path / "r1.bwr", strict=False)
    s3.before = fail(DENIED)
    spooled.grow(b"x" * 20_000)
    until(lambda: spooled.shipment._failure)
    spooled.shipment.check()
    assert spooled.shipment.room() is None


@pytest.mark.parametrize("error", [SLOW_DOWN, NO_ANSWER])
def test_what_passes_is_waited_for(spooled, bucket, s3, error, monkeypatch):
    monkeypatch.setattr("blastwall.aws.shipping.AGAIN_SECONDS", 0.01)
    s3.before = fail(error, times=3)
    spooled.grow(b"x" * 2000)
    until(lambda: stored(bucket) == b"x" * 2000)
    spooled.shipment.check()


def test_an_answer_that_was_lost_is_no_conflict_but_the_spool_stays_to_be_compared(spooled, bucket, s3, monkeypatch):
    """A duplicate: the put succeeded, its answer did not arrive, and the next attempt finds it standing."""
    monkeypatch.setattr("blastwall.aws.shipping.AGAIN_SECONDS", 0.01)
    s3.after = fail(NO_ANSWER, times=1)
    spooled.grow(b"first" * 200)
    until(lambda: stored(bucket) == b"first" * 200)
    spooled.grow(b"second" * 200)
    spooled.shipment.seal(b"{}")
    until(lambda: PLACE.manifest in s3.puts)
    assert stored(bucket) == b"first" * 200 + b"second" * 200
    assert spooled.path.exists()


def test_another_tasks_segment_is_never_replaced_and_ends_the_recording(spooled, bucket):
    bucket.put_new(PLACE.segment(0), b"another task's")
    spooled.grow(b"x" * 2000)
    until(lambda: spooled.shipment._failure)
    with pytest.raises(OSError, match="stands already"):
        spooled.shipment.check()
    assert bucket.get(PLACE.segment(0)) == b"another task's"


async def test_a_slow_bucket_slows_the_session_and_then_lets_it_go_on(spooled, s3):
    gate = threading.Event()
    s3.before = lambda key: gate.wait(SECONDS)
    spooled.grow(b"x" * 9000)
    assert spooled.shipment.room() is None
    spooled.grow(b"x" * 2000)
    room = spooled.shipment.room()
    assert room is not None
    spooled.shipment.check()
    assert not room.done()
    gate.set()
    await asyncio.wait_for(room, SECONDS)


async def test_a_silent_bucket_fails_the_recording_once_the_backlog_is_full(spooled, s3):
    s3.before = fail(SLOW_DOWN)
    spooled.grow(b"x" * 5000)
    await asyncio.sleep(TERMS.patience * 1.5)
    spooled.shipment.check()
    spooled.grow(b"x" * 6000)
    room = spooled.shipment.room()
    await asyncio.to_thread(until, lambda: _fails(spooled.shipment))
    await asyncio.wait_for(room, SECONDS)  # whoever waited is let go, and told by the next call
    with pytest.raises(OSError, match="has taken nothing"):
        spooled.shipment.check()


def _fails(shipment):
    try:
        shipment.check()
    except OSError:
        return True
    return False


def test_what_cannot_be_shipped_after_the_end_is_left_to_the_finisher(spooled, s3, shipper):
    s3.before = fail(DENIED)
    spooled.grow(b"x" * 500)
    spooled.shipment.seal(b"{}")
    assert shipper.close(SECONDS), "nobody waits for it"
    assert spooled.path.exists()


def test_a_recording_without_an_end_is_shipped_and_left(spooled, bucket, shipper):
    spooled.grow(b"x" * 500)
    spooled.shipment.end()
    until(lambda: stored(bucket) == b"x" * 500)
    assert shipper.close(SECONDS)
    assert spooled.path.exists()


def test_a_defect_in_a_put_is_a_failure_not_a_silence(spooled, s3):
    s3.before = fail(ValueError("a defect"))
    spooled.grow(b"x" * 2000)
    until(lambda: spooled.shipment._failure)
    with pytest.raises(OSError, match="a defect"):
        spooled.shipment.check()


def test_many_recordings_at_once_stay_apart(bucket, tmp_path):
    shipper = Shipper(Bucket(Faulty(bucket._s3), bucket.name), TERMS)
    places = [Place.of(f"r{number}", "s1", "shop", "c1", 1_800_000_000.0) for number in range(12)]
    for number, place in enumerate(places):
        path = tmp_path / f"r{number}.bwr"
        path.write_bytes(bytes([number]) * 2500)
        shipment = shipper.begin(path, place, strict=True)
        shipment.grown(2500)
        shipment.seal(b"{}")
    assert shipper.close(SECONDS)
    for number, place in enumerate(places):
        whole = b"".join(
            bucket.get(item.key) for item in bucket.list(place.prefix) if place.number(item.key) is not None
        )
        assert whole == bytes([number]) * 2500


def test_what_is_whole_in_the_bucket_may_be_ended_again(spooled, s3, caplog):
    """A writer closes after it sealed: by then there may be no file any more, and that is no failure."""
    spooled.grow(b"whole")
    spooled.shipment.seal(b"{}")
    until(lambda: not spooled.path.exists() and not spooled.shipment.ended)
    puts = len(s3.puts)
    spooled.shipment.end()
    spooled.shipment.look()
    spooled.shipment.check()
    assert not spooled.shipment.ended and len(s3.puts) == puts
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
