"""The decision: Cedar's two answers made into the house's three. The only place that mints :class:`~blastwall.model.Permit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blastwall.model import (
    ApprovalRequest,
    Decision,
    Denial,
    Facts,
    Principal,
    StatementKind,
    Target,
)
from blastwall.policy.risk import RiskTable


@dataclass(frozen=True, slots=True)
class Question:
    """Everything a decision may depend on; ``upstream_text`` only travels along into the permit.

    ``hour`` is 0 to 23 in UTC. ``exhausted`` names the session budgets that are used up (rows, bytes, statements).
    """

    principal: Principal
    target: Target
    statement_kind: StatementKind
    facts: Facts
    hour: int
    exhausted: frozenset[str] = frozenset()
    break_glass: bool = False
    upstream_text: str = ""


class Policies:
    """A checked policy set with its risk table. Immutable but for its caches; make a new one to change a rule."""

    version: str

    @classmethod
    def load(cls, texts: Mapping[str, str], risk: RiskTable) -> Policies:
        """``texts``: file name to Cedar text. Raises ConfigFault with every problem at once, by file and line."""
        raise NotImplementedError

    def decide(self, question: Question, *, approved: str | None = None) -> Decision:
        """``approved``: the id of a redeemed approval; then only the second question is asked and the permit carries it."""
        raise NotImplementedError

    def may_approve(self, approver: Principal, request: ApprovalRequest, target: Target) -> Denial | None:
        """None: this person may decide this request. Never the requester, nor the person it works for."""
        raise NotImplementedError

    def may_read_recording(self, reader: Principal, owner: Principal, target: Target) -> Denial | None:
        """None: ``reader`` may read a recording of ``owner``'s session at ``target``."""
        raise NotImplementedError
