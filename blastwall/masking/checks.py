"""The last word on whether what looks like a value of some kind is one: digits that must add up, how letters spread.

Each check gets a text and the bounds of what its pattern matched, and yields the bounds of the values inside.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final

TABLE: Final[Mapping[str, Any]] = tomllib.loads((files(__package__) / "detectors.toml").read_text("utf-8"))

Span = tuple[int, int]
Check = Callable[[bytes, int, int], Iterator[Span]]


def _digits(text: bytes, start: int, end: int) -> bytes:
    return bytes(byte for byte in text[start:end] if 0x30 <= byte <= 0x39)


def luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1 annex B. ``digits`` are ASCII digits."""
    total = 0
    for place, byte in enumerate(reversed(digits)):
        value = byte - 0x30
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


@cache
def _brands() -> tuple[tuple[int, int, int, frozenset[int]], ...]:
    rows = TABLE["card"]["brands"]
    return tuple((row["first"], row["last"], len(str(row["first"])), frozenset(row["lengths"])) for row in rows)


@cache
def _groups() -> frozenset[tuple[int, ...]]:
    return frozenset(tuple(group) for group in TABLE["card"]["groups"])


def _is_card(digits: bytes) -> bool:
    return (
        any(
            len(digits) in lengths and first <= int(digits[:width]) <= last for first, last, width, lengths in _brands()
        )
        and len(set(digits)) > 1
        and luhn(digits)
    )


def _cards(text: bytes, start: int, end: int) -> Iterator[Span]:
    """Card numbers in a run of digit groups: in one piece, or grouped as people do it by one separator."""
    words: list[Span] = []
    at = start
    while at < end:
        stop = at
        while stop < end and 0x30 <= text[stop] <= 0x39:
            stop += 1
        words.append((at, stop))
        at = stop + 1
    number = 0
    while number < len(words):
        taken = _card_at(text, words, number)
        if taken:
            yield words[number][0], words[number + taken - 1][1]
        number += max(taken, 1)


def _card_at(text: bytes, words: list[Span], number: int) -> int:
    """How many groups from this one on are a card number; 0 when none."""
    start, end = words[number]
    decimal = text[end : end + 1] == b"." and text[end + 1 : end + 2].isdigit()
    behind = start >= 2 and text[start - 1] == 0x2E and 0x30 <= text[start - 2] <= 0x39
    if not decimal and not behind and 13 <= end - start <= 19 and _is_card(text[start:end]):
        return 1
    for count in (4, 5, 3):
        some = words[number : number + count]
        if len(some) < count or tuple(last - first for first, last in some) not in _groups():
            continue
        separators = {text[last] for _, last in some[:-1]}
        if len(separators) == 1 and _is_card(_digits(text, some[0][0], some[-1][1])):
            return count
    return 0


def _social_security(text: bytes, start: int, end: int) -> Iterator[Span]:
    """Numbers that may have been given out: no area 000, 666 or above 899, no group 00, no serial 0000 (20 CFR 422)."""
    area, group, serial = (int(part) for part in text[start:end].split(b"-"))
    if 0 < area < 900 and area != 666 and group and serial:
        yield start, end


def _iban(text: bytes, start: int, end: int) -> Iterator[Span]:
    """ISO 13616: the country's length, and 1 modulo 97. Whatever stands behind that length is not part of it."""
    length = TABLE["iban"]["lengths"].get(text[start : start + 2].decode("ascii").upper())
    if length is None:
        return
    seen = 0
    for at in range(start, end):
        seen += text[at] != 0x20
        if seen == length:
            plain = text[start : at + 1].replace(b" ", b"").decode("ascii").upper()
            if int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1:
                yield start, at + 1
            return


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
    if len(value) > 512 or _classes(value) < 3 or not value.strip(b"0123456789abcdefABCDEF-"):
        return
    counts = Counter(value)
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    changes = sum(_class(one) != _class(other) for one, other in pairwise(value))
    if entropy >= 4.0 and changes >= 0.45 * len(value):
        yield start, end


def _class(byte: int) -> int:
    """1 digit, 2 capital, 3 small letter, 0 anything else."""
    if 0x30 <= byte <= 0x39:
        return 1
    return 2 if 0x41 <= byte <= 0x5A else 3 if 0x61 <= byte <= 0x7A else 0


def _classes(value: bytes) -> int:
    return len({_class(byte) for byte in value} - {0})


CHECKS: Final[Mapping[str, Check]] = {
    "cards": _cards,
    "social_security": _social_security,
    "iban": _iban,
    "mixed": _mixed,
    "json_web_token": _json_web_token,
    "telephone": _telephone,
    "random_token": _random_token,
}
