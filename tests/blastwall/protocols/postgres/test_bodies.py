"""Names, strings and numbers end within their frame, or the message is a violation."""

from __future__ import annotations

import pytest

from blastwall.protocols.postgres.bodies import NAME_LIMIT, MessageViolation, name_end, numbers, string_end


def test_a_name_ends_at_its_nul_and_is_bounded() -> None:
    assert name_end(b"ab\0c\0", 0, 5, b"B") == 2
    assert name_end(b"\0", 0, 1, b"B") == 0
    longest = b"x" * NAME_LIMIT + b"\0"
    assert name_end(longest, 0, len(longest), b"B") == NAME_LIMIT
    with pytest.raises(MessageViolation, match="more than 255"):
        name_end(b"x" + longest, 0, len(longest) + 1, b"B")


def test_nothing_is_read_behind_the_frame() -> None:
    with pytest.raises(MessageViolation, match="invalid string"):
        name_end(b"ab\0", 0, 2, b"B")
    with pytest.raises(MessageViolation, match="invalid string"):
        string_end(b"ab\0", 0, 2, b"P")
    for end in range(6):
        with pytest.raises(MessageViolation, match="insufficient data"):
            numbers(b"\0\2\0\1\0\0\0", 0, end, "H", 2, b"B")


def test_numbers_are_told_with_where_they_end() -> None:
    assert numbers(b"\0\0", 0, 2, "H", 2, b"B") == ((), 2)
    assert numbers(b"\0\1\0\1", 0, 4, "H", 2, b"B") == ((1,), 4)
    assert numbers(b"\0\2\0\1\0\0", 0, 6, "H", 2, b"B") == ((1, 0), 6)
    assert numbers(b"\0\1\0\0\0\x17", 0, 6, "I", 4, b"P") == ((23,), 6)


@pytest.mark.parametrize(("kind", "extended"), [(b"B", True), (b"P", True), (b"Q", False)])
def test_what_the_server_would_do_next_follows_from_the_type(kind: bytes, extended: bool) -> None:
    assert MessageViolation("x", kind=kind).extended is extended
