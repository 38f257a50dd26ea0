"""Approvals that were given under policies which have been replaced since."""

from __future__ import annotations

from blastwall.model import Denial, DenialCode, Pending
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
    if decision.quorum <= pending.quorum and set(pending.approvers) <= set(decision.approvers):
        return None
    return Denial(
        DenialCode.POLICY,
        "policy changed while it was held, and asks for other approvals by now",
        "Send it again to ask anew.",
        decision.policies,
        decision.risk,
    )
