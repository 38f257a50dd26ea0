from __future__ import annotations

from blastwall.protocols.ssh.frames import Piece
from blastwall.protocols.ssh.terminal import shown, typed


def test_keys_become_what_the_host_would_have_made_of_them() -> None:
    assert list(typed(b"one\rtwo\x03three\x04")) == [
        (Piece.INPUT, b"one\ntwo"),
        (Piece.SIGNAL, b"INT"),
        (Piece.INPUT, b"three"),
        (Piece.END_OF_INPUT, b""),
    ]
    assert list(typed(b"\x1c")) == [(Piece.SIGNAL, b"QUIT")]
    assert list(typed(b"")) == []


def test_lines_return_to_the_left() -> None:
    assert shown(b"a\nb\n") == b"a\r\nb\r\n"
