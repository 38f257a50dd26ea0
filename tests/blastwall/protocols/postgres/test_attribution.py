"""Names in the database's log: bounded, readable, and unable to say more than a name."""

from __future__ import annotations

import pytest

from blastwall.model import Bearer
from blastwall.protocols.postgres.attribution import application_name, comment

BEARER = Bearer("s-abcdefghijkl", "shop-bot", "ada@example.test")


def test_the_name_says_who_for_whom_and_with_what() -> None:
    assert application_name(BEARER, "psql") == "s-abcdefghijkl shop-bot for ada@example.test: psql"
    assert application_name(Bearer("s-1", "bot"), "") == "s-1 bot"


def test_the_session_always_fits_and_nothing_else_gets_in() -> None:
    name = application_name(Bearer("s-abcdefghijkl", "x" * 200, "é\n"), "psql")
    assert len(name) == 63 and name.startswith("s-abcdefghijkl xxx")
    assert application_name(Bearer("s-1", "bót\n"), "a\tb") == "s-1 b?t?: a?b"


def test_the_comment_names_them_in_order() -> None:
    assert comment(BEARER) == b"\n/*agent='shop-bot',person='ada%40example.test',session='s-abcdefghijkl'*/"
    assert b"person" not in comment(Bearer("s-1", "bot"))


@pytest.mark.parametrize("name", ["a*/ DROP TABLE x; /*", "a'b", "a\nb", "a--b\x00", "é/*", "%*/"])
def test_no_name_ends_the_comment(name: str) -> None:
    text = comment(Bearer("s-1", name, name))
    assert text.count(b"*/") == 1 and text.endswith(b"*/") and text.count(b"/*") == 1
    assert text.count(b"\n") == 1 and b"\0" not in text and text.count(b"'") == 6
