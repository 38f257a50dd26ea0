"""Approvals that are not enough by now: given under policies which have been replaced, or for less than is wanted."""

from __future__ import annotations

from blastwall.approvals.demands import covers, demands_of, spelt
from blastwall.model import ApprovalStatus, Denial, DenialCode, Pending
from blastwall.policy.decide import Policies
from blastwall.policy.question import Question


def overtaken(now: Policies, then: Policies, question: Question, pending: Pending) -> Denial | None:
    """Why an approval under the policies of then is none under those of now: they ask other people, or more of them.

    ``pending`` is what was asked for then, ``question`` the statement. Hour and budgets count when it is redeemed.
    """
    if now.version == then.version:
        return None
    decision = now.decide(question)
    if not isinstance(decision, Pending):
        return decision if isinstance(decision, Denial) else None
    if covers(demands_of(pending), demands_of(decision)):
        return None
    return Denial(
        DenialCode.POLICY,
        "policy changed while it was held, and asks for other approvals by now",
        "Send it again to ask anew.",
        decision.policies,
        decision.risk,
    )


def outgrown(status: ApprovalStatus, pending: Pending) -> Denial | None:
    """Why an approval is too small for what policy asks for by now (another hour, more rows); None: it is not."""
    if covers(status.met, demands_of(pending)):
        return None
    return Denial(
        DenialCode.POLICY,
        f"{spelt(status.met)} approved it, and {spelt(demands_of(pending))} must by now",
        "Send it again to ask anew.",
        pending.policies,
        pending.risk,
    )
