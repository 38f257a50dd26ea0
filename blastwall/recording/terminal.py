"""Making recorded text safe to look at: nothing in a recording may steer the terminal, or the eye, of whoever reads it.

A recording holds what an agent and a target said; both may be hostile. Escape sequences, other controls, bidirectional
overrides, invisible and unassigned characters and lone surrogates become visible escapes (``\\x1b``, ``\\u202e``);
towers of combining marks are cut.
"""

from __future__ import annotations

import unicodedata

MAX_MARKS = 3  # combining marks on one character; languages use up to three, towers reach into other lines
CUT = "…"

# Printable by category, and yet nothing is seen: fillers, blanks, variation selectors.
_UNSEEN = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u034f") | {chr(code) for code in range(0xFE00, 0xFE10)}


def neutral(text: str, limit: int | None = None) -> str:
    """One line of harmless text; with ``limit``, at most so many characters of the original and then an ellipsis."""
    if limit is not None and len(text) > limit:
        return neutral(text[:limit]) + CUT
    if text.isascii() and text.isprintable():
        return text
    shown = []
    marks = 0
    for character in text:
        if unicodedata.category(character)[0] == "M" and character not in _UNSEEN:
            marks += 1
            shown.append(character if marks <= MAX_MARKS else _escaped(character))
            continue
        marks = 0
        shown.append(character if character.isprintable() and character not in _UNSEEN else _escaped(character))
    return "".join(shown)


def neutral_lines(text: str, limit: int | None = None) -> list[str]:
    """Several lines of harmless text: line ends are kept as such, tabs become four spaces. Never empty."""
    cut = limit is not None and len(text) > limit
    lines = [neutral(line) for line in text[:limit].replace("\t", "    ").split("\n")]
    if cut:
        lines[-1] += CUT
    return lines


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
