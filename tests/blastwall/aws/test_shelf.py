"""Recordings found and read again in the bucket; a missing segment is said to be missing."""

from __future__ import annotations

import pytest

from blastwall.aws.shelf import BucketShelf
from blastwall.errors import RecordingFault
from blastwall.recording.segments import Place


@pytest.fixture
def shelf(bucket):
    for id, at in (("aa11", 1_800_000_000.0), ("aa22", 1_800_100_000.0)):
        place = Place.of(id, "s1", "shop", "c1", at)
        for number in range(12):
            bucket.put_new(place.segment(number), b"%s-%d." % (id.encode(), number))
    bucket.put_new(place.manifest, b'{"agent": "robot", "totals": {"statements": 3}, "duration_ns": 2000000000}')
    return BucketShelf(bucket)


async def test_segments_are_read_in_order(shelf):
    whole = b"".join([part async for part in shelf.read("aa11")])
    assert whole == b"".join(b"aa11-%d." % number for number in range(12))


def test_summaries_are_newest_first_and_tell_what_is_complete(shelf):
    first, second = shelf.summaries()
    assert (first["id"], first["state"], first["statements"], first["duration"]) == ("aa22", "complete", 3, 2.0)
    assert (second["id"], second["state"]) == ("aa11", "live")


def test_a_beginning_of_an_id_finds_one_or_none(shelf):
    assert shelf.find("aa1").prefix.endswith("/aa11/")
    for wrong in ("aa", "", "zz"):
        with pytest.raises(RecordingFault, match="begin with"):
            shelf.find(wrong)


def test_a_missing_segment_is_named(bucket):
    place = Place.of("r", "s1", "shop", "c1", 1_800_000_000.0)
    for number in (0, 2):
        bucket.put_new(place.segment(number), b"x")
    with pytest.raises(RecordingFault, match=r"segment 1 of .* is missing"):
        BucketShelf(bucket).segments(place)
