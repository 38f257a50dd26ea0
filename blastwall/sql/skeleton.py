"""A text without its plain integers: equal for texts that differ in nothing else.

Only for cache keys, and only with findings that are proven not to look at literals. The texts it takes are so plain
that an integer can be told without a lexer: ASCII letters, digits, blanks and a few signs; no quotes, no comments, no
dollar signs, no backslashes. Anything else has no skeleton, and nothing is lost but time.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i64_be
from mypy_extensions import i64

#: Longer texts are not worth it: they are seldom sent twice with other numbers.
LONGEST: Final = 2048
#: Digits of an integer whose token (and with it the constant's type) is always the same in the grammar.
MOST_DIGITS: Final = 9

_SIGNS: Final = " \t\n,()=<>*;+"
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SIGN: Final = 1
_WORD: Final = 2  # part of a name, or of a number with a point or an exponent
_DIGIT: Final = 3
#: What each byte of a text is; 0: a text with it is not plain.
_KINDS: Final = bytes(
    _DIGIT if chr(code) in "0123456789" else _WORD if chr(code) in _LETTERS + "_." else int(chr(code) in _SIGNS)
    for code in range(256)
)


def pieces(text: str) -> list[bytes] | None:
    """What stands between the plain integers of a text, one piece at least; None for a text that is not so plain."""
    if len(text) > LONGEST:
        return None
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return None
    kinds = _KINDS
    length: i64 = len(data)
    begin: i64 = 0
    position: i64 = 0
    digits: i64 = 0
    within = False  # a name or a longer number
    found: list[bytes] = []
    while position < length:
        kind: i64 = kinds[data[position]]
        if kind == _DIGIT and not within:
            digits = 1
            while position + digits < length and 48 <= data[position + digits] <= 57:
                digits += 1
            if digits <= MOST_DIGITS and (position + digits == length or kinds[data[position + digits]] != _WORD):
                found.append(data[begin:position])
                position += digits
                begin = position
                continue
            within = True
        elif kind == _SIGN:
            within = False
        elif kind == _WORD:
            within = True
        elif kind == 0:
            return None
        position += 1
    found.append(data[begin:length])
    return found


def joined(parts: list[bytes]) -> bytes:
    """The skeleton that these pieces are of: each plain integer as ``0``."""
    return parts[0] if len(parts) == 1 else b"0".join(parts)


def skeleton(text: str) -> bytes | None:
    """The text with each plain integer as ``0``; None for a text that is not plain enough."""
    parts = pieces(text)
    return None if parts is None else joined(parts)


def fits(parts: list[bytes], data: bytes) -> bool:
    """Has the text of these bytes the skeleton of these pieces? Compares only, and so takes a tenth of making it.

    The pieces say where a plain integer stood: what is before it and behind it decides that it is one, and is the same
    here. Only its digits are looked at.
    """
    length: i64 = len(data)
    if length > LONGEST:
        return False
    count: i64 = len(parts)
    number: i64 = 0
    position: i64 = 0
    while True:
        part = parts[number]
        size: i64 = len(part)
        if position + size > length:
            return False
        at: i64 = 0
        if size >= 8:
            rest: i64 = size - 8
            while at < rest:
                if read_i64_be(data, position + at) != read_i64_be(part, at):
                    return False
                at += 8
            if read_i64_be(data, position + rest) != read_i64_be(part, rest):
                return False
        else:
            while at < size:
                if data[position + at] != part[at]:
                    return False
                at += 1
        position += size
        number += 1
        if number == count:
            return position == length
        digits: i64 = 0
        while position < length and 48 <= data[position] <= 57:
            position += 1
            digits += 1
        if digits == 0 or digits > MOST_DIGITS:
            return False
