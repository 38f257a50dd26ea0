"""The recorder on AWS as a whole: what is in the bucket is the recording, and strict mode holds whatever fails."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import threading
from dataclasses import replace

import pytest

from blastwall.aws.recorder import AwsRecorder, compose_recorder
from blastwall.errors import RecordingFault
from blastwall.local.recordings import Shelf
from blastwall.local.spool import Disk
from blastwall.model import Secret
from blastwall.recording.reader import Reader
from blastwall.recording.records import Intent
from blastwall.recording.verify import State, verify
from tests.blastwall.aws.cloud import (
    BEST_EFFORT,
    CLOCK,
    DENIED,
    SECONDS,
    SESSION,
    STRICT,
    answer,
    ask,
    fail,
    settings,
    stored,
    until,
)


@pytest.fixture
def make(bucket, signer, tmp_path):
    recorders = []

    def begin(**options):
        more = {name: options.pop(name) for name in ("disk", "known") if name in options}
        recorder = AwsRecorder(settings(tmp_path, **options), CLOCK, bucket, signer, **more)
        recorders.append(recorder)
        return recorder

    yield begin
    for recorder in recorders:
        recorder.close()


async def opened(recorder, target=STRICT):
    return await asyncio.to_thread(recorder.open, SESSION, target, "c-1", {"policy_version": "p"})


async def test_a_session_is_in_the_bucket_whole_signed_and_readable(make, bucket, trusted, tmp_path):
    recorder = make()
    recording = await opened(recorder)
    for number in range(1, 30):
        ask(recording, number, f"SELECT {number}")
        pending = recording.commit()
        assert pending is not None, "accepted only when the spool has it"
        await pending
        answer(recording, number, 4096)
    await asyncio.to_thread(recording.close, "the client left")
    await asyncio.to_thread(recorder.close)
    data = stored(bucket)
    verdict = verify(io.BytesIO(data), trusted=trusted, recording=recording.id)
    assert verdict.state is State.INTACT
    assert b"".join([part async for part in recorder.read(recording.id)]) == data
    (summary,) = recorder.list()
    assert (summary["id"], summary["state"], summary["statements"]) == (recording.id, "complete", 29)
    header = Reader(io.BytesIO(data)).records()
    assert next(iter(header)).raw["durability"] == "power_loss"
    assert not list(tmp_path.rglob("*.bwr")), "the spool is empty again"


async def test_segments_come_while_the_session_runs(make, bucket, trusted):
    recorder = make()
    recording = await opened(recorder)
    ask(recording, 1)
    await recording.commit()
    await asyncio.to_thread(until, lambda: stored(bucket))
    before = stored(bucket)
    assert verify(io.BytesIO(before), trusted=trusted).state is State.TRUNCATED, "a beginning that verifies"
    ask(recording, 2)
    await recording.commit()
    await asyncio.to_thread(until, lambda: len(stored(bucket)) > len(before))
    assert stored(bucket).startswith(before)
    await asyncio.to_thread(recording.close, "end")


async def test_checkpoints_are_signed_far_away_while_the_session_goes_on(make, bucket, trusted, tmp_path):
    recorder = make(checkpoint_seconds=0.0)
    recording = await opened(recorder)
    for number in range(1, 200):
        ask(recording, number)
        await (recording.commit() or asyncio.sleep(0))
        recording.flush()
    (entry,) = Shelf(tmp_path).entries()
    await asyncio.to_thread(until, lambda: recording.flush() or entry.verify(trusted).proven)
    await asyncio.to_thread(recording.close, "end")


async def test_a_bucket_that_refuses_ends_a_strict_session_and_nothing_unrecorded_ran(make, s3, tmp_path):
    recorder = make()
    recording = await opened(recorder)
    s3.before = fail(DENIED)
    ran = []
    with pytest.raises(RecordingFault, match="AccessDenied"):
        for number in range(1, 5_000):
            ask(recording, number)
            await (recording.commit() or asyncio.sleep(0))
            ran.append(number)
            await asyncio.sleep(0.001)
    recording.close("the recording failed")
    (entry,) = Shelf(tmp_path).entries()
    with entry.open() as file:
        intents = [record.statement for record in Reader(file).records() if isinstance(record, Intent)]
    assert intents[: len(ran)] == ran


async def test_an_idle_strict_session_hears_of_it_by_the_timer(make, s3):
    recorder = make()
    recording = await opened(recorder)
    s3.before = fail(DENIED)
    ask(recording, 1)
    await recording.commit()

    def failed():
        try:
            recording.flush()
        except RecordingFault as fault:
            return "AccessDenied" in str(fault)
        return False

    await asyncio.to_thread(until, failed, 5.0)
    recording.close("end")


async def test_a_best_effort_session_goes_on_without_the_bucket(make, s3, tmp_path):
    recorder = make()
    recording = await opened(recorder, BEST_EFFORT)
    s3.before = fail(DENIED)
    for number in range(1, 50):
        ask(recording, number)
        assert recording.commit() is None, "it waits for nothing"
        recording.flush()
    await asyncio.to_thread(recording.close, "end")
    (entry,) = Shelf(tmp_path).entries()
    with entry.open() as file:
        header = next(iter(Reader(file).records()))
    assert header.raw["recording_mode"] == "best_effort"


async def test_a_full_file_system_refuses_what_it_does_not_hold(make):

    left = [20]

    def write(descriptor, parts):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.writev(descriptor, parts)

    recorder = make(disk=Disk(write=write))
    recording = await opened(recorder)
    with pytest.raises(RecordingFault, match="No space left"):
        for number in range(1, 1000):
            ask(recording, number)
            await (recording.commit() or asyncio.sleep(0))
    with pytest.raises(RecordingFault, match="No space left"):
        recording.close("full")


async def test_the_event_loop_never_waits_for_the_spool(make):
    """Every write and fsync hangs: the loop still turns, and only who commits waits."""
    gate = threading.Event()
    began = threading.Event()

    def sync(descriptor):
        began.set()
        assert gate.wait(SECONDS)

    recorder = make(disk=Disk(sync=sync))
    recording = await opened(recorder)
    ask(recording, 1)
    pending = recording.commit()
    await asyncio.to_thread(began.wait, SECONDS)
    for _ in range(100):
        await asyncio.sleep(0)
        recording.flush()
    assert not pending.done()
    gate.set()
    await pending
    await asyncio.to_thread(recording.close, "end")


async def test_two_tasks_with_the_same_id_never_overwrite_each_other(bucket, signer, trusted, tmp_path):
    one, two = (
        AwsRecorder(settings(tmp_path / name), CLOCK, bucket, signer, new_id=lambda: "0123456789abcdef")
        for name in ("one", "two")
    )
    first = await opened(one)
    ask(first, 1, "SELECT 'first'")
    await first.commit()
    await asyncio.to_thread(until, lambda: b"first" in stored(bucket))
    second = await opened(two)
    with pytest.raises(RecordingFault, match="stands already"):
        for number in range(1, 5_000):
            ask(second, number, "SELECT 'second'")
            await (second.commit() or asyncio.sleep(0))
            await asyncio.sleep(0.001)
    second.close("lost")
    await asyncio.to_thread(first.close, "end")
    await asyncio.to_thread(one.close)
    await asyncio.to_thread(two.close)
    assert verify(io.BytesIO(stored(bucket)), trusted=trusted).state is State.INTACT
    assert b"second" not in stored(bucket)


async def test_secrets_reach_neither_spool_nor_bucket(make, bucket, tmp_path):
    recorder = make(known=lambda session: [Secret("planted-known")])
    recording = await opened(recorder)
    recording.protect(Secret("planted-minted"))
    for number, text in enumerate(["SELECT 'planted-known'", "ALTER ROLE a PASSWORD 'planted-word'"], 1):
        ask(recording, number, text)
        await recording.commit()
    recording.event("credential", {"user": "planted-minted"})
    await recording.commit()
    await asyncio.to_thread(
        until, lambda: len(stored(bucket)) == sum(f.stat().st_size for f in tmp_path.rglob("*.bwr"))
    )
    spooled = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert spooled
    await asyncio.to_thread(recording.close, "planted-minted")
    await asyncio.to_thread(recorder.close)
    everything = b"".join(bucket.get(item.key) for item in bucket.list(""))
    assert b"planted" not in spooled
    assert b"planted" not in everything


def test_it_composes_from_its_settings(s3, endpoint, key, tmp_path, trusted):
    composed = settings(tmp_path, endpoint_url=endpoint)

    recorder = compose_recorder(replace(composed, manifest_key_id=key), CLOCK)
    recording = recorder.open(SESSION, STRICT, "c-1", {})
    ask(recording, 1)
    recording.close("end")
    recorder.close()
    assert list(recorder.list())


async def test_a_recording_that_nobody_flushes_keeps_its_lease(make, tmp_path):
    """The gateway's own journal may be silent for hours; it is live all the same."""
    recorder = make(lease_seconds=3.0, abandoned_seconds=6.0, checkpoint_seconds=1e6)
    recording = await opened(recorder)
    ask(recording, 1)
    await recording.commit()
    (path,) = tmp_path.rglob("*.bwr")
    for _ in range(2):
        os.utime(path, (0, 0))
        await asyncio.to_thread(until, lambda: path.stat().st_mtime > 0)
    ask(recording, 2)
    await recording.commit()
    await asyncio.to_thread(recording.close, "end")
