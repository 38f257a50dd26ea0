"""Limits: what is refused unread, what passes, and that the outline sees what PostgreSQL's lexer sees."""

from __future__ import annotations

import dataclasses
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.sql import grammar
from blastwall.sql.limits import LIMITS, excess, outline


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"SELECT 1 " + b"x" * LIMITS.text_bytes, "bytes"),
        (b"/*" * 501 + b"SELECT 1", "comments"),
        (b"SELECT 1" + b"+-" * 40 + b"1", "operator characters"),
        (b"SELECT " + b"(" * 201 + b"1" + b")" * 201, "nests"),
        (b"SELECT a" + b"[(" * 101 + b"1" + b")]" * 101, "nests"),
    ],
)
def test_each_limit_says_which_it_is(text: bytes, said: str) -> None:
    assert said in (excess(text) or "")


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT " + b"(" * 200 + b"1" + b")" * 200,
        b"SELECT 1 " + b"/**/" * 500,
        b"SELECT 1 OPERATOR(pg_catalog." + b"+" * 63 + b") 2",
        b"INSERT INTO t VALUES " + b",".join([b"(1, 'a')"] * 1000),
        b"SELECT '" + b"(" * 300 + b"'",
        b"SELECT '" + b"-" * 100 + b"' AS ruler",
        b"-- " + b"=" * 100 + b"\nSELECT 1",
        b"/* " + b"*" * 100 + b" */ SELECT 1",
        b'SELECT 1 AS "' + b"+" * 63 + b'+"',
        b"SELECT $x$" + b"[" * 300 + b"$x$, E'\\'" + b"+" * 80 + b"'",
    ],
)
def test_honest_texts_pass(text: bytes) -> None:
    assert excess(text) is None


def test_operators_count_again_after_a_literal_ends() -> None:
    assert "operator" in (excess(b"SELECT E'\\\\'" + b"+" * 80 + b"'x'") or "")
    assert "operator" in (excess(b"SELECT 'it''s'" + b"+" * 80 + b"1") or "")
    assert "operator" in (excess(b"SELECT $a$ $b$ $a$" + b"+" * 80 + b"1") or "")
    assert "operator" in (excess(b"SELECT 1 -- c\r" + b"+" * 80 + b"1") or "")
    assert "operator" in (excess(b"SELECT /* a /* b */ ' */ 1" + b"+" * 80 + b"1") or "")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (b"SELECT 'a' b", b"SELECT   b"),
        (b"SELECT 'a''b' c", b"SELECT    c"),
        (b"SELECT E'a\\'b' c", b"SELECT E  c"),
        (b"SELECT fooe'a\\' b", b"SELECT fooe  b"),
        (b'SELECT "a""b" c', b"SELECT    c"),
        (b"SELECT $$a'b$$ c", b"SELECT   c"),
        (b"SELECT $t$a$$b$t$ c", b"SELECT   c"),
        (b"SELECT a$t$ b", b"SELECT a$t$ b"),
        (b"SELECT $1 + $2", b"SELECT $1 + $2"),
        (b"SELECT 1 -- x\n+ 2", b"SELECT 1  + 2"),
        (b"SELECT /* a /* b */ c */ 2", b"SELECT   2"),
        (b"SELECT /*/*/ ' */ */ 2", b"SELECT   2"),
        (b"SELECT $$a$$e'b\\'' c", b"SELECT  e  c"),
        (b"SELECT 'open", b"SELECT  "),
    ],
)
def test_outline(text: bytes, left: bytes) -> None:
    assert outline(text) == left


PIECES = st.sampled_from(
    [
        "'",
        "''",
        '"',
        "--",
        "/*",
        "*/",
        "$$",
        "$a$",
        "\\",
        "\n",
        " ",
        "E",
        "e'",
        "a",
        "(",
        ")",
        "[",
        "]",
        ";",
        "-",
        "/",
        "ü",
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_the_outline_keeps_exactly_the_brackets_the_lexer_keeps(text: str) -> None:
    raw = text.encode()
    try:
        tokens = grammar.scan(raw).tokens
    except grammar.Unparsed:
        return  # the lexer refuses the text, and so will the parser
    seen = b"".join(
        raw[token.start : token.end] for token in tokens if raw[token.start : token.end] in (b"(", b")", b"[", b"]")
    )
    if "E" not in text.upper():  # the corners left out: continued E'' literals; $$ right after a number
        assert bytes(byte for byte in outline(raw) if byte in b"()[]") == seen


def test_a_megabyte_of_anything_is_judged_in_linear_time() -> None:
    for piece in (b"'", b"-- x\n", b"-", b"$a", b"$$", b"/**/", b"E'\\'", b'"', b"([", b"+ "):
        text = (b"(" * 201 + piece * (LIMITS.text_bytes // len(piece)))[: LIMITS.text_bytes]
        started = time.perf_counter()
        excess(text, dataclasses.replace(LIMITS, comment_openings=1 << 30))
        assert time.perf_counter() - started < 5, piece
