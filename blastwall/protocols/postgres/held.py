"""A statement's answer, held back until its rows were counted, and then given out as it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from blastwall.model import Chunk, Sheet
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import COMPLETE, ROW, Answers

MOST_HELD: Final = 8 * 1024 * 1024  # bytes of one statement's answer, with all that open portals still hold
SUSPENDED: Final = messages.frame(b"s", b"")

#: Completion tags that say how many rows were changed.
COUNTING: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})

Effect = Callable[[], None]


class Count:
    """Rows changed, by the completion tags of a text's statements. ``changing`` tells of each whether it changes rows:
    then its tag must say how many.
    """

    def __init__(self, answers: Answers, changing: Sequence[bool]) -> None:
        self._answers = answers
        self._changing = changing
        self._tags: list[str] = []

    def watch(self, effects: Sequence[Effect | None]) -> tuple[Effect | None, ...]:
        """The effects of an :class:`Expected`, made to count as each statement completes."""
        given = [*effects, *[None] * max(0, len(self._changing) - len(effects))]
        return tuple(self._noting(effect) for effect in given)

    def _noting(self, effect: Effect | None) -> Effect:
        def note() -> None:
            self._tags.append(self._answers.tag)
            if effect is not None:
                effect()

        return note

    @property
    def rows(self) -> int | None:
        """How many rows were changed in all; None: not every statement that had to say so did."""
        if len(self._tags) != len(self._changing):
            return None
        found = [changed(tag) if changes else 0 for tag, changes in zip(self._tags, self._changing, strict=True)]
        return None if None in found else sum(number for number in found if number is not None)


def changed(tag: str) -> int | None:
    """How many rows a completion tag says were changed: "INSERT 0 3" is 3. None: it does not say."""
    words = tag.split(" ")
    if words[0] not in COUNTING or not words[-1].isascii() or not words[-1].isdecimal():
        return None
    return int(words[-1])


class Held:
    """Chunks in their order, up to :data:`MOST_HELD` bytes. ``too_much``: there was more, which is gone."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._size = 0
        self.too_much = False
        self.chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        """Keep it. An error is kept in any case."""
        self._size += len(chunk.data)
        if self._size > self._most and not self.too_much:
            self.too_much = True
            self.chunks.clear()
        if not self.too_much or chunk.error:
            self.chunks.append(chunk)

    def release(self) -> list[Chunk]:
        """All of them; they are not held any more."""
        given, self.chunks = self.chunks, []
        return given

    def without_completion(self) -> list[Chunk]:
        """All of them but for the words that the last statement has completed: its transaction could not be ended well.

        A server says so of those before it, too, and then of the last one that it failed.
        """
        given = self.release()
        last = max((place for place, chunk in enumerate(given) if chunk.tag), default=-1)
        return [_incomplete(chunk) if place == last else chunk for place, chunk in enumerate(given)]


def _incomplete(chunk: Chunk) -> Chunk:
    complete = messages.command_complete(chunk.tag)
    before, _, after = chunk.data.rpartition(complete)
    return Chunk(before + after, chunk.statement, chunk.rows, "", chunk.error, chunk.direction, chunk.sheet)


class Portion:
    """The answer of a portal that was run to its end, given out in as many rows as each Execute asks for."""

    def __init__(self, chunks: Sequence[Chunk], number: int) -> None:
        self._chunks = list(chunks)
        self._number = number
        self._data: bytes | None = None  # the chunks' messages, once they are given out in portions
        self._position = 0
        self._sheets = (
            next((chunk.sheet for chunk in chunks if chunk.rows), None),
            next((chunk.sheet for chunk in chunks if chunk.sheet is not None), None),
        )
        self._tag = next((chunk.tag for chunk in chunks if chunk.tag), "")
        self.size = sum(len(chunk.data) for chunk in chunks)  # bytes that are held
        self.done = False

    def take(self, most: int) -> list[Chunk]:
        """The next ``most`` rows and PortalSuspended, or what is left with its completion (0: all of it)."""
        given, self._chunks = self._chunks, []
        if not most and self._data is None:
            self.done, self.size = True, 0
            return given
        if self._data is None:
            self._data = b"".join(chunk.data for chunk in given)
        begin, rows = self._position, 0
        while self._position < len(self._data) and (not most or rows < most):
            kind = self._data[self._position]
            self._position += 1 + int.from_bytes(self._data[self._position + 1 : self._position + 5], "big")
            rows += kind == ROW
            if kind == COMPLETE:
                self.done = True
        taken = self._data[begin : self._position]
        if self.done:
            self._data, self.size = b"", 0
        sheet: Sheet | None = self._sheets[0] if rows else self._sheets[1]
        tag = self._tag if self.done else ""
        return [Chunk(taken if self.done else taken + SUSPENDED, self._number, rows, tag, sheet=sheet)]
