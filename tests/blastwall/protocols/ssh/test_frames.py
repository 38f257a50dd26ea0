from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.protocols.ssh.frames import Piece, pack, unpack


@given(st.sampled_from(Piece), st.binary(max_size=64))
def test_pieces_come_back(piece: Piece, data: bytes) -> None:
    assert unpack(pack(piece, data)) == (piece, data)


@pytest.mark.parametrize("data", [b"", b"\x00x", b"\xff"])
def test_what_is_no_piece(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"empty|not a valid"):
        unpack(data)
