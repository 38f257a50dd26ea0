"""Judgements that a recording's writer knows already, found again by identity, and what it laid out under them."""

from __future__ import annotations

from typing import Final

from blastwall.model import Facts, Permit, StatementKind


class Repeat:
    """What stays the same in the intents of a text that is run again, laid out: all of the body before the parameters.

    It is for this very text, name, kind, number of parameters and upstream text, under the judgement that holds it.
    None is kept of an intent from which anything was taken out; a secret learnt later makes the writer forget them all.
    """

    __slots__ = ("body", "count", "flags", "kind", "name", "text", "upstream")

    def __init__(
        self, text: str, upstream: str, name: str, kind: StatementKind, count: int, flags: int, body: bytes
    ) -> None:
        self.text: Final = text
        self.upstream: Final = upstream
        self.name: Final = name
        self.kind: Final = kind
        self.count: Final = count
        self.flags: Final = flags
        self.body: Final = body


class Judged:
    """A permit's judgement as it is found again by identity (it keeps alive what it is found by)."""

    __slots__ = (
        "again",
        "approval",
        "facts",
        "number",
        "policies",
        "prepare_only",
        "risk",
        "surroundings",
        "would_have",
    )

    def __init__(self, number: int, facts: Facts, permit: Permit, surroundings: str) -> None:
        self.number: Final = number
        self.facts: Final = facts
        self.policies: Final = permit.policies
        self.risk: Final = permit.risk
        self.prepare_only: Final = permit.prepare_only
        self.approval: Final = permit.approval
        self.would_have: Final = permit.would_have
        self.surroundings: Final = surroundings
        self.again: Repeat | None = None

    def fits(self, facts: Facts, permit: Permit, surroundings: str) -> bool:
        """Is this the judgement of these facts, there?"""
        return (
            self.facts is facts
            and self.policies is permit.policies
            and self.risk is permit.risk
            and self.prepare_only is permit.prepare_only
            and self.approval is permit.approval
            and self.would_have is permit.would_have
            and (self.surroundings is surroundings or self.surroundings == surroundings)
        )


def identities(facts: Facts, permit: Permit, surroundings: str) -> tuple[object, ...]:
    return (
        id(facts),
        id(permit.policies),
        id(permit.risk),
        permit.prepare_only,
        permit.approval,
        permit.would_have,
        surroundings,
    )
