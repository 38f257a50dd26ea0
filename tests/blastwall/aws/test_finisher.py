"""What a dead task left: completed, shipped, compared, and only then taken from the spool. Live ones are not touched."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from blastwall.aws.finisher import AwsFinisher
from blastwall.aws.recorder import AwsRecorder
from blastwall.errors import RecordingFault
from blastwall.local.recordings import Shelf
from blastwall.recording.reader import read_header
from blastwall.recording.segments import Place
from blastwall.recording.verify import State, verify
from tests.blastwall.aws.cloud import CLOCK, DENIED, SESSION, STRICT, answer, ask, fail, settings, stored, until


@pytest.fixture
def recorder(bucket, signer, tmp_path):
    made = AwsRecorder(settings(tmp_path), CLOCK, bucket, signer)
    yield made
    made.close()


@pytest.fixture
def finisher(bucket, signer, tmp_path):
    return AwsFinisher(settings(tmp_path), CLOCK, bucket, signer)


async def abandon(recorder, count=20, size=1024):
    """What SIGKILL leaves: a spool file without an end, and however many segments were put."""
    recording = await asyncio.to_thread(recorder.open, SESSION, STRICT, "c-1", {})
    try:
        for number in range(1, count + 1):
            ask(recording, number)
            await (recording.commit() or asyncio.sleep(0))
            answer(recording, number, size)
        recording.flush()
        ask(recording, count + 1)
        await recording.commit()
    except RecordingFault:
        pass  # a bucket that refuses has ended it
    recording._blocks.close()
    path = Shelf(recorder._shelf.root.parent).find(recording.id).path
    await asyncio.to_thread(until, lambda: not Shelf(recorder._shelf.root.parent).find(recording.id).live())
    return path


def age(path, seconds=121.0):
    os.utime(path, (time.time() - seconds,) * 2)


def whole(bucket, trusted, path=None):
    verdict = verify(io.BytesIO(stored(bucket)), trusted=trusted)
    assert (verdict.state, verdict.completed_by) == (State.INTACT, "finisher"), verdict
    manifests = [item.key for item in bucket.list("recordings/") if item.key.endswith("/manifest.json")]
    assert len(manifests) == 1
    assert verify(io.BytesIO(stored(bucket)), trusted=trusted, beside=bucket.get(manifests[0])).state is State.INTACT


async def test_a_dead_tasks_recording_is_completed_within_five_minutes(recorder, finisher, bucket, trusted, tmp_path):
    path = await abandon(recorder)
    recorder.close()
    with path.open("ab") as file:
        file.write(b"\0\0\0\1torn")
    assert finisher.run(10).completed == [], "its lease may still be held"
    age(path)
    report = finisher.run(10)
    assert (report.completed, report.problems) == ([path.stem], {})
    whole(bucket, trusted)
    assert not list(tmp_path.rglob("*.bwr"))
    assert not list(tmp_path.rglob("*.json"))
    # 60 s until its writer stops itself, 120 s until it counts as abandoned, a run every minute.
    assert settings(tmp_path).abandoned_seconds + 60 + 60 < 300


async def test_a_live_recording_is_never_touched(recorder, finisher, tmp_path):
    recording = await asyncio.to_thread(recorder.open, SESSION, STRICT, "c-1", {})
    ask(recording, 1)
    await recording.commit()
    (path,) = tmp_path.rglob("*.bwr")
    age(path, 3600)
    assert finisher.run(10).completed == []
    ask(recording, 2)
    await recording.commit()
    await asyncio.to_thread(recording.close, "end")


@pytest.mark.parametrize("segments", [0, 1, 2, 5])
async def test_whatever_had_been_shipped_is_kept_and_the_rest_follows(
    recorder, finisher, bucket, s3, trusted, segments
):
    def stop(key):
        if len(s3.puts) >= segments:
            raise DENIED

    s3.before = stop
    await abandon(recorder)
    s3.before = lambda key: None
    recorder.close()
    (path,) = recorder._shelf.root.rglob("*.bwr")
    before = stored(bucket)
    age(path)
    report = finisher.run(10)
    assert report.problems == {}
    assert stored(bucket).startswith(before)
    whole(bucket, trusted)


async def test_a_recording_that_ended_while_the_bucket_was_away_is_shipped(recorder, finisher, bucket, s3, trusted):
    recording = await asyncio.to_thread(recorder.open, SESSION, STRICT, "c-1", {})
    ask(recording, 1)
    await recording.commit()
    s3.before = fail(DENIED)
    await asyncio.to_thread(recording.close, "the client left")
    recorder.close()
    (path,) = recorder._shelf.root.rglob("*.bwr")
    age(path)
    s3.before = lambda key: None
    assert finisher.run(10).problems == {}
    verdict = verify(io.BytesIO(stored(bucket)), trusted=trusted)
    assert (verdict.state, verdict.completed_by) == (State.INTACT, "")


async def test_two_finishers_at_once_do_no_harm(recorder, bucket, signer, trusted, tmp_path):
    paths = [await abandon(recorder, count=3) for _ in range(4)]
    recorder.close()
    for path in paths:
        age(path)
    gate = threading.Barrier(3)

    def run(_):
        gate.wait(10)
        return AwsFinisher(settings(tmp_path), CLOCK, bucket, signer).run(20)

    with ThreadPoolExecutor(3) as pool:
        reports = list(await asyncio.to_thread(lambda: list(pool.map(run, range(3)))))
    assert all(not report.problems for report in reports), reports
    assert sorted(id for report in reports for id in report.completed) == sorted(path.stem for path in paths)
    manifests = [item.key for item in bucket.list("recordings/") if item.key.endswith("manifest.json")]
    assert len(manifests) == 4


async def test_a_finisher_that_dies_midway_is_taken_over(recorder, finisher, bucket, s3, trusted):
    path = await abandon(recorder)
    recorder.close()
    age(path)
    for stop in range(1, 4):
        s3.before = fail(DENIED) if stop < 3 else lambda key: None
        report = finisher.run(10)
        if stop < 3:
            assert list(report.problems) == [path.stem]
            age(path)
    assert not path.exists()
    whole(bucket, trusted)


async def test_a_segment_that_another_wrote_is_a_problem_and_the_spool_keeps_its_file(recorder, finisher, bucket, s3):
    s3.before = fail(DENIED)
    path = await abandon(recorder, count=2)
    recorder.close()
    s3.before = lambda key: None
    with path.open("rb") as file:
        place = Place.of_header(read_header(file).raw)
    bucket.put_new(place.segment(0), b"x" * 100)
    for _ in range(2):
        age(path)
        report = finisher.run(10)
        assert "not what the spool holds" in report.problems[path.stem]
    assert path.exists()
    bucket.put_new(place.segment(7), b"x" * 1_000_000)


async def test_what_is_damaged_is_named_and_never_signed(recorder, finisher, bucket, s3):
    path = await abandon(recorder)
    recorder.close()
    data = bytearray(path.read_bytes())
    data[-900] ^= 1
    path.write_bytes(data)
    age(path)
    assert list(finisher.run(10).problems) == [path.stem]
    assert path.read_bytes() == bytes(data)
    assert not [item for item in bucket.list("recordings/") if item.key.endswith("manifest.json")]


async def test_a_file_that_never_began_is_taken_away(recorder, finisher, tmp_path):
    path = await abandon(recorder, count=1)
    recorder.close()
    path.write_bytes(path.read_bytes()[:30])
    age(path)
    report = finisher.run(10)
    assert (report.problems, report.completed) == ({}, [])
    assert not path.exists()
