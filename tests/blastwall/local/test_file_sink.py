"""Files that outlive the process: whole blocks, one system call each, and nothing taken in part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from blastwall.local.file_sink import SMALL, FileSink
from blastwall.local.spool import Disk


@pytest.mark.parametrize(
    "parts", [[b"head", b"body"], [b"head", b"x" * SMALL, b"tail"], [b"1"] * 2000 + [b"x" * SMALL]]
)
def test_a_block_is_one_call_and_stands_in_the_file(tmp_path: Path, parts: list[bytes]) -> None:
    calls: list[Sequence[bytes]] = []

    def write(descriptor: int, given: Sequence[bytes]) -> int:
        calls.append(given)
        return Disk().write(descriptor, given)

    sink = FileSink(tmp_path / "a.bwr", Disk(write))
    sink.write(parts, sum(map(len, parts)))
    assert sink.settle() is sink.room() is None, "the kernel has it"
    sink.close()
    sink.close()
    assert (tmp_path / "a.bwr").read_bytes() == b"".join(parts)
    assert len(calls) == 1


@pytest.mark.parametrize("size", [10, SMALL])
def test_a_block_that_is_taken_in_part_is_an_error(tmp_path: Path, size: int) -> None:
    sink = FileSink(tmp_path / "a.bwr", Disk(lambda descriptor, parts: size - 1))
    with pytest.raises(OSError, match="were taken"):
        sink.write([b"x" * size], size)
    sink.close()
