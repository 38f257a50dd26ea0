"""A queue of steps, first in, first out, with a look at both ends and at the second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from blastwall.protocols.postgres.answers import Expected

#: Steps that were taken away and still stand in the list before it is cut: so that each costs constant time.
_SLACK: Final = 64


class Owed:
    """What the server owes, in order. A list with a moving start: compiled, a deque's methods cost a call each."""

    __slots__ = ("_items", "_start")

    def __init__(self) -> None:
        self._items: list[Expected] = []
        self._start = 0

    def __len__(self) -> int:
        return len(self._items) - self._start

    def __iter__(self) -> Iterator[Expected]:
        return iter(self._items[self._start :])

    @property
    def first(self) -> Expected | None:
        """The step at the head, None when nothing is owed."""
        return self._items[self._start] if self._start < len(self._items) else None

    @property
    def second(self) -> Expected | None:
        """The step behind the head."""
        return self._items[self._start + 1] if self._start + 1 < len(self._items) else None

    @property
    def last(self) -> Expected | None:
        """The step that was put in last."""
        return self._items[-1] if self._start < len(self._items) else None

    def put(self, step: Expected) -> None:
        self._items.append(step)

    def take(self) -> Expected:
        """Take the head away. Raises IndexError when nothing is owed."""
        taken = self._items[self._start]
        self._start += 1
        if self._start == len(self._items):
            self._items.clear()
            self._start = 0
        elif self._start >= _SLACK and self._start * 2 >= len(self._items):
            del self._items[: self._start]
            self._start = 0
        return taken

    def take_second(self) -> Expected:
        """Take the step behind the head away. Raises IndexError when there is none."""
        return self._items.pop(self._start + 1)
