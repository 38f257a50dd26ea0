"""Where a password is asked for, what is typed is not written down. No promise: a shell can ask in any words."""

from __future__ import annotations

import re
from typing import Final

_ASKED: Final = re.compile(
    rb"(pass(word|phrase|code)|\bpin\b|secret|token|otp|verification code)[^\r\n]{0,80}[:?>] *$", re.I
)
_KEPT: Final = 256
_ENTER: Final = (b"\r", b"\n")


class Prompts:
    """Watches what a terminal shows, and says of what is typed whether it may be recorded."""

    def __init__(self) -> None:
        self._tail = b""
        self._hidden = False

    def shown(self, data: bytes) -> None:
        """The host printed this."""
        self._tail = (self._tail + data)[-_KEPT:]
        self._hidden = _ASKED.search(self._tail) is not None

    def hides(self, data: bytes) -> bool:
        """Whether ``data``, typed now, answers a question for a secret. The answer ends with the line."""
        hidden = self._hidden
        if any(mark in data for mark in _ENTER):
            self._hidden = False
            self._tail = b""
        return hidden
