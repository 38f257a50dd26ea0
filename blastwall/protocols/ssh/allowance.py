"""How much of files' content goes into recordings: so much of each, and so much of all in a session. Pure."""

from __future__ import annotations

from collections.abc import MutableMapping
from weakref import WeakValueDictionary


class Allowance:
    """What is left of one session's limit, in bytes. Its connections share it."""

    __slots__ = ("__weakref__", "_left")

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> bool:
        """Use so many bytes of it; False when there are not as many."""
        if size > self._left:
            return False
        self._left -= size
        return True


class Share:
    """One file's part: ``limit`` bytes at most, of what the session has left (None: all of it).

    Once something was left out nothing more is taken in: what is recorded is how the file's content began.
    """

    __slots__ = ("_left", "_of", "_open")

    def __init__(self, limit: int, of: Allowance | None) -> None:
        self._left = limit
        self._of = of
        self._open = True

    def take(self, size: int) -> bool:
        """Whether the next ``size`` bytes go into the recording."""
        if self._of is None:
            return True
        self._open = self._open and size <= self._left and self._of.take(size)
        if self._open:
            self._left -= size
        return self._open


def allowance_of(session: str, limit: int, shared: MutableMapping[str, object]) -> Allowance:
    """The session's allowance in this process, for as long as any of its connections holds it."""
    known = shared.setdefault("allowances", WeakValueDictionary[str, Allowance]())
    assert isinstance(known, WeakValueDictionary)
    found = known.get(session)
    if not isinstance(found, Allowance):
        found = known[session] = Allowance(limit)
    return found
