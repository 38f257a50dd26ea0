"""Connecting is a statement too: what the gateway asks policy, and the vendor asks again in its own process."""

from __future__ import annotations

from blastwall.model import Effect, Facts, ObjectRef, Statement, StatementKind, Target


def connecting(target: Target, place: str) -> tuple[Statement, Facts]:
    """The statement that opens ``place`` (a database, a namespace ...) at a target, and the facts about it."""
    statement = Statement(f"connect to {place} at {target.name}", StatementKind.CONNECT, surroundings=place)
    facts = Facts(
        effect=Effect.SESSION,
        verb="connect",
        objects=(ObjectRef("database", place, "read"),),
        reason=f"opens a session at {target.name}",
    )
    return statement, facts
