"""A request, and people, for the tests of this folder."""

from __future__ import annotations

import dataclasses

from blastwall.approvals import binding
from blastwall.model import (
    ApprovalRequest,
    Effect,
    Facts,
    ObjectRef,
    Parameter,
    Principal,
    Risk,
    Statement,
    StatementKind,
)

AGENT = Principal(
    "https://idp", "agent-7", "reporter", frozenset({"analysts"}), "alice@corp.example", "tok-a", 1.0, 2.0
)
STATEMENT = Statement(
    "DELETE FROM orders WHERE id = $1", StatementKind.EXECUTE, (Parameter(b"7", False, 23),), "shop|app|public", 4, "s1"
)
BOUND = {"principal": AGENT, "session": "s-1", "target": "shop", "statement": STATEMENT, "policy_version": "v1"}
REQUEST = ApprovalRequest(
    id="a-1",
    binding=binding(**BOUND),
    session="s-1",
    principal=AGENT,
    target="shop",
    statement=STATEMENT,
    facts=Facts(
        Effect.WRITE, "delete", (ObjectRef("table", "public.orders", "write"),), frozenset({"returning"}), True, "why"
    ),
    risk=Risk(40, (("verb delete", 30), ("table orders", 10))),
    approvers=("owners",),
    policy_version="v1",
    requested_at=100.0,
    expires_at=200.0,
    quorum=2,
    bound=5,
)


def person(name: str, **changes: object) -> Principal:
    return dataclasses.replace(
        Principal("https://idp", name, name, frozenset({"owners"}), None, f"tok-{name}"), **changes
    )


def ask(**changes: object) -> ApprovalRequest:
    """The request with changes; ``text`` changes its statement."""
    text = changes.pop("text", None)
    if text is not None:
        changes["statement"] = Statement(str(text))
    return dataclasses.replace(REQUEST, **changes)
