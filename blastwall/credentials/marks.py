"""What a login at a target says of itself: whose it is, for people, and who made it, for whoever lost its lease."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from blastwall.model import Session

#: A house of which no login is ever taken for lost.
NOBODY: Final = "0" * 12
_MARK: Final = re.compile(r"blastwall:([0-9a-f]{12}):([0-9]{1,12}) session ([a-z0-9-]{1,48}): ")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a login says of itself: the house that made it, when (epoch seconds), for which session."""

    house: str
    made_at: float
    session: str


def house_of(place: str) -> str:
    """Names whoever shares one store of leases, by where that store is: the same after the store was lost."""
    return hashlib.sha256(place.encode()).hexdigest()[:12]


def mark(house: str, session: Session, now: float) -> str:
    """The comment of a login; an operator reads the rest of it in ``\\du+``."""
    person = f" for {session.principal.on_behalf_of}" if session.principal.on_behalf_of else ""
    return f"blastwall:{house}:{int(now)} session {session.id}: {session.principal.agent}{person}"


def read_mark(comment: str) -> Mark | None:
    """None: it is no mark of this make."""
    found = _MARK.match(comment)
    return None if found is None else Mark(found[1], float(found[2]), found[3])
