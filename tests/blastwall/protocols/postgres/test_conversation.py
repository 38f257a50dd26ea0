"""Cancel keys: the gateway's own, for the right holder only, and not to be guessed (W20)."""

from __future__ import annotations

import socket

from blastwall.conversation import Host
from blastwall.protocols.postgres.conversation import WRONG_CANCELS, CancelKeys, PostgresConversation
from blastwall.protocols.postgres.requests import CancelRequest


def conversation() -> PostgresConversation:
    ours, theirs = socket.socketpair()
    theirs.close()
    return PostgresConversation(ours, Host(None, True, {}))


def test_w20_only_the_whole_key_finds_its_conversation() -> None:
    keys = CancelKeys()
    mine, other = conversation(), conversation()
    pid, secret = keys.issue(mine, 0)
    other_pid, other_secret = keys.issue(other, 2)
    assert (len(secret), len(other_secret)) == (4, 32)
    assert keys.find(CancelRequest(pid, secret), 0.0) is mine
    assert keys.find(CancelRequest(other_pid, other_secret), 0.0) is other
    assert keys.find(CancelRequest(pid, other_secret), 0.0) is None
    assert keys.find(CancelRequest(pid, secret[:3] + bytes([secret[3] ^ 1])), 0.0) is None
    assert keys.find(CancelRequest(0, b""), 0.0) is None


def test_w20_guessing_is_slowed_down_and_forgotten_keys_are_dead() -> None:
    keys = CancelKeys()
    mine = conversation()
    pid, secret = keys.issue(mine, 0)
    for _ in range(WRONG_CANCELS):
        assert keys.find(CancelRequest(pid, b"\0\0\0\0" if secret != b"\0\0\0\0" else b"\1\0\0\0"), 10.0) is None
    assert keys.find(CancelRequest(pid, secret), 11.0) is None, "too many wrong ones: nobody is looked up"
    assert keys.find(CancelRequest(pid, secret), 71.0) is mine
    keys.forget(pid)
    assert keys.find(CancelRequest(pid, secret), 72.0) is None


async def test_closing_twice_is_closing_once() -> None:
    one = conversation()
    await one.close()
    await one.close()
