"""The bounded buffer: whatever the cuts, the bytes come out as they went in, in linear time and bounded space."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import OurFault
from blastwall.wire.buffer import Buffer


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(1, 60)))
def test_bytes_come_out_in_order_whatever_the_cuts(chunks: list[bytes], takes: list[int]) -> None:
    buffer = Buffer(10_000)
    wants = iter(takes)
    want = next(wants, 7)
    out = b""
    for chunk in chunks:
        buffer.feed(chunk)
        while buffer.need(want):
            out += buffer.take(want)
            want = next(wants, 7)
    rest = len(buffer)
    assert buffer.need(rest)
    assert out + buffer.take(rest) == b"".join(chunks)
    assert len(buffer) == 0


def test_a_chunk_that_finds_nothing_unread_is_kept_as_it_is() -> None:
    buffer = Buffer(100)
    chunk = b"abcdef"
    buffer.feed(chunk)
    assert buffer.data is chunk
    buffer.take(6)
    other = b"ghi"
    buffer.feed(other)
    assert buffer.data is other and buffer.position == 0


def test_later_chunks_are_not_joined_before_enough_is_there() -> None:
    buffer = Buffer(1000)
    first = b"ab"
    buffer.feed(first)
    for _ in range(100):
        buffer.feed(b"cd")
        assert not buffer.need(500)
        assert buffer.data is first
    assert buffer.need(202)
    assert buffer.data == b"ab" + b"cd" * 100


def test_more_than_the_limit_is_refused_and_not_taken() -> None:
    buffer = Buffer(10)
    buffer.feed(b"12345678")
    with pytest.raises(OurFault, match="11 unread bytes"):
        buffer.feed(b"abc")
    assert len(buffer) == 8
    buffer.take(1)
    buffer.feed(b"abc")
    assert buffer.need(10) and buffer.take(10) == b"2345678abc"


def test_what_was_read_does_not_count_towards_the_limit() -> None:
    buffer = Buffer(10)
    for _ in range(100):
        buffer.feed(b"123456789")
        assert buffer.need(9) and buffer.take(9) == b"123456789"


def test_clear_forgets_everything() -> None:
    buffer = Buffer(10)
    buffer.feed(b"abc")
    buffer.feed(b"def")
    buffer.clear()
    assert len(buffer) == 0 and not buffer.need(1)
