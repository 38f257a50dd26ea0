"""The statement that opens a target: the same words in the gateway and in the vendor's own process."""

from __future__ import annotations

from blastwall.model import Effect, StatementKind, Target
from blastwall.policy.connecting import connecting


def test_connecting_is_a_statement_about_a_place() -> None:
    statement, facts = connecting(Target("shop", "postgres", "h", 1), "orders")
    assert (statement.text, statement.kind, statement.surroundings) == (
        "connect to orders at shop",
        StatementKind.CONNECT,
        "orders",
    )
    assert (facts.effect, facts.verb, [str(ref) for ref in facts.objects]) == (
        Effect.SESSION,
        "connect",
        ["read database orders"],
    )
