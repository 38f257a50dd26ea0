"""What the sink is told of each statement of a text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from blastwall.masking.plan import UNTOUCHED, Mask, Output, Predicates, Strategy, Treatment
from blastwall.protocols.postgres.brief import UNTOUCHED_BRIEF, Brief, briefs
from blastwall.protocols.postgres.copying import Form
from blastwall.sql.parser import parse

TOUCHED = Treatment(True, (Output("a"),))
QUIET = Treatment(True)


def parts(*given: tuple[str, Treatment]) -> list[Any]:
    return [SimpleNamespace(kind=kind, treatment=treatment) for kind, treatment in given]


def test_an_untouched_text_has_no_briefs() -> None:
    assert briefs(parts(("query", UNTOUCHED), ("set", UNTOUCHED)), None) == ()
    assert briefs([], None) == ()


def test_each_statement_has_its_own() -> None:
    made = briefs(parts(("query", UNTOUCHED), ("query", TOUCHED), ("explain", QUIET)), None)
    assert made == (UNTOUCHED_BRIEF, Brief(TOUCHED), Brief(QUIET, True))
    assert [brief.returns for brief in made] == [False, True, False]
    assert [brief.touches for brief in made] == [False, True, True]


def test_the_form_of_a_copy_is_known_where_a_mask_is_at_the_sink() -> None:
    mask = Mask("public.t.c", Strategy.HASH, Predicates.DENY, "NULL", "test:1", 25)
    raw = Treatment(True, (Output("c", sink=mask),))
    tree = parse("SELECT 1; COPY (SELECT c FROM t) TO STDOUT (FORMAT csv)")
    (_, brief) = briefs(parts(("query", UNTOUCHED), ("copy", raw)), tree)
    assert brief.copies == Form(csv=True)
    (_, brief) = briefs(parts(("query", UNTOUCHED), ("copy", TOUCHED)), tree)
    assert brief.copies is None
