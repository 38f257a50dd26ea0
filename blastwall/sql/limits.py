"""Limits on PostgreSQL texts (``limits.toml``), and the cheap checks that need no parser.

The checks look at the text with C-speed byte operations first; only a text that looks suspicious that way is outlined,
which knows about literals and comments. The outline is a judge of cost, not of meaning: where it disagrees with the
server's lexer in a corner, the worker's deadline still holds.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """The table in ``limits.toml``, which says what each number is for. Sizes in bytes, times in seconds."""

    text_bytes: int
    comment_openings: int
    operator_run: int
    nesting: int
    structure_tokens: int
    all_tokens: int
    parse_inline_bytes: int
    deparse_inline_bytes: int
    worker_processes: int
    worker_seconds: float
    worker_start_seconds: float
    worker_memory_bytes: int
    worker_stack_bytes: int
    worker_answer_bytes: int
    worker_requests: int


def _load() -> Limits:
    table = tomllib.loads(Path(__file__).with_name("limits.toml").read_text(encoding="utf-8"))
    text, tokens, inline, worker = table["text"], table["tokens"], table["inline"], table["worker"]
    return Limits(
        text_bytes=text["bytes"],
        comment_openings=text["comment_openings"],
        operator_run=text["operator_run"],
        nesting=text["nesting"],
        structure_tokens=tokens["structure"],
        all_tokens=tokens["all"],
        parse_inline_bytes=inline["parse_bytes"],
        deparse_inline_bytes=inline["deparse_bytes"],
        worker_processes=worker["processes"],
        worker_seconds=worker["seconds"],
        worker_start_seconds=worker["start_seconds"],
        worker_memory_bytes=worker["memory_bytes"],
        worker_stack_bytes=worker["stack_bytes"],
        worker_answer_bytes=worker["answer_bytes"],
        worker_requests=worker["requests_before_renewal"],
    )


LIMITS = _load()

_OPERATORS = b"~!@#^&|`?+-*/%<>="
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$") | frozenset(range(128, 256))
_FLATTEN = bytes(43 if byte in _OPERATORS else 32 for byte in range(256))  # every operator character becomes "+"
_MARKS = bytes(1 if byte in b"'\"-/$" else 0 for byte in range(256))
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"()[]")
_STEP = {40: 1, 91: 1, 41: -1, 93: -1}


def excess(raw: bytes, limits: Limits = LIMITS) -> str | None:
    """Why this text (UTF-8) may not be parsed at all, in one sentence safe to show; None when it may.

    Linear in the text. Token counts are the worker's affair.
    """
    if len(raw) > limits.text_bytes:
        return f"The statement is longer than {limits.text_bytes} bytes."
    if raw.count(b"/*") > limits.comment_openings:
        return f"The statement opens more than {limits.comment_openings} comments."
    run = b"+" * (limits.operator_run + 1)
    deep = raw.count(b"(") + raw.count(b"[") > limits.nesting
    if not deep and run not in raw.translate(_FLATTEN):
        return None
    code = outline(raw)
    if run in code.translate(_FLATTEN):
        return f"The statement has more than {limits.operator_run} operator characters in a row."
    if (
        deep
        and max(accumulate(map(_STEP.__getitem__, code.translate(None, _NOT_BRACKETS))), default=0) > limits.nesting
    ):
        return f"The statement nests brackets more than {limits.nesting} deep."
    return None


def outline(raw: bytes) -> bytes:
    """``raw`` without its literals, quoted names and comments: each becomes one space.

    One that is not closed reaches to the end. Follows PostgreSQL's lexer with standard_conforming_strings on
    ('..', E'..', "..", $tag$..$tag$, --, nested /* */), but for an E'..' continued on another line and a $$ right after
    a number.
    """
    raw = raw.replace(b"\r", b"\n")  # either ends a line comment
    marks = raw.translate(_MARKS)
    pieces: list[bytes] = []
    start = 0
    at = marks.find(1)
    while at >= 0:
        end = _skip(raw, start, at)
        if end is None:
            at = marks.find(1, at + 1)
            continue
        pieces.append(raw[start:at])
        start = end
        at = marks.find(1, end)
    pieces.append(raw[start:])
    return b" ".join(pieces)


def _skip(raw: bytes, start: int, at: int) -> int | None:
    """Where the literal, name or comment that begins at ``at`` ends; None when none begins there.

    ``start`` is where the last one ended: what stands before it is no part of a word.
    """
    match raw[at]:
        case 39:  # '
            escapes = at > start and raw[at - 1] in b"eE" and (at - 1 == start or raw[at - 2] not in _WORD)
            return _escaped(raw, at + 1) if escapes else _past(raw, b"'", at + 1)
        case 34:  # "
            return _past(raw, b'"', at + 1)
        case 45 if raw.startswith(b"--", at):
            return _past(raw, b"\n", at + 2)
        case 47 if raw.startswith(b"/*", at):
            return _comment(raw, at + 2)
        case 36 if at == start or raw[at - 1] not in _WORD:
            return _dollars(raw, at)
        case _:
            return None


def _past(raw: bytes, close: bytes, at: int) -> int:
    end = raw.find(close, at)  # a doubled quote reads as two literals side by side: the same outline
    return len(raw) if end < 0 else end + len(close)


def _escaped(raw: bytes, at: int) -> int:
    while True:
        quote = raw.find(b"'", at)
        if quote < 0:
            return len(raw)
        slash = raw.find(b"\\", at, quote)
        if slash < 0:
            return quote + 1
        at = slash + 2


def _comment(raw: bytes, at: int) -> int:
    depth = 1
    while depth:
        close = raw.find(b"*/", at)
        if close < 0:
            return len(raw)
        opening = raw.find(b"/*", at, close + 1)  # "/*/" opens
        if opening >= 0:
            depth, at = depth + 1, opening + 2
        else:
            depth, at = depth - 1, close + 2
    return at


def _dollars(raw: bytes, at: int) -> int | None:
    close = raw.find(b"$", at + 1, at + 66)
    tag = raw[at + 1 : close] if close >= 0 else b"0"
    if any(byte not in _WORD for byte in tag) or tag[:1].isdigit():
        return None
    return _past(raw, raw[at : close + 1], close + 1)
