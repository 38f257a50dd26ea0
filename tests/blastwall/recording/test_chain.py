"""The chain's value depends on everything it is said to depend on, and on nothing ambiguous."""

from __future__ import annotations

from hashlib import sha256

import pytest

from blastwall.recording.chain import link, origin, session_key
from blastwall.recording.codec import preamble


def test_the_value_is_the_documented_hash():
    first = sha256(b"blastwall recording chain 1\0" + preamble() + b"id-1").digest()
    assert origin("id-1") == first
    session = b"\0\x09session-1"
    assert session_key("session-1") == session
    assert link(first, session, b"head", [b"pay", b"load"]) == sha256(first + session + b"head" + b"payload").digest()


@pytest.mark.parametrize(
    "other",
    [
        (origin("id-2"), session_key("s"), b"head", [b"payload"]),
        (origin("id-1"), session_key("t"), b"head", [b"payload"]),
        (origin("id-1"), session_key("s"), b"Head", [b"payload"]),
        (origin("id-1"), session_key("s"), b"head", [b"payloae"]),
    ],
)
def test_every_ingredient_changes_the_value(other):
    assert link(*other) != link(origin("id-1"), session_key("s"), b"head", [b"payload"])


def test_a_session_id_cannot_borrow_bytes_from_what_follows_it():
    assert link(bytes(32), session_key("ab"), b"c", []) != link(bytes(32), session_key("a"), b"bc", [])


def test_a_session_id_has_a_limit():
    with pytest.raises(ValueError, match="65,535"):
        session_key("x" * 65_536)
