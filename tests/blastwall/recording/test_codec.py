"""The bytes: what is packed is what is unpacked, and what is not ours is said so."""

from __future__ import annotations

import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from blastwall.recording.codec import (
    BLOCK,
    BLOCK_HEAD,
    MAX_BLOCK,
    PREAMBLE,
    RECORD,
    VERSION,
    ZSTD,
    BlockHead,
    FormatFault,
    Torn,
    check_preamble,
    deflate,
    inflate,
    parse_head,
    preamble,
    seal_head,
    split_records,
)


def test_preamble_is_sixteen_bytes_and_checks():
    assert len(preamble()) == PREAMBLE.size == 16
    check_preamble(preamble())


def test_a_newer_version_is_refused_by_name():
    data = PREAMBLE.pack(preamble()[:8], VERSION + 1, 0, 0)
    with pytest.raises(FormatFault, match=f"version {VERSION + 1}.*up to {VERSION}"):
        check_preamble(data)


@pytest.mark.parametrize(
    "data", [b"not a recording!", b"PK\3\4" + bytes(12), preamble().replace(b"\r\n", b"\n") + b"x"]
)
def test_other_files_are_not_recordings(data):
    with pytest.raises(FormatFault, match="not a Blastwall recording"):
        check_preamble(data)


@pytest.mark.parametrize("length", range(16))
def test_a_preamble_cut_short_is_torn(length):
    with pytest.raises(Torn):
        check_preamble(preamble()[:length])


@given(st.integers(0, 2**31), st.binary(min_size=32, max_size=32), st.integers(0, MAX_BLOCK))
def test_block_heads_round_trip(sequence, chain, length):
    sealed = BLOCK.pack(0, length, length, sequence)
    head = parse_head(seal_head(sealed, chain), 0)
    assert head == BlockHead(0, length, length, sequence, chain, sealed)


@given(st.integers(0, BLOCK_HEAD * 8 - 1))
def test_every_flipped_bit_of_a_block_head_is_seen(bit):
    data = bytearray(seal_head(BLOCK.pack(0, 100, 100, 7), bytes(range(32))))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatFault):
        parse_head(bytes(data), 0)


@pytest.mark.parametrize(
    ("flags", "stored", "raw"),
    [(0, 10, 11), (2, 10, 10), (ZSTD, MAX_BLOCK + 1, 10), (ZSTD, 10, MAX_BLOCK + 1), (0, MAX_BLOCK + 1, MAX_BLOCK + 1)],
)
def test_impossible_heads_are_refused_though_their_check_sum_fits(flags, stored, raw):
    with pytest.raises(FormatFault):
        parse_head(seal_head(BLOCK.pack(flags, stored, raw, 0), bytes(32)), 0)


def test_compression_round_trips():
    payload = b"the same line again and again\n" * 4000
    stored = deflate(payload)
    assert len(stored) < len(payload) // 50
    head = parse_head(seal_head(BLOCK.pack(ZSTD, len(stored), len(payload), 0), bytes(32)), 0)
    assert inflate(head, stored) == payload


@pytest.mark.parametrize("stated", [10_000, 10_000_001])
def test_a_payload_of_another_length_than_stated_is_refused(stated):
    stored = zstandard.compress(bytes(10_000_000))  # ten million zeros in under a kilobyte
    head = parse_head(seal_head(BLOCK.pack(ZSTD, len(stored), stated, 0), bytes(32)), 0)
    with pytest.raises(FormatFault, match="length"):
        inflate(head, stored)


def test_garbage_does_not_decompress():
    head = parse_head(seal_head(BLOCK.pack(ZSTD, 5, 50, 0), bytes(32)), 0)
    with pytest.raises(FormatFault, match="decompress"):
        inflate(head, b"12345")


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=50))))
def test_records_round_trip(bodies):
    payload = b"".join(
        RECORD.pack(len(body), type_, flags, statement, 99) + body for type_, flags, statement, body in bodies
    )
    found = [(record.type, record.flags, record.statement, record.body) for record in split_records(payload)]
    assert found == bodies


@given(st.binary(max_size=60))
def test_any_payload_splits_or_is_refused(payload):
    try:
        total = sum(RECORD.size + len(record.body) for record in split_records(payload))
    except FormatFault:
        return
    assert total == len(payload)


def test_a_body_that_runs_over_its_block_is_refused():
    with pytest.raises(FormatFault, match="runs over"):
        list(split_records(struct.pack(">IBBIQ", 100, 5, 0, 0, 0) + b"short"))
