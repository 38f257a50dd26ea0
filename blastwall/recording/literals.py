"""Where secrets stand in an SQL text: PostgreSQL's own lexer finds the literals, ``redact.toml`` says which of them.

Only the lexer runs here, never the grammar: it does not recurse, and the caller knows from the facts whether the text
parsed. Texts beyond the limits of ``blastwall.sql.limits`` are not looked into.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from blastwall.sql import grammar
from blastwall.sql.limits import excess

_TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("redact.toml").read_text(encoding="utf-8"))
_AFTER = frozenset(_TABLE["names"]["after"])
_BETWEEN = frozenset(_TABLE["names"]["between"])
_FUNCTIONS = frozenset(_TABLE["functions"]["names"])
_SETTING = frozenset(_TABLE["functions"]["setting"])
_INSIDE = re.compile("|".join(f"(?:{pattern})" for pattern in _TABLE["inside"]["patterns"]), re.IGNORECASE)
_VALUES = [re.compile(pattern, re.IGNORECASE) for pattern in _TABLE["inside"]["values"]]

# The lexer's token numbers, by name because they change with the grammar's version.
_number: Callable[[str], int] = import_module("postgast.pg_query_pb2").Token.Value
_STRINGS = frozenset(map(_number, ("SCONST", "USCONST", "BCONST", "XCONST")))
_CONSTANTS = _STRINGS | frozenset(map(_number, ("ICONST", "FCONST")))
_COMMENTS = frozenset(map(_number, ("SQL_COMMENT", "C_COMMENT")))
_PARAM, _OPEN, _CLOSE = map(_number, ("PARAM", "ASCII_40", "ASCII_41"))
_DOLLARS = re.compile(rb"\$[^$]*\$")

MAX_DEPTH = 3  # SQL inside SQL inside SQL; deeper literals are removed whole when they look like they hold a secret
MAX_BETWEEN = 3


class Unreadable(Exception):
    """The text has no tokens to find literals by."""


@dataclass(frozen=True, slots=True)
class Find:
    """Secrets of one text: byte spans with what to put there, the parameters ($n) that are secret, and the values."""

    spans: Sequence[tuple[int, int, bytes]]
    parameters: frozenset[int]
    values: tuple[bytes, ...]


def find(raw: bytes, secret: Callable[[bytes], bool], depth: int = 0) -> Find:
    """Find the secrets of ``raw`` (UTF-8). ``secret`` tells whether a literal's value is one by itself.

    Raises :class:`Unreadable` when the lexer does not take the text, or a limit forbids asking it.
    """
    search = _Search(raw, secret, depth)
    for token in _tokens(raw):
        search.take(token.token, token.start, token.end)
    return Find(search.spans, frozenset(search.parameters), tuple(search.values))


def constants(raw: bytes) -> Sequence[tuple[int, int]]:
    """Where literals stand in ``raw`` (UTF-8), as byte spans. Raises :class:`Unreadable` as ``find`` does."""
    return [(each.start, each.end) for each in _tokens(raw) if each.token in _CONSTANTS]


def _tokens(raw: bytes) -> Sequence[Any]:
    if b"\0" in raw or excess(raw) is not None:
        raise Unreadable
    try:
        raw.decode()
        found: Sequence[Any] = grammar.scan(raw).tokens
    except (grammar.Unparsed, UnicodeDecodeError) as error:
        raise Unreadable from error
    return found


class _Search:
    """One pass over the tokens. Armed: the next literal is a secret. Inside: all up to a closing bracket are."""

    def __init__(self, raw: bytes, secret: Callable[[bytes], bool], depth: int) -> None:
        self._raw = raw
        self._secret = secret
        self._depth = depth
        self._armed = 0  # how many words may still stand between the name and its literal
        self._called = False  # the last token named a listed function
        self._setting = 0  # 1: the last token named a function that sets what its first argument names, 2: that is next
        self._inside = 0  # bracket depth within a listed function's arguments
        self.spans: list[tuple[int, int, bytes]] = []
        self.parameters: set[int] = set()
        self.values: list[bytes] = []

    def take(self, kind: int, start: int, end: int) -> None:
        if kind in _COMMENTS:
            self._comment(start, end)
            return
        text = self._raw[start:end]
        if kind in _STRINGS:
            self._literal(text, start, end)
            self._armed = 0
        elif kind == _PARAM:
            if self._armed or self._inside:
                self.parameters.add(int(text[1:]))
            self._armed = 0
        elif kind == _OPEN:
            if self._called or self._inside:
                self._inside += 1
            self._setting = 2 if self._setting == 1 else 0
            self._armed = max(self._armed - 1, 0)
        elif kind == _CLOSE:
            self._inside = max(self._inside - 1, 0)
            self._armed = 0
        else:
            name = plain_name(text)
            if _last(name) in _AFTER:
                self._armed = MAX_BETWEEN + 1
            else:
                self._armed = self._armed - 1 if self._armed and name in _BETWEEN else 0
            self._called = name in _FUNCTIONS
            self._setting = 1 if name in _SETTING else 0
            return
        self._called = False

    def _literal(self, text: bytes, start: int, end: int) -> None:
        value = literal_value(text)
        if self._armed or self._inside or self._secret(value):
            self._remove(value, start, end, b"'***'")
            return
        if self._setting == 2:
            self._setting = 0
            if _last(value.decode("utf-8", "replace").lower()) in _AFTER:
                self._inside = 1  # all up to the closing bracket
                return
        inner = _DOLLARS.match(text)
        if inner is not None and self._depth < MAX_DEPTH:
            tag = len(inner.group())
            try:
                found = find(text[tag:-tag], self._secret, self._depth + 1)
            except Unreadable:
                pass  # prose between dollars; judged as a whole below
            else:
                self.spans += [(start + tag + low, start + tag + high, put) for low, high, put in found.spans]
                self.values += found.values
                return
        if _INSIDE.search(value.decode("utf-8", "replace")):
            self._remove(value, start, end, b"'***'")

    def _comment(self, start: int, end: int) -> None:
        text = self._raw[start:end]
        if self._secret(text) or _INSIDE.search(text.decode("utf-8", "replace")):
            self._remove(text, start, end, b"/* *** */")

    def _remove(self, value: bytes, start: int, end: int, put: bytes) -> None:
        self.spans.append((start, end, put))
        self.values.append(value)
        text = value.decode("utf-8", "replace")
        for pattern in _VALUES:
            self.values += [found.encode() for found in pattern.findall(text)]


def _last(name: str) -> str:
    """Of a setting's name in one piece ("app.password") what stands behind its last dot."""
    return name.rpartition(".")[2]


def plain_name(token: bytes) -> str:
    """A keyword or identifier as the server compares it: unquoted, escapes resolved, folded to lower case."""
    text = token.decode("utf-8", "replace")
    if text[:3].lower() == 'u&"':
        return _unescape(text[3:-1].replace('""', '"')).lower()
    if text.startswith('"'):
        return text[1:-1].replace('""', '"').lower()
    return text.lower()


def literal_value(token: bytes) -> bytes:
    """The value of a string literal token. Backslash escapes are resolved far enough to recognise what they spell."""
    dollars = _DOLLARS.match(token)
    if dollars is not None:
        tag = len(dollars.group())
        return token[tag:-tag]
    text = token.decode("utf-8", "replace")
    quote = text.find("'")
    prefix, body = text[:quote].lower(), text[quote + 1 : -1]
    body = _CONTINUED.sub("", body).replace("''", "'")
    if prefix == "e":
        body = _ESCAPE.sub(_escape, body)
    elif prefix == "u&":
        body = _unescape(body)
    return body.encode("utf-8", "replace")


_CONTINUED = re.compile(r"'\s*[\n\r]\s*'")  # 'a'<newline>'b' is one literal
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[0-7]{1,3}|.)", re.S)
_UNICODE = re.compile(r"\\(\+[0-9A-Fa-f]{6}|[0-9A-Fa-f]{4}|\\)")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _escape(match: re.Match[str]) -> str:
    code = match.group(1)
    if code[0] in "xuU" and len(code) > 1:
        return _character(code[1:], 16)
    if code[0] in "01234567":
        return _character(code, 8)
    return _LETTERS.get(code, code)


def _unescape(body: str) -> str:
    return _UNICODE.sub(lambda match: "\\" if match.group(1) == "\\" else _character(match.group(1), 16), body)


def _character(digits: str, base: int) -> str:
    point = int(digits, base)
    return chr(point) if point < 0x110000 else "\ufffd"
