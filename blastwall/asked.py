"""What is asked of people: whom a rule wants, and how far a request has come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Demand:
    """What one rule asks for: so many different people of any of these groups (none: of those whom policy lets)."""

    groups: tuple[str, ...]
    quorum: int = 1


class ApprovalState(StrEnum):
    """The life of an approval request; transitions are a table in ``blastwall.approvals``."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REDEEMED = "redeemed"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
