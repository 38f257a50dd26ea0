"""What masking makes of each statement of a text, as the sink needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from blastwall.masking.plan import UNTOUCHED, Treatment
from blastwall.model import Value


class Brief(Value):
    """One statement's treatment. ``explain``: what comes back is a plan, whose expressions are not shown.

    ``text`` is the text rewritten for it (None: not rewritten): one prepared under other rules is noticed by it.
    """

    __slots__ = ("explain", "text", "treatment")
    __match_args__ = ("treatment", "explain", "text")

    def __init__(self, treatment: Treatment, explain: bool = False, text: str | None = None) -> None:
        self.treatment = treatment
        self.explain = explain
        self.text = text

    @property
    def touches(self) -> bool:
        return self.treatment.touches


UNTOUCHED_BRIEF = Brief(UNTOUCHED)


class _Part(Protocol):
    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...


class _Found(Protocol):
    @property
    def statements(self) -> Sequence[_Part]: ...

    @property
    def treatments(self) -> tuple[Treatment, ...]: ...

    @property
    def masked(self) -> str | None: ...


def briefs(found: _Found, prepared: Mapping[str, Brief], cursors: Mapping[str, Brief]) -> tuple[Brief, ...]:
    """One brief for each statement of a text; EXECUTE and FETCH have those of what they name.

    () when nothing of it is touched.
    """
    made: list[Brief] = []
    touched = False
    for number, part in enumerate(found.statements):
        treatment = found.treatments[number] if number < len(found.treatments) else UNTOUCHED
        brief = UNTOUCHED_BRIEF
        if part.kind == "execute":
            brief = prepared.get(part.name, UNTOUCHED_BRIEF)
        elif part.kind == "fetch":
            brief = cursors.get(part.name, UNTOUCHED_BRIEF)
        if treatment.touches or treatment.outputs is not None:
            brief = Brief(treatment, part.kind == "explain", found.masked)
        touched = touched or brief is not UNTOUCHED_BRIEF
        made.append(brief)
    return tuple(made) if touched else ()
