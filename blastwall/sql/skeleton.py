"""A text without its plain integers: equal for texts that differ in nothing else.

Only for cache keys, and only with findings that are proven not to look at literals. The texts it takes are so plain
that an integer can be told without a lexer: ASCII letters, digits, blanks and a few signs; no quotes, no comments, no
dollar signs, no backslashes. Anything else has no skeleton, and nothing is lost but time.
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter
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
#: What each ASCII character is; 0: a text with it is not plain.
_KINDS: Final = bytes(
    _DIGIT
    if chr(code) in "0123456789"
    else _WORD
    if chr(code) in _LETTERS + "_."
    else int(chr(code) in " \t\n,()=<>*;+")
    for code in range(128)
)


def skeleton(text: str) -> str | None:
    """The text with each plain integer as ``0``; None for a text that is not plain enough."""
    if len(text) > LONGEST:
        return None
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return None
    kinds = _KINDS
    length: i64 = len(data)
    position: i64 = 0
    digits: i64 = 0
    within = False  # a name or a longer number
    bare = BytesWriter()
    while position < length:
        byte = data[position]
        code: i64 = byte
        if code >= 128:
            return None
        kind: i64 = kinds[code]
        if kind == _DIGIT and not within:
            digits = 1
            while position + digits < length and 48 <= data[position + digits] <= 57:
                digits += 1
            if digits <= MOST_DIGITS and (position + digits == length or kinds[data[position + digits] & 127] != _WORD):
                bare.append(48)
                position += digits
                continue
            within = True
        elif kind == _SIGN:
            within = False
        elif kind == _WORD:
            within = True
        elif kind == 0:
            return None
        bare.append(byte)  # an i64 would be looked up as an object's method
        position += 1
    return bare.getvalue().decode("ascii")
