"""The mint of Masked: what goes in comes out, and says what it is."""

from __future__ import annotations

from blastwall.masking.mask import mask
from blastwall.model import Chunk, Direction


def test_a_chunk_passes_whole_and_unmasked_values_are_counted_as_none() -> None:
    chunk = Chunk(b"bytes", 7, 3, "SELECT 3", "", Direction.TO_TARGET)
    masked = mask(chunk)
    assert (masked.data, masked.statement, masked.rows, masked.tag) == (b"bytes", 7, 3, "SELECT 3")
    assert masked.direction is Direction.TO_TARGET
    assert masked.cells == 0


class Stars:
    """A sheet that masks everything."""

    def masked(self, data: bytes) -> tuple[bytes, int]:
        return b"*" * len(data), 2


def test_a_chunk_with_a_sheet_leaves_as_the_sheet_says() -> None:
    masked = mask(Chunk(b"bytes", 7, 3, "SELECT 3", sheet=Stars()))
    assert (masked.data, masked.cells) == (b"*****", 2)
    assert (masked.statement, masked.rows, masked.tag, masked.direction) == (7, 3, "SELECT 3", Direction.TO_AGENT)
