from __future__ import annotations

import pytest

from blastwall.protocols.ssh.prompts import MOST_BYTES, Prompts


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


def test_what_follows_an_answer_in_one_piece_is_recorded() -> None:
    prompts = Prompts()
    prompts.shown(b"Password: ")
    assert prompts.hides(b"hunter2\rrm -rf x\r") == len(b"hunter2\r")
    assert not prompts.hides(b"ls\r")


def test_a_prompt_that_always_asks_hides_no_session() -> None:
    prompts = Prompts()
    hidden = 0
    for number in range(100):
        prompts.shown(b"\r\npassword: ")
        hidden += prompts.hides(b"x" * 99 + (b"\r" if number % 2 else b""))
    assert MOST_BYTES - 100 < hidden <= MOST_BYTES
