"""A session as its item in the table of sessions has it, and whether its time is up. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from blastwall.aws.tables import Item, number, real_of, string_of, text
from blastwall.model import Principal, Session

EXPIRED: Final = "expired"
IDLE: Final = "idle"
REASONS: Final = {EXPIRED: "the session's time is up", IDLE: "nobody was connected any more"}


@dataclass(frozen=True, slots=True)
class Standing:
    """A session as it stands. ``ended_at`` None: it lives."""

    session: Session
    connections: tuple[str, ...] = ()
    ended_at: float | None = None
    reason: str = ""
    ended_by: str = ""
    alive_until: float = 0.0
    usage: Mapping[str, int] = field(default_factory=dict)


def standing_of(item: Item) -> Standing:
    """A session's item."""
    members = json.loads(string_of(item, "principal"))
    session = Session(
        id=string_of(item, "id"),
        principal=Principal(**(members | {"groups": frozenset(members["groups"])})),
        target=string_of(item, "target"),
        started_at=real_of(item, "started_at"),
        expires_at=real_of(item, "expires_at"),
        break_glass=string_of(item, "glass") or None,
    )
    return Standing(
        session,
        tuple(sorted(item.get("connections", {}).get("SS", ()))),
        real_of(item, "ended_at") if "ended_at" in item else None,
        string_of(item, "reason"),
        string_of(item, "ended_by"),
        real_of(item, "alive_until"),
        used(item),
    )


def as_of(item: Item, now: float) -> Item:
    """What has run out has ended, although nobody has written it down yet."""
    ending = None if "ended_at" in item else over(item, now)
    return item if ending is None else item | {"ended_at": number(now), "reason": text(REASONS[ending])}


def over(item: Item, now: float) -> str | None:
    """EXPIRED or IDLE when a session that lives should not any more; None: it may go on."""
    if real_of(item, "expires_at") <= now:
        return EXPIRED
    linger = real_of(item, "linger")
    if "idle_since" in item:
        return IDLE if real_of(item, "idle_since") + linger <= now else None
    lost = real_of(item, "alive_until")  # its task died, and its connections with it
    return IDLE if lost <= now - linger and lost <= now else None


def used(item: Item) -> dict[str, int]:
    """What its ended connections used together."""
    return {name[5:]: int(float(item[name]["N"])) for name in item if name.startswith("used_")}
