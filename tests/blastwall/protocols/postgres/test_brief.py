"""What the sink is told of each statement of a text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from blastwall.masking.plan import UNTOUCHED, Output, Treatment
from blastwall.protocols.postgres.brief import UNTOUCHED_BRIEF, Brief, briefs

TOUCHED = Treatment(True, (Output("a"),))
QUIET = Treatment(True)


def parts(*given: tuple[str, Treatment]) -> list[Any]:
    return [SimpleNamespace(kind=kind, treatment=treatment) for kind, treatment in given]


def test_an_untouched_text_has_no_briefs() -> None:
    assert briefs(parts(("query", UNTOUCHED), ("set", UNTOUCHED))) == ()
    assert briefs([]) == ()


def test_each_statement_has_its_own() -> None:
    made = briefs(parts(("query", UNTOUCHED), ("query", TOUCHED), ("explain", QUIET)))
    assert made == (UNTOUCHED_BRIEF, Brief(TOUCHED), Brief(QUIET, True))
    assert [brief.returns for brief in made] == [False, True, False]
    assert [brief.touches for brief in made] == [False, True, True]
