"""What waits for a commit becomes one block, in order, whatever of it was copied and whatever referred to."""

from __future__ import annotations

import pytest

from blastwall.errors import RecordingFault
from blastwall.recording.blocks import Blocks
from blastwall.recording.codec import MAX_BODY, RECORD, preamble, split_records
from blastwall.recording.pending import COPIED, SPARE, Pending


@pytest.mark.parametrize("sizes", [[1, 2], [COPIED - 1], [COPIED], [5, COPIED, 5, SPARE, 7], [COPIED, COPIED], [0]])
def test_records_stand_in_their_order_with_their_times(sink, sizes: list[int]) -> None:
    blocks = Blocks("rec-1", "session-1", sink)
    blocks.begin()
    ticks = iter(range(100, 200))
    pending = Pending(lambda: next(ticks))
    for _ in range(2):  # what comes after a block begins anew
        bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
        for number, body in enumerate(bodies):
            pending.append(5, 1, number, body)
        assert (pending.count, pending.size) == (len(sizes), sum(sizes) + len(sizes) * RECORD.size)
        before = len(sink.data)
        pending.write(blocks)
        payload = bytes(sink.data[before:])[56:]
        assert [(raw.type, raw.flags, raw.statement, raw.body) for raw in split_records(payload)] == [
            (5, 1, number, body) for number, body in enumerate(bodies)
        ]
        assert (pending.count, pending.size) == (0, 0)
    assert [raw.at for raw in split_records(payload)] == [len(sizes) + 1 + at for at in range(len(sizes))]
    assert blocks.sequence == 2 * len(sizes)


def test_what_cannot_be_written_is_pending_no_more(sink) -> None:
    blocks = Blocks("rec-1", "session-1", sink)
    blocks.begin()
    pending = Pending(lambda: 0)
    pending.append(5, 0, 0, b"x")
    sink.fail_at = 1
    with pytest.raises(RecordingFault):
        pending.write(blocks)
    assert (pending.count, pending.size) == (0, 0)
    assert bytes(sink.data) == preamble()


def test_a_record_that_is_too_large_is_refused_and_nothing_of_it_stays() -> None:
    pending = Pending(lambda: 0)
    with pytest.raises(RecordingFault, match="too large"):
        pending.append(5, 0, 0, bytes(MAX_BODY + 1))
    assert (pending.count, pending.size, len(pending.out)) == (0, 0, 0)
