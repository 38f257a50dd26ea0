"""How much one agent may ask of people before it is refused without asking: approval fatigue is an attack.

Counted per agent (issuer and subject), so that one agent's flood neither delays nor hides another's request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blastwall.model import ApprovalState


@dataclass(frozen=True, slots=True)
class Limits:
    """What one agent may have asked: at once by one session, at once in all, and within ``window`` seconds.

    ``denials`` requests denied by people within the window end the asking until the window has passed.
    """

    session: int = 32
    waiting: int = 64
    asked: int = 120
    denials: int = 10
    window: float = 600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One earlier request of the agent: live, or made or decided within the window."""

    session: str
    state: ApprovalState
    requested_at: float
    changed_at: float


def excess(earlier: Sequence[Asked], session: str, now: float, limits: Limits) -> str | None:
    """Why one more request of the agent is refused, in words for the agent; None: a person may be asked."""
    waiting = [one for one in earlier if one.state is ApprovalState.REQUESTED]
    of_session = sum(one.session == session for one in waiting)
    if of_session >= limits.session:
        return f"this session has {of_session} requests waiting for a person: wait for those, or withdraw some"
    if len(waiting) >= limits.waiting:
        return f"this agent has {len(waiting)} requests waiting for a person: wait for those, or withdraw some"
    since = now - limits.window
    minutes = f"{limits.window / 60:.0f} minutes"
    denied = sum(one.state is ApprovalState.DENIED and one.changed_at > since for one in earlier)
    if denied >= limits.denials:
        return f"people denied {denied} requests of this agent within {minutes}: nobody is asked until they have passed"
    asked = sum(one.requested_at > since for one in earlier)
    if asked >= limits.asked:
        return f"this agent has asked {asked} times within {minutes}: nobody is asked until they have passed"
    return None
