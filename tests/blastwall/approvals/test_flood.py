"""When one agent has asked enough."""

from __future__ import annotations

import pytest

from blastwall.approvals.flood import Asked, Limits, excess
from blastwall.model import ApprovalState

LIMITS = Limits(session=2, waiting=3, asked=5, denials=2, window=100.0)
WAITING, DENIED, REDEEMED = ApprovalState.REQUESTED, ApprovalState.DENIED, ApprovalState.REDEEMED


def asked(state: ApprovalState, session: str = "s-1", at: float = 950.0, changed: float = 950.0) -> Asked:
    return Asked(session, state, at, changed)


@pytest.mark.parametrize(
    ("earlier", "says"),
    [
        ([], None),
        ([asked(WAITING)], None),
        ([asked(WAITING)] * 2, "this session has 2 requests waiting"),
        ([asked(WAITING, "s-2")] * 2, None),
        ([asked(WAITING, "s-2")] * 3, "this agent has 3 requests waiting"),
        ([asked(WAITING, "s-2", at=1.0)] * 3, "this agent has 3 requests waiting"),
        ([asked(DENIED)] * 2, "people denied 2 requests"),
        ([asked(DENIED, changed=900.0)] * 2, None),
        ([asked(REDEEMED)] * 5, "has asked 5 times within 2 minutes"),
        ([asked(REDEEMED)] * 4 + [asked(REDEEMED, at=900.0)], None),
    ],
)
def test_when_nobody_is_asked(earlier: list[Asked], says: str | None) -> None:
    found = excess(earlier, "s-1", 1000.0, LIMITS)
    assert found is None if says is None else says in (found or "")
