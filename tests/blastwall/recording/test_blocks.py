"""Blocks: numbered, chained, compressed where it pays, and silent after the first failure."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from blastwall.errors import RecordingFault
from blastwall.recording import chain
from blastwall.recording.blocks import SPILL, Blocks
from blastwall.recording.codec import BLOCK_HEAD, COMPRESS_FROM, RECORD, ZSTD, Torn, parse_head, preamble
from blastwall.recording.reader import Reader


def record(body: bytes, kind: int = 5) -> bytes:
    return RECORD.pack(len(body), kind, 0, 0, 0) + body


def begun(sink, **options) -> Blocks:
    blocks = Blocks("rec-1", "session-1", sink, **options)
    blocks.begin()
    return blocks


def heads(data: bytes):
    """The heads of a file's blocks with their stored payloads, as a stranger to the writer would parse them."""
    found, position = [], len(preamble())
    while position < len(data):
        head = parse_head(data[position:], position)
        position += BLOCK_HEAD
        found.append((head, data[position : position + head.stored]))
        position += head.stored
    return found


def test_each_block_is_numbered_and_chained_to_the_one_before(sink):
    blocks = begun(sink)
    payloads = [record(b"a") + record(b"b"), record(b"c"), record(b"d" * COMPRESS_FROM)]
    for payload, count in zip(payloads, (2, 1, 1), strict=True):
        blocks.write((payload[:3], payload[3:]), len(payload), count)
    blocks.wait()
    found = heads(bytes(sink.data))
    assert [head.sequence for head, _ in found] == [0, 2, 3]
    assert [stored for _, stored in found] == payloads
    value, session = chain.origin("rec-1"), chain.session_key("session-1")
    for head, stored in found:
        value = chain.link(value, session, head.sealed, [stored])
        assert head.chain == value
    assert (blocks.value, blocks.count, blocks.sequence, blocks.length) == (value, 3, 4, len(sink.data))


@pytest.mark.parametrize(
    ("payload", "compress", "packed"),
    [
        (b"x" * COMPRESS_FROM, True, True),
        (b"x" * COMPRESS_FROM, False, False),
        (b"x" * (COMPRESS_FROM - 1), True, False),
        (Random(7).randbytes(COMPRESS_FROM), True, False),
    ],
    ids=["large", "not wished", "small", "incompressible"],
)
def test_compression_only_where_it_pays(sink, payload, compress, packed):
    blocks = begun(sink, compress=compress)
    blocks.write((payload,), len(payload), 1)
    ((head, stored),) = heads(bytes(sink.data))
    assert head.raw == len(payload)
    assert bool(head.flags & ZSTD) is packed
    assert (len(stored) < len(payload)) is packed


def test_after_a_failed_write_nothing_is_written_any_more(sink):
    blocks = begun(sink)
    sink.fail_at = 1
    with pytest.raises(RecordingFault, match=r"rec-1 could not be written.*Nothing runs unrecorded"):
        blocks.write((b"first",), 5, 1)
    sink.fail_at = None  # the disk has room again, but the chain has a hole
    with pytest.raises(RecordingFault, match="could not be written"):
        blocks.write((b"second",), 6, 1)
    assert bytes(sink.data) == preamble()
    assert blocks.count == 0


def test_a_preamble_or_a_manifest_that_cannot_be_written_is_refused(sink):
    class Full(type(sink)):
        def seal(self, manifest: bytes) -> None:
            raise OSError(28, "No space left on device")

    blocks = begun(Full())
    with pytest.raises(RecordingFault, match="No space left"):
        blocks.end(b"{}")
    sink.fail_at = 0
    with pytest.raises(RecordingFault, match="No space left"):
        begun(sink)


def test_a_closed_one_takes_nothing_and_lets_go_of_the_sink(sink):
    blocks = begun(sink)
    blocks.close()
    blocks.close()
    assert sink.closed
    with pytest.raises(RecordingFault, match="closed"):
        blocks.write((b"x",), 1, 1)


def test_large_blocks_go_to_the_background_in_their_order(sink):
    threads: list[str] = []
    write = sink.write

    def noting(parts, length):
        threads.append(threading.current_thread().name)
        write(parts, length)

    sink.write = noting
    large = record(bytes(SPILL))
    with ThreadPoolExecutor(1, "sealing") as pool:
        blocks = begun(sink, background=pool)
        blocks.write((large,), len(large), 1)
        blocks.write((record(b"after"),), len(record(b"after")), 1)
        blocks.wait()
    assert [name.startswith("sealing") for name in threads] == [False, True, False]
    assert [head.sequence for head, _ in heads(bytes(sink.data))] == [0, 1]


def test_a_failure_in_the_background_meets_the_next_caller(sink):
    with ThreadPoolExecutor(1) as pool:
        blocks = begun(sink, background=pool)
        sink.fail_at = 1
        blocks.write((bytes(SPILL),), SPILL, 1)
        with pytest.raises(RecordingFault, match="No space left"):
            blocks.settle()
        with pytest.raises(RecordingFault, match="No space left"):
            blocks.write((b"x",), 1, 1)


def test_a_reader_takes_a_torn_last_block_for_torn(begin, ask, sink):
    writer = begin()
    ask(writer, 1)
    writer.commit()
    reader = Reader(io.BytesIO(bytes(sink.data[:-1])))
    list(reader.records())
    assert isinstance(reader.problem, Torn)
