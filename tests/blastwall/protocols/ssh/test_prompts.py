from __future__ import annotations

import pytest

from blastwall.protocols.ssh.prompts import Prompts


@pytest.mark.parametrize(
    "asked",
    [b"Password: ", b"[sudo] password for deploy: ", b"Enter passphrase for key 'x': ", b"PIN: ", b"token> ", b"OTP: "],
)
def test_an_answer_to_a_question_for_a_secret_is_hidden(asked: bytes) -> None:
    prompts = Prompts()
    prompts.shown(b"Last login\r\n" + asked)
    assert prompts.hides(b"hunt")
    assert prompts.hides(b"er2\r")
    assert not prompts.hides(b"ls\r")


def test_a_question_may_come_in_pieces() -> None:
    prompts = Prompts()
    for byte in b"Password: ":
        prompts.shown(bytes((byte,)))
    assert prompts.hides(b"x")


@pytest.mark.parametrize("shown", [b"$ ", b"password changed\r\n$ ", b"the password: is old\r\n$ ", b""])
def test_the_rest_is_recorded(shown: bytes) -> None:
    prompts = Prompts()
    prompts.shown(shown)
    assert not prompts.hides(b"ls\r")
