"""Sealed under one key and one name, and under nothing else."""

from __future__ import annotations

import pytest

from blastwall.errors import OurFault
from blastwall.undo.sealing import seal, unseal

KEY, NONCE = b"k" * 32, b"n" * 12


def test_it_opens_with_its_key_and_name() -> None:
    sealed = seal(KEY, NONCE, "a-1", b"content")
    assert unseal(KEY, "a-1", sealed) == b"content" and b"content" not in sealed


@pytest.mark.parametrize(("key", "name"), [(b"o" * 32, "a-1"), (KEY, "a-2")])
def test_and_with_no_other(key: bytes, name: str) -> None:
    with pytest.raises(OurFault, match="does not open"):
        unseal(key, name, seal(KEY, NONCE, "a-1", b"content"))


@pytest.mark.parametrize("cut", [0, 5, 12, 20])
def test_a_piece_of_it_does_not_open(cut: int) -> None:
    with pytest.raises(OurFault, match="does not open"):
        unseal(KEY, "a-1", seal(KEY, NONCE, "a-1", b"content")[:cut])
