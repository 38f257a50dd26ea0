"""Reading: bounded, incremental, and clear about why it stopped."""

from __future__ import annotations

import io

import pytest

from blastwall.model import Masked
from blastwall.recording.codec import PREAMBLE, FormatFault, Torn
from blastwall.recording.reader import Reader, read_header, read_manifest
from blastwall.recording.records import Header, Intent, Relayed


class Dribble(io.RawIOBase):
    """A source that gives at most three bytes at a time, as a pipe may."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def read(self, size=-1, /):
        return self._data.read(min(size, 3) if size >= 0 else 3)


def test_short_reads_make_no_difference(begin, ask, sink):
    writer = begin()
    ask(writer, 1)
    writer.relayed(Masked(b"answer", 1))
    writer.close("end")
    reader = Reader(Dribble(bytes(sink.data)))
    names = [type(record).__name__ for record in reader.records()]
    assert names == ["Header", "Intent", "Relayed", "End", "Seal"]
    assert reader.problem is None
    assert reader.position == len(sink.data)


def test_compressed_and_plain_blocks_read_alike(begin, ask, sink):
    plain, packed = sink, type(sink)()
    for into, compress in ((plain, False), (packed, True)):
        writer = begin(into=into, compress=compress)
        ask(writer, 1)
        writer.relayed(Masked(b"a row that repeats, " * 5000, 1, 5000))
        writer.close("end")
    assert len(packed.data) < len(plain.data) / 10

    def read(data):
        return [record for record in Reader(io.BytesIO(data)).records() if isinstance(record, Intent | Relayed)]

    assert read(plain.data) == read(packed.data)


def test_the_header_needs_only_the_first_block(begin, ask, sink):
    writer = begin()
    first = len(sink.data)
    ask(writer, 1)
    writer.commit()
    source = io.BytesIO(bytes(sink.data))
    header = read_header(source)
    assert isinstance(header, Header)
    assert header.recording == "0123456789abcdef"
    assert source.tell() == first


@pytest.mark.parametrize("length", [PREAMBLE.size, PREAMBLE.size + 10, PREAMBLE.size + 200])
def test_a_file_without_a_whole_first_block_has_no_header(begin, sink, length):
    begin()
    with pytest.raises(Torn):
        read_header(io.BytesIO(bytes(sink.data[:length])))


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b"[" * 100_000, b"\xff"])
def test_a_manifest_that_is_no_object_is_refused(text):
    with pytest.raises(FormatFault):
        read_manifest(text)
