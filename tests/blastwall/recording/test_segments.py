"""Keys of segments: ordered, reversible, and none reaches into another recording's place."""

from __future__ import annotations

import pytest

from blastwall.recording.segments import MOST_SEGMENTS, Place


def place(recording="r1", session="s1", target="shop", connection="c1", at=1_800_000_000.0):
    return Place.of(recording, session, target, connection, at)


def test_keys_are_by_date_target_session_connection_and_number():
    assert place().segment(0) == "recordings/2027-01-15/shop/s1/c1/r1/000000.bwr"
    assert place().segment(123_456) == "recordings/2027-01-15/shop/s1/c1/r1/123456.bwr"
    assert place().manifest == "recordings/2027-01-15/shop/s1/c1/r1/manifest.json"


def test_a_header_gives_the_same_place():
    header = {
        "recording": "r1", "session": "s1", "connection": "c1", "target": {"name": "shop"}, "started_at": 1_800_000_000.0,
    }  # fmt: skip
    assert Place.of_header(header) == place()


def test_their_order_is_that_of_their_numbers():
    keys = [place().segment(number) for number in (0, 1, 9, 10, 99, 100_000, MOST_SEGMENTS - 1)]
    assert keys == sorted(keys)
    assert [place().number(key) for key in keys] == [0, 1, 9, 10, 99, 100_000, MOST_SEGMENTS - 1]
    for wrong in (-1, MOST_SEGMENTS):
        with pytest.raises(ValueError, match="at most"):
            place().segment(wrong)


@pytest.mark.parametrize("hostile", ["a/b", "..", ".", "a//", "%2F", "ä", "x y", ""])
def test_no_name_reaches_elsewhere(hostile):
    key = place(target=hostile).segment(0)
    parts = key.split("/")
    assert len(parts) == 7
    assert parts[2] not in (".", "..")
    assert key != place().segment(0)


def test_other_objects_are_no_segments():
    for key in (place().manifest, place().prefix + "1.bwr", place().prefix + "x/000000.bwr", place("r2").segment(0)):
        assert place().number(key) is None
