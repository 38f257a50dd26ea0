"""Pieces of streams joined to whole lines, for people who look at recordings: a terminal sends key by key. Pure.

What is overwritten on the terminal stays to be read: nothing is interpreted here, so that no sequence can take back
what was shown, and the control characters of an edited line stand in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

#: Bytes of a line that wait for its end.
LONGEST: Final = 16_384
#: Nanoseconds after which a line that has not ended is shown as it is: a question, a progress bar.
PATIENCE: Final = 2_000_000_000
#: What ends a typed line: Enter, and the keys that interrupt, end input or suspend.
_TYPED_ENDS: Final = b"\r\n\x03\x04\x1a"


@dataclass(slots=True)
class _Waiting:
    """The beginning of a line, since when (nanoseconds)."""

    data: bytearray = field(default_factory=bytearray)
    since: int = 0


class Lines:
    """The unfinished lines of all streams. A stream is named by its statement and its name."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, str], _Waiting] = {}

    def feed(self, at: int, statement: int, stream: str, data: bytes) -> bytes:
        """Take a piece of a stream. Returns the lines that end in it, from their beginnings; often none."""
        waiting = self._waiting.setdefault((statement, stream), _Waiting())
        if not waiting.data:
            waiting.since = at
        waiting.data += data
        end = _last_end(waiting.data, _TYPED_ENDS if stream == "input" else b"\n")
        if end < 0 and len(waiting.data) > LONGEST:
            end = len(waiting.data) - 1
        if end < 0:
            return b""
        done = bytes(waiting.data[: end + 1])
        del waiting.data[: end + 1]
        waiting.since = at
        return done

    def overdue(self, at: int) -> Iterator[tuple[int, str, bytes]]:
        """Unfinished lines that have waited too long at this time, with their statement and stream."""
        for (statement, stream), waiting in self._waiting.items():
            if waiting.data and at - waiting.since > PATIENCE:
                yield statement, stream, bytes(waiting.data)
                waiting.data.clear()

    def rest(self, statement: int | None = None) -> Iterator[tuple[int, str, bytes]]:
        """What is left of a statement's streams (None: of all), which end here."""
        for key in [key for key in self._waiting if statement is None or key[0] == statement]:
            waiting = self._waiting.pop(key)
            if waiting.data:
                yield *key, bytes(waiting.data)


def _last_end(data: bytearray, ends: bytes) -> int:
    return max(data.rfind(bytes((end,))) for end in ends)
