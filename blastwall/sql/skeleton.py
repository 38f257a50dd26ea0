"""A text without its plain integers: equal for texts that differ in nothing else.

Only for cache keys, and only with findings that are proven not to look at literals. The texts it takes are so plain
that an integer can be told without a lexer: ASCII letters, digits, blanks and a few signs; no quotes, no comments, no
dollar signs, no backslashes. Anything else has no skeleton, and nothing is lost but time.
"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9_ \t\n,.()=<>*;+]*")
# Not part of a name or of a number with a point or an exponent; at most nine digits, so that the grammar's token (and
# with it the constant's type) is always the same.
_INTEGER = re.compile(r"(?<![A-Za-z0-9_.])[0-9]{1,9}(?![A-Za-z0-9_.])")

#: Longer texts are not worth it: they are seldom sent twice with other numbers.
LONGEST = 2048


def skeleton(text: str) -> str | None:
    """The text with each plain integer as ``0``; None for a text that is not plain enough."""
    if len(text) > LONGEST or _PLAIN.fullmatch(text) is None:
        return None
    return _INTEGER.sub("0", text)
