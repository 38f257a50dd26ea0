"""What masking makes of each statement of a text, as the sink needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from blastwall.masking.plan import UNTOUCHED, Treatment
from blastwall.model import Value
from blastwall.protocols.postgres.copying import Form, form_of
from blastwall.sql.parser import Tree


class Brief(Value):
    """One statement's treatment. ``explain``: what comes back is a plan. ``copies`` is the form of the lines that a
    COPY brings, None when it is not one, or one that is not followed.
    """

    __slots__ = ("copies", "explain", "treatment")
    __match_args__ = ("treatment", "explain", "copies")

    def __init__(self, treatment: Treatment, explain: bool = False, copies: Form | None = None) -> None:
        self.treatment = treatment
        self.explain = explain
        self.copies = copies

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


def briefs(parts: Sequence[_Part], tree: Tree | None) -> tuple[Brief, ...]:
    """One brief for each statement of a text with this tree; () when none of them is touched."""
    touched = False
    for part in parts:
        if part.treatment is not UNTOUCHED:
            touched = True
    if not touched:
        return ()
    return tuple(_brief(part, number, tree) for number, part in enumerate(parts))


def _brief(part: _Part, number: int, tree: Tree | None) -> Brief:
    treatment = part.treatment
    if treatment is UNTOUCHED:
        return UNTOUCHED_BRIEF
    raw = any(output.sink is not None for output in treatment.outputs or ())
    copies = form_of(tree.statements[number].stmt) if raw and tree is not None else None
    return Brief(treatment, part.kind == "explain", copies)
