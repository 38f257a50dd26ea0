"""Text that an agent wrote, made safe and honest to look at: what would not show, or shows as something else, is named.

Left as they are: printable ASCII and the accented letters of Latin-1. Everything else appears as ``⟨U+043E⟩``: control
and direction characters that rearrange a terminal, zero-width ones that hide in it, letters of other scripts that look
like ASCII. A tab is ``⇥``. The marks are not ASCII, so that no text can fake one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

LATIN_1_LETTERS = frozenset(map(chr, range(0xC0, 0x100))) - {"×", "÷"}
LONG_RUN = 40  # spaces in a row: beyond, an approver might not see what comes after
LONG_GAP = 3  # empty lines in a row: likewise

_UNCLEAR = re.compile(r"[^\x20-\x7e]")
_CONTROLS = {"\0": "NUL", "\r": "CARRIAGE RETURN", "\x1b": "ESCAPE", "\b": "BACKSPACE", "\x7f": "DELETE"}


def visible(text: str) -> str:
    """``text`` on one line, with every unclear character marked, line ends among them."""
    return _UNCLEAR.sub(lambda found: _mark(found.group()), text)


def one_line(text: str, width: int) -> str:
    """The beginning of ``text``, white space run together; what was left out is counted, never dropped in silence."""
    line = visible(re.sub(r"[ \t\n]+", " ", text).strip())
    return line if len(line) <= width else f"{line[:width]}… (+{len(line) - width} characters)"


def block(text: str) -> list[str]:
    """All of ``text`` with a numbered margin, so that no line of it can pass for a line of ours.

    Runs of more than 40 spaces, or of more than 3 empty lines, are replaced by their count.
    """
    lines = text.split("\n")
    width = len(str(len(lines)))
    shown: list[str] = []
    gap: list[str] = []
    for number, line in enumerate(lines, start=1):
        margin = f"{number:>{width}} │ "
        if not line.strip(" "):
            gap.append(margin + _long_runs(line))
            continue
        shown += _gap(gap, width)
        gap = []
        shown.append(margin + _long_runs(visible(line)))
    return shown + _gap(gap, width)


def legend(text: str) -> list[str]:
    """One line for each unclear character of ``text``: its mark, its Unicode name, how often. Tabs need none."""
    found = Counter(one for one in _UNCLEAR.findall(text) if one not in LATIN_1_LETTERS and one not in "\t\n")
    return [f"{_mark(one)} {_name(one)}, {count} times" for one, count in sorted(found.items())]


def _mark(character: str) -> str:
    if character == "\t":
        return "⇥"
    return character if character in LATIN_1_LETTERS else f"⟨U+{ord(character):04X}⟩"


def _name(character: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return f"byte {ord(character) - 0xDC00:02X}, not UTF-8"
    return unicodedata.name(character, _CONTROLS.get(character, "a character without a name"))


def _gap(lines: list[str], width: int) -> list[str]:
    return lines if len(lines) <= LONG_GAP else [f"{'':>{width}} │ ⟨{len(lines)} empty lines⟩"]


def _long_runs(line: str) -> str:
    return re.sub(rf" {{{LONG_RUN + 1},}}", lambda run: f"⟨{len(run.group())} spaces⟩", line)
