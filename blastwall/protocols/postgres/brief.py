"""What masking makes of each statement of a text, as the sink needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from blastwall.masking.plan import UNTOUCHED, Treatment
from blastwall.model import Value


class Brief(Value):
    """One statement's treatment. ``explain``: what comes back is a plan."""

    __slots__ = ("explain", "treatment")
    __match_args__ = ("treatment", "explain")

    def __init__(self, treatment: Treatment, explain: bool = False) -> None:
        self.treatment = treatment
        self.explain = explain

    @property
    def touches(self) -> bool:
        return self.treatment.touches

    @property
    def returns(self) -> bool:
        """Does the text tell which columns come back?"""
        return self.treatment.outputs is not None


UNTOUCHED_BRIEF = Brief(UNTOUCHED)


class _Part(Protocol):
    @property
    def kind(self) -> str: ...

    @property
    def treatment(self) -> Treatment: ...


def briefs(parts: Sequence[_Part]) -> tuple[Brief, ...]:
    """One brief for each statement of a text; () when none of them is touched."""
    touched = False
    for part in parts:
        if part.treatment is not UNTOUCHED:
            touched = True
    if not touched:
        return ()
    return tuple(
        UNTOUCHED_BRIEF if part.treatment is UNTOUCHED else Brief(part.treatment, part.kind == "explain")
        for part in parts
    )
