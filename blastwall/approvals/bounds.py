"""How many rows an approved change may touch: what is proposed, what people say instead, and what comes of both.

The server tells after a statement how many rows it changed, in its completion tag. That number is what a bound is held
against. It is not told for changes inside WITH, for rows that foreign keys carry a change to, or for what triggers do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from blastwall.blast import MOST_COUNTED
from blastwall.model import ApprovalRequest, Effect, Facts

MOST_ROWS: Final = 1_000_000_000  # a bound above this is none

_CHANGING: Final = (Effect.WRITE, Effect.DESTROY)
_TAGGED: Final = frozenset({"insert", "update", "delete", "merge", "execute"})
_UNTOLD: Final = frozenset({"rules", "writes_within"})  # flags of what is changed without being counted
_NAMING: Final = frozenset({"prepare", "explain"})


@dataclass(frozen=True, slots=True)
class Room:
    """How much more than was counted before may turn out to be changed: ``rows * factor + extra``, rounded up."""

    factor: float = 1.1
    extra: int = 10


def changes_rows(facts: Facts) -> bool:
    """Whether the statement is one that changes rows: only for those a bound means something."""
    return counted(facts) or hides_count(facts)


def counted(facts: Facts) -> bool:
    """Whether the server will say how many rows it changed. It may turn out not to, and is refused then."""
    return _tagged(facts) and facts.flags.isdisjoint(_UNTOLD)


def hides_count(facts: Facts) -> bool:
    """Whether it changes rows without the server saying how many: inside WITH, where rules make another statement of
    it, on the way to a COPY, or measured by EXPLAIN ANALYZE.
    """
    if _tagged(facts):
        return not facts.flags.isdisjoint(_UNTOLD)
    if facts.effect not in _CHANGING or not _writes(facts):
        return False
    if "explain_analyze" in facts.flags or facts.verb == "copy to":
        return True
    return "writes_within" in facts.flags and facts.verb not in _NAMING


def _tagged(facts: Facts) -> bool:
    """Whether its completion tag is one with a count of changed rows."""
    if facts.effect not in _CHANGING or not _writes(facts):
        return False
    return facts.verb in _TAGGED or "copy_in" in facts.flags


def _writes(facts: Facts) -> bool:
    return any(each.access == "write" for each in facts.objects)


def proposed(facts: Facts, blast: Mapping[str, Any] | None, room: Room) -> int | None:
    """The bound a request carries, from the rows that were counted before it was made; None: nothing was counted.

    An estimate is no count, nor is "more than were counted": who approves gives a number then.
    """
    if blast is None or not counted(facts) or not blast.get("known"):
        return None
    rows = blast.get("rows")
    if not isinstance(rows, int) or isinstance(rows, bool) or not 0 <= rows <= MOST_COUNTED:
        return None
    return min(MOST_ROWS, math.ceil(round(rows * room.factor, 6)) + room.extra)


def unbounded(request: ApprovalRequest, rows: int | None) -> bool:
    """Whether approving it with ``rows`` (None: as proposed) lets it change any number: a right of its own."""
    return rows is None and request.bound is None and changes_rows(request.facts)


def settled(request: ApprovalRequest, given: tuple[int | None, ...]) -> int | None:
    """What holds after everybody's approval: of their numbers, or what was proposed, the smallest. None: any."""
    numbers = [request.bound if rows is None else rows for rows in given]
    return min((number for number in numbers if number is not None), default=None)
