"""Frames in pieces: looked into as they pass, whatever the pieces are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blastwall.errors import UpstreamFault
from blastwall.masking.detectors import Tally, detectors
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.frames import COPY_DATA, DATA_ROW
from blastwall.protocols.postgres.passing import Passing

ROW = messages.data_row((b"a@b.example", None, b"", b"raw@b.example", b"card 4111111111111111"))
SHOWN = messages.data_row((b"*" * 11, None, b"", b"raw@b.example", b"card " + b"*" * 16))
SEARCHES = bytes([1, 1, 1, 0, 1])


def through(frame: bytes, kind: int, sizes: list[int], searches: bytes = SEARCHES) -> tuple[bytes, int]:
    passing = Passing(kind, len(frame), searches, detectors(), Tally())
    out = b""
    position = 0
    for size in [*sizes, len(frame)]:
        out += passing.feed(frame[position : position + size])
        position = min(position + size, len(frame))
    assert passing.left == 0
    return out, passing.finish()


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), max_size=20))
def test_a_row_is_looked_into_column_by_column(sizes: list[int]) -> None:
    assert through(ROW, DATA_ROW, sizes) == (SHOWN, 2)


def test_byte_by_byte() -> None:
    assert through(ROW, DATA_ROW, [1] * (len(ROW) - 1)) == (SHOWN, 2)
    line = messages.copy_data(b"1\ta@b.example\n")
    assert through(line, COPY_DATA, [1] * (len(line) - 1)) == (messages.copy_data(b"1\t" + b"*" * 11 + b"\n"), 1)


def test_without_detectors_nothing_changes() -> None:
    passing = Passing(DATA_ROW, len(ROW), SEARCHES, None, Tally())
    assert passing.feed(ROW[:20]) + passing.feed(ROW[20:]) == ROW
    assert passing.finish() == 0


def test_a_row_whose_values_go_on_behind_its_end_is_none() -> None:
    frame = messages.frame(b"D", b"\0\x01\0\0\0\x63abc")
    with pytest.raises(UpstreamFault, match="ends early"):
        through(frame, DATA_ROW, [])
