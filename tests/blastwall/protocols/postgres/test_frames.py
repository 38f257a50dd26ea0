"""The loop over rows, and the tables of what a server may send."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from blastwall.protocols.postgres.frames import CONTROL, STARTUP, STREAMED, scan_run


def row(size: int) -> bytes:
    return b"D" + struct.pack(">I", size + 4) + b"x" * size


@given(st.lists(st.integers(2, 30), max_size=20), st.integers(0, 40), st.binary(max_size=4))
def test_it_counts_complete_frames_and_nothing_else(sizes: list[int], missing: int, before: bytes) -> None:
    frames = [row(size) for size in sizes]
    data = before + b"".join(frames)
    cut = max(len(before), len(data) - missing)
    ends = [len(before)]
    for frame in frames:
        ends.append(ends[-1] + len(frame))
    complete = [end for end in ends if end <= cut]
    assert scan_run(data[:cut], len(before), ord("D"), 6, 1000) == (complete[-1], len(complete) - 1)


def test_it_stops_at_another_type() -> None:
    data = row(3) + row(4) + b"C\0\0\0\x08abcd" + row(3)
    assert scan_run(data, 0, ord("D"), 6, 1000) == (8 + 9, 2)


def test_it_stops_before_a_length_out_of_bounds() -> None:
    good = row(10) * 2
    for length in (0, 3, 5, 1001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        data = good + b"D" + struct.pack(">I", length) + b"x" * 2000
        assert scan_run(data, 0, ord("D"), 6, 1000) == (len(good), 2), length


def test_the_bounds_belong_to_what_is_allowed() -> None:
    for length in (6, 1000):
        data = b"D" + struct.pack(">I", length) + b"x" * (length - 4)
        assert scan_run(data * 2, 0, ord("D"), 6, 1000) == (2 * len(data), 2)


def test_the_least_lengths_are_those_of_the_protocol() -> None:
    """A frame without a body says 4; the least bodies are counted from the message formats."""
    bodies = {"1": 0, "2": 0, "3": 0, "n": 0, "s": 0, "I": 0, "c": 0, "Z": 1, "C": 1, "E": 1, "N": 1}
    bodies |= {"S": 2, "T": 2, "t": 2, "A": 6, "G": 3, "H": 3}
    assert {chr(kind): least - 4 for kind, (least, _) in CONTROL.items()} == bodies
    assert {kind: least - 4 for kind, least in STREAMED.items()} == {ord("D"): 2, ord("d"): 0}


def test_messages_of_one_length_have_no_other() -> None:
    fixed = {chr(kind): most - 4 for kind, (_, most) in CONTROL.items() if most}
    assert fixed == {"1": 0, "2": 0, "3": 0, "n": 0, "s": 0, "I": 0, "c": 0, "Z": 1}


def test_the_lengths_of_startup_messages() -> None:
    bodies = {chr(kind): (least - 4, most and most - 4) for kind, (least, most) in STARTUP.items()}
    assert bodies == {"R": (4, 0), "E": (1, 0), "K": (8, 260), "N": (1, 0), "S": (2, 0), "Z": (1, 1), "v": (8, 0)}


def test_what_has_no_place_after_startup_is_not_listed() -> None:
    assert not set(b"RKvVWp") & (CONTROL.keys() | STREAMED.keys())
    assert set(STARTUP) == set(b"REKNSZv")
