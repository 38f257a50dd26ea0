"""A ledger that gathers findings about one statement and closes them into :class:`~blastwall.model.Facts`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from blastwall.model import SEVERITY, Effect, Facts, ObjectRef

MAX_OBJECTS = 200  # a statement that touches more is refused: a rule could not see the rest
MAX_REASON = 400  # characters
MAX_NAME = 200  # characters of a name that are repeated in a reason


TOO_MANY = f"Touches more than {MAX_OBJECTS} objects at once; ask for less in one statement."


class Ledger:
    """Findings only ever add up: the worst effect stays, with the first reason that made it so."""

    __slots__ = ("_objects", "bounded", "cursor", "effect", "flags", "literals", "names", "reason", "verb")

    def __init__(self, verb: str, effect: Effect = Effect.SESSION, reason: str = "") -> None:
        self.verb = verb
        self.effect = effect
        self.reason = reason
        self.flags: set[str] = set()
        self.bounded = True
        self.literals = False  # whether a literal's value was looked at
        self.names = False  # whether the session's prepared statements or cursors were
        self.cursor = False  # whether rows are changed WHERE CURRENT OF a cursor
        self._objects: dict[ObjectRef, None] = {}

    def raise_to(self, effect: Effect, reason: str, *flags: str) -> None:
        """The statement does at least ``effect``, because of ``reason`` (a sentence)."""
        self.flags.update(flags)
        if SEVERITY[effect] > SEVERITY[self.effect] or (effect is self.effect and not self.reason):
            self.effect = effect
            self.reason = reason[:MAX_REASON]

    def touch(self, kind: str, name: str, access: str) -> None:
        """The statement reads, writes, calls, defines or destroys an object."""
        touched = ObjectRef(kind, name[:MAX_NAME], access)
        if touched in self._objects:
            return
        if len(self._objects) < MAX_OBJECTS:
            self._objects[touched] = None
        else:
            self.raise_to(Effect.UNKNOWN, TOO_MANY)

    def objects(self) -> tuple[ObjectRef, ...]:
        """What was touched, in the order it was met."""
        return tuple(self._objects)

    def take(self, facts: Facts) -> None:
        """Add the findings about a statement that this one carries or names."""
        self.flags.update(facts.flags)
        self.bounded = self.bounded and facts.bounded
        for each in facts.objects:
            self.touch(each.kind, each.name, each.access)
        self.raise_to(facts.effect, facts.reason)

    def close(self, fingerprint: str = "") -> Facts:
        """The facts as they stand."""
        return Facts(
            effect=self.effect,
            verb=self.verb,
            objects=self.objects(),
            flags=frozenset(self.flags),
            bounded=self.bounded,
            reason=self.reason,
            fingerprint=fingerprint,
        )


def unknown(reason: str, *flags: str, verb: str = "unknown", statements: int = 1) -> Facts:
    """Facts of what was not understood. ``reason`` is a sentence the agent can act on."""
    return Facts(Effect.UNKNOWN, verb, (), frozenset(flags), False, reason, "", statements)


def worst(parts: Sequence[Facts], fingerprint: str) -> Facts:
    """The facts of a text with several statements: the worst effect with its verb and reason, everything else merged.

    ``parts`` must not be empty.
    """
    if len(parts) == 1:
        return replace(parts[0], fingerprint=fingerprint)
    top = max(parts, key=lambda facts: SEVERITY[facts.effect])
    objects: dict[ObjectRef, None] = dict.fromkeys(each for facts in parts for each in facts.objects)
    flags: Iterable[str] = (flag for facts in parts for flag in facts.flags)
    too_many = len(objects) > MAX_OBJECTS
    return Facts(
        effect=Effect.UNKNOWN if too_many else top.effect,
        verb=top.verb,
        objects=tuple(objects)[:MAX_OBJECTS],
        flags=frozenset({*flags, "multiple_statements"}),
        bounded=all(facts.bounded for facts in parts),
        reason=TOO_MANY if too_many else top.reason,
        fingerprint=fingerprint,
        statements=len(parts),
        masked_columns=frozenset(column for facts in parts for column in facts.masked_columns),
        filters_masked=any(facts.filters_masked for facts in parts),
        refusal=next((facts.refusal for facts in parts if facts.refusal), ""),
    )
