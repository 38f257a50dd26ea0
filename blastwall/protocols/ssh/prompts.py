"""Where a password is asked for, what is typed is not written down. No promise: a shell can ask in any words.

Whoever has a shell also decides what it prints, and could have every prompt look like such a question. So an answer
ends with its line, and all answers in a shell together are no longer than passwords are; the rest is recorded.
"""

from __future__ import annotations

import re
from typing import Final

_ASKED: Final = re.compile(
    rb"(pass(word|phrase|code)|\bpin\b|secret|token|otp|verification code)[^\r\n]{0,80}[:?>] *$", re.I
)
_KEPT: Final = 256
MOST_BYTES: Final = 1024  # of all answers in one shell
_ENTER: Final = (b"\r", b"\n")


class Prompts:
    """Watches what a terminal shows, and says of what is typed whether it may be recorded."""

    def __init__(self) -> None:
        self._tail = b""
        self._hidden = False
        self._left = MOST_BYTES

    def shown(self, data: bytes) -> None:
        """The host printed this."""
        self._tail = (self._tail + data)[-_KEPT:]
        self._hidden = _ASKED.search(self._tail) is not None

    def hides(self, data: bytes) -> int:
        """How many bytes of ``data``, typed now, answer a question for a secret: at most to the end of the line."""
        if not self._hidden:
            return 0
        ends = [at + 1 for mark in _ENTER if (at := data.find(mark)) >= 0]
        answer = min(ends, default=len(data))
        if answer > self._left:
            return 0
        self._left -= answer
        if ends:
            self._hidden = False
            self._tail = b""
        return answer
