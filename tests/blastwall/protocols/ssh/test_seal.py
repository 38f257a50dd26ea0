from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import TokenFault
from blastwall.model import Secret
from blastwall.protocols.ssh.seal import LONGEST, NONCE_BYTES, seal, sealing_key, unseal

KEY = sealing_key(b"a private key")
NONCE = bytes(range(NONCE_BYTES))


@given(st.text(st.characters(codec="ascii"), max_size=3000))
def test_what_was_sealed_comes_out(token: str) -> None:
    assert unseal(seal(Secret(token), KEY, NONCE), KEY).reveal() == token


def test_nobody_else_opens_it() -> None:
    sealed = seal(Secret("eyJhbGciOi"), KEY, NONCE)
    assert "eyJhbGciOi" not in sealed
    with pytest.raises(TokenFault, match="not made by this gateway"):
        unseal(sealed, sealing_key(b"another key"))


@given(st.data())
def test_a_changed_seal_is_broken(data: st.DataObject) -> None:
    sealed = seal(Secret("token" * 20), KEY, NONCE)
    place = data.draw(st.integers(0, len(sealed) - 2))
    other = data.draw(st.sampled_from("ABab01-_.").filter(lambda character: character != sealed[place]))
    changed = sealed[:place] + other + sealed[place + 1 :]
    with pytest.raises(TokenFault):
        unseal(changed, KEY)


@pytest.mark.parametrize("text", ["", "blastwall1.", "blastwall1.!!!!", "blastwall2.AAAA", "deploy", "blastwall1.AAAA"])
def test_what_is_no_seal(text: str) -> None:
    with pytest.raises(TokenFault):
        unseal(text, KEY)


def test_a_seal_without_end_is_not_read() -> None:
    with pytest.raises(TokenFault):
        unseal("blastwall1." + "A" * LONGEST, KEY)
