from __future__ import annotations

import random

import pytest

from blastwall.masking.detectors import Detectors, detectors
from blastwall.protocols.ssh.frames import Piece, pack
from blastwall.protocols.ssh.sheet import StreamSheet

TEXT = b"user ada@example.com with AKIAIOSFODNN7EXAMPLE and 219-09-9999 came by\n"


@pytest.fixture
def look() -> Detectors:
    found = detectors("mask")
    assert found is not None
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 100])
def test_values_are_found_however_they_are_cut(look: Detectors, size: int) -> None:
    sheet = StreamSheet(look)
    out = b""
    cells = 0
    for start in range(0, len(TEXT), size):
        data, count = sheet.masked(pack(Piece.OUTPUT, TEXT[start : start + size]))
        assert data[0] == Piece.OUTPUT
        out += data[1:]
        cells += count
    sheet.flush = True
    data, count = sheet.masked(pack(Piece.OUTPUT, b""))
    out += data[1:]
    assert not sheet.holds
    assert len(out) == len(TEXT)
    assert b"AKIAIOSFODNN7EXAMPLE" not in out and b"219-09-9999" not in out and b"ada@example.com" not in out
    assert cells + count >= 3
    assert out.startswith(b"user ") and out.endswith(b" came by\n")


def test_what_is_held_is_known(look: Detectors) -> None:
    sheet = StreamSheet(look)
    sheet.masked(pack(Piece.ERRORS, b"AKIAIOSF"))
    assert sheet.holds
    sheet.flush = True
    assert sheet.masked(pack(Piece.ERRORS, b""))[0] == pack(Piece.ERRORS, b"AKIAIOSF")
    assert not sheet.holds


def test_binary_data_stays_whole(look: Detectors) -> None:
    """Patterns come up in noise by chance: an archive must arrive as it was."""
    noise = random.Random(7).randbytes(2_000_000)
    assert look.scan(noise), "the noise holds what looks like values"
    sheet = StreamSheet(look)
    out = b"".join(
        sheet.masked(pack(Piece.OUTPUT, noise[start : start + 65536]))[0][1:] for start in range(0, len(noise), 65536)
    )
    sheet.flush = True
    assert out + sheet.masked(pack(Piece.OUTPUT, b""))[0][1:] == noise


def test_text_behind_binary_data_is_still_looked_through(look: Detectors) -> None:
    sheet = StreamSheet(look)
    sheet.flush = True
    data, _ = sheet.masked(pack(Piece.OUTPUT, bytes(5000) + b"\n" * 4 + TEXT * 3))
    assert data.count(b"AKIAIOSFODNN7EXAMPLE") <= 1
