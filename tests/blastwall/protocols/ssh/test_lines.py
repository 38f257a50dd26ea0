from __future__ import annotations

from blastwall.protocols.ssh.lines import LONGEST, PATIENCE, Lines


def test_a_line_comes_when_it_ends() -> None:
    lines = Lines()
    assert lines.feed(1, 1, "output", b"ab") == b""
    assert lines.feed(2, 1, "output", b"c\r\nd") == b"abc\r\n"
    assert lines.feed(3, 1, "output", b"e\n") == b"de\n"
    assert list(lines.rest()) == []


def test_streams_and_statements_do_not_mix() -> None:
    lines = Lines()
    assert (
        lines.feed(1, 1, "output", b"a") == lines.feed(1, 1, "errors", b"b") == lines.feed(1, 2, "output", b"c") == b""
    )
    assert lines.feed(2, 1, "errors", b"\n") == b"b\n"
    assert list(lines.rest(1)) == [(1, "output", b"a")]
    assert list(lines.rest()) == [(2, "output", b"c")]


def test_typed_lines_end_with_their_keys() -> None:
    lines = Lines()
    assert lines.feed(1, 1, "input", b"l") == b""
    assert lines.feed(2, 1, "input", b"s\r") == b"ls\r"
    assert lines.feed(3, 1, "input", b"top\x03") == b"top\x03"
    assert lines.feed(4, 1, "output", b"\x03") == b""


def test_nothing_waits_for_ever() -> None:
    lines = Lines()
    lines.feed(5, 1, "output", b"Password: ")
    assert list(lines.overdue(5 + PATIENCE)) == []
    assert list(lines.overdue(6 + PATIENCE)) == [(1, "output", b"Password: ")]
    assert list(lines.overdue(9 * PATIENCE)) == []
    assert lines.feed(7, 1, "output", b"x" * (LONGEST + 1)) == b"x" * (LONGEST + 1)


def test_what_was_overwritten_stays() -> None:
    lines = Lines()
    lines.feed(1, 1, "output", b"rm -rf /")
    assert lines.feed(2, 1, "output", b"\r\x1b[Kls\n") == b"rm -rf /\r\x1b[Kls\n"
