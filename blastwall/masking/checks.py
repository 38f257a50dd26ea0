"""The last word on whether what looks like a value of some kind is one: digits that must add up, how letters spread.

Each check gets a text and the bounds of what its pattern matched, and yields the bounds of the values inside.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import operator
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

TABLE: Final[Mapping[str, Any]] = tomllib.loads((files(__package__) / "detectors.toml").read_text("utf-8"))

Span = tuple[int, int]
Check = Callable[[bytes, int, int], Iterator[Span]]


_WORD: Final = re.compile(rb"(?:[0-9]|\xef\xbc[\x90-\x99])+")
_FULL_WIDTH: Final = {0xFF10 + digit: 0x30 + digit for digit in range(10)}
_GAPS: Final = b" " + bytes(range(0x80, 0x100))  # between the characters of an IBAN, in UTF-8
#: What a letter or digit of an IBAN is worth, by its byte.
_VALUES: Final = tuple(str(int(chr(code), 36)) if code < 0x80 and chr(code).isalnum() else "" for code in range(256))
#: 1 a digit, 2 a capital, 3 a small letter, 0 anything else, by the byte.
_CLASSES: Final = bytes(
    1 if 0x30 <= code <= 0x39 else 2 if 0x41 <= code <= 0x5A else 3 if 0x61 <= code <= 0x7A else 0
    for code in range(256)
)
#: Random tokens are no longer (bytes); and what a character that is there so often takes from the entropy.
LONGEST_TOKEN: Final = 512
_WEIGHTS: Final = (0.0, *(count * math.log2(count) for count in range(1, LONGEST_TOKEN + 1)))
_TWICE: Final = bytes(
    (value * 2 - 9 if value > 4 else value * 2) if (value := code - 0x30) in range(10) else 0 for code in range(256)
)


def _digits(text: bytes, start: int, end: int) -> bytes:
    return bytes(byte for byte in text[start:end] if 0x30 <= byte <= 0x39)


def luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1 annex B. ``digits`` are ASCII digits."""
    plain = digits[::-2]
    total = sum(plain) - 0x30 * len(plain) + sum(digits[-2::-2].translate(_TWICE))
    return total % 10 == 0


@cache
def _lengths() -> Mapping[bytes, frozenset[int]]:
    """How long the cards are whose numbers begin with these four digits."""
    found: dict[bytes, frozenset[int]] = {}
    for row in TABLE["card"]["brands"]:
        width = 4 - len(str(row["first"]))
        for number in range(row["first"] * 10**width, (row["last"] + 1) * 10**width):
            start = b"%d" % number
            found[start] = found.get(start, frozenset()) | frozenset(row["lengths"])
    return found


@cache
def _groups() -> frozenset[tuple[int, ...]]:
    return frozenset(tuple(group) for group in TABLE["card"]["groups"])


def _is_card(digits: bytes) -> bool:
    return len(digits) in _lengths().get(digits[:4], ()) and len(set(digits)) > 1 and luhn(digits)


def _cards(text: bytes, start: int, end: int) -> Iterator[Span]:
    """Card numbers in a run of digit groups: in one piece, or grouped as people do it by one separator."""
    words = [found.span() for found in _WORD.finditer(text, start, end)]
    number = 0
    while number < len(words):
        first, last = words[number]
        taken = 0
        if text[first : min(first + 4, last)] in _lengths() or text[first] >= 0x80:
            taken = _card_at(text, words, number)
        if taken:
            yield first, words[number + taken - 1][1]
        number += max(taken, 1)


def _card_at(text: bytes, words: list[Span], number: int) -> int:
    """How many groups from this one on are a card number; 0 when none."""
    start, end = words[number]
    digits = _plain(text[start:end])
    if len(digits) >= 13:
        decimal = text[end : end + 1] == b"." and text[end + 1 : end + 2].isdigit()
        behind = start >= 2 and text[start - 1] == 0x2E and 0x30 <= text[start - 2] <= 0x39
        return 1 if not decimal and not behind and len(digits) <= 19 and _is_card(digits) else 0
    for count in (4, 5, 3):
        some = words[number : number + count]
        if len(some) < count:
            continue
        whole = _plain(text[start : some[-1][1]])
        join = text[end : some[1][0]]
        parts = whole.split(join)
        if len(parts) == count and tuple(map(len, parts)) in _groups() and _is_card(whole.replace(join, b"")):
            return count
    return 0


def _plain(word: bytes) -> bytes:
    """With digits as ASCII has them."""
    return word if word.isascii() else word.decode("utf-8").translate(_FULL_WIDTH).encode("utf-8")


def _iban(text: bytes, start: int, end: int) -> Iterator[Span]:
    """ISO 13616: 1 modulo 97, letters counting from 10."""
    plain = text[start:end].translate(None, _GAPS)
    if int("".join(map(_VALUES.__getitem__, plain[4:] + plain[:4]))) % 97 == 1:
        yield start, end


def _mixed(text: bytes, start: int, end: int) -> Iterator[Span]:
    """Base64 of random bytes has letters of both cases and digits."""
    value = text[start:end]
    if _classes(value) == 3:
        yield start, end


def _json_web_token(text: bytes, start: int, end: int) -> Iterator[Span]:
    """Its first part is a JSON object that names an algorithm (RFC 7515, section 4)."""
    first = text[start:end].split(b".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(first + b"=" * (-len(first) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return
    if isinstance(header, dict) and ("alg" in header or "enc" in header):
        yield start, end


def _telephone(text: bytes, start: int, end: int) -> Iterator[Span]:
    """8 to 15 digits (E.164)."""
    if 8 <= len(_digits(text, start, end)) <= 15:
        yield start, end


def _random_token(text: bytes, start: int, end: int) -> Iterator[Span]:
    """Neither a hash nor a UUID (hexadecimal), nor words: letters of both cases and digits, spread and mixed evenly."""
    value = text[start:end].rstrip(b"=")
    size = len(value)
    if size > LONGEST_TOKEN or not value.strip(b"0123456789abcdefABCDEF-"):
        return
    classes = value.translate(_CLASSES)
    if len(set(classes) - {0}) < 3 or sum(map(operator.ne, classes, classes[1:])) < 0.45 * size:
        return
    entropy = math.log2(size) - sum(map(_WEIGHTS.__getitem__, Counter(value).values())) / size
    if entropy >= 4.0:
        yield start, end


def _classes(value: bytes) -> int:
    return len(set(value.translate(_CLASSES)) - {0})


CHECKS: Final[Mapping[str, Check]] = {
    "cards": _cards,
    "iban": _iban,
    "mixed": _mixed,
    "json_web_token": _json_web_token,
    "telephone": _telephone,
    "random_token": _random_token,
}
