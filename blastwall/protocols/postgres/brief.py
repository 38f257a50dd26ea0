"""What masking makes of each statement of a text, as the sink needs it."""

from __future__ import annotations

from blastwall.masking.plan import UNTOUCHED, Treatment
from blastwall.model import Value
from blastwall.protocols.postgres.classify import Finding, StatementFinding
from blastwall.protocols.postgres.copying import Form, form_of


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


def briefs(found: Finding, text: str) -> tuple[Brief, ...]:
    """One brief for each statement of ``text``, of which this was found; () when none of them is touched."""
    touched = False
    for part in found.statements:
        if part.treatment is not UNTOUCHED:
            touched = True
    if not touched:
        return ()
    return tuple(_brief(part, number, found, text) for number, part in enumerate(found.statements))


def _brief(part: StatementFinding, number: int, found: Finding, text: str) -> Brief:
    treatment = part.treatment
    if treatment is UNTOUCHED:
        return UNTOUCHED_BRIEF
    raw = any(output.sink is not None for output in treatment.outputs or ())
    tree = found.tree_of(text) if raw else None
    copies = form_of(tree.statements[number].stmt) if tree is not None else None
    return Brief(treatment, part.kind == "explain", copies)
