"""A text without its plain integers: equal for texts that differ in nothing else.

Only for cache keys, and only with findings that are proven not to look at literals. The texts it takes are so plain
that an integer can be told without a lexer: ASCII letters, digits, blanks and a few signs; no quotes, no comments, no
dollar signs, no backslashes. Anything else has no skeleton, and nothing is lost but time.
"""

from __future__ import annotations

from typing import Final

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
    length = len(text)
    if length > LONGEST or not text.isascii():
        return None
    parts: list[str] = []
    copied = position = 0
    within = False  # a name or a longer number
    while position < length:
        kind = _KINDS[ord(text[position])]
        if kind == 0:
            return None
        if kind != _DIGIT or within:
            within = kind != _SIGN
            position += 1
            continue
        start = position
        while position < length and _KINDS[ord(text[position])] == _DIGIT:
            position += 1
        if (position < length and _KINDS[ord(text[position])] == _WORD) or position - start > MOST_DIGITS:
            within = True
            continue
        parts.append(text[copied:start])
        parts.append("0")
        copied = position
    if not copied:
        return text
    parts.append(text[copied:])
    return "".join(parts)
