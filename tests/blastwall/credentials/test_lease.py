"""Leases: how long, under which name, and when to try again."""

from __future__ import annotations

import pytest

from blastwall.credentials.lease import cap, retry_at, role_name
from blastwall.model import Principal, Session

NOW = 1_800_000_000.0


def session(ends: float, token_ends: float) -> Session:
    return Session("s-abc", Principal("iss", "sub", "bot", expires_at=token_ends), "shop", NOW, ends)


@pytest.mark.parametrize(
    ("session_ends", "token_ends", "maximum", "expected"),
    [(100, 200, 300, 100), (200, 100, 300, 100), (300, 200, 100, 100), (50, 50, 50, 50)],
)
def test_the_shortest_life_counts(session_ends: float, token_ends: float, maximum: float, expected: float) -> None:
    assert cap(session(NOW + session_ends, NOW + token_ends), maximum, NOW) == NOW + expected


def test_names_carry_the_session_and_never_meet() -> None:
    assert role_name("s-abcdefghijkl") == "bw_s_abcdefghijkl"
    assert role_name("s-abcdefghijkl", 3) == "bw_s_abcdefghijkl__3"
    assert role_name("s-abc-2") != role_name("s-abc", 2)
    assert len(role_name("s" * 48, 100)) <= 63


@pytest.mark.parametrize("id", ["", "S-abc", "s_abc", "s--abc", "-abc", "abc-", "s'abc", "s" * 49, "s-ä", "a\n"])
def test_what_is_no_session_id_makes_no_name(id: str) -> None:
    with pytest.raises(ValueError, match="names no login"):
        role_name(id)


@pytest.mark.parametrize("number", [0, -1, 101])
def test_a_session_has_a_bounded_number_of_them(number: int) -> None:
    with pytest.raises(ValueError):
        role_name("s-abc", number)


def test_a_lease_that_does_not_end_is_tried_ever_more_slowly() -> None:
    assert [retry_at(NOW, attempts) - NOW for attempts in (0, 1, 5, 11, 12, 50)] == [5, 5, 5, 5, 30, 30]
