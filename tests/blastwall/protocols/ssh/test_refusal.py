from __future__ import annotations

import pytest

from blastwall.model import Denial, DenialCode
from blastwall.protocols.ssh.refusal import lines, said, status


@pytest.mark.parametrize("code", DenialCode)
def test_every_kind_has_a_status_that_is_no_success(code: DenialCode) -> None:
    assert 64 <= status(Denial(code, "x")) <= 126


def test_kinds_that_ask_for_different_things_can_be_told_apart() -> None:
    told = {status(Denial(code, "")) for code in (DenialCode.POLICY, DenialCode.PENDING, DenialCode.DENIED)}
    assert len(told) == 3


def test_the_words() -> None:
    denial = Denial(DenialCode.PENDING, "owners decide", "Send it again.", ("hold-writes",), ticket="a-1")
    assert lines(denial) == (
        b"blastwall: refused (hold-writes): owners decide\nblastwall: ticket a-1\nblastwall: Send it again.\n"
    )
    assert b"\r\n" in lines(denial, raw=True)


def test_whoever_is_quoted_cannot_steer_the_terminal() -> None:
    assert said("a\x1b[2Jb\u202e") == b"a?[2Jb?\n"
