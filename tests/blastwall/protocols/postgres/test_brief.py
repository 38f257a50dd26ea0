"""What the sink is told of each statement of a text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from blastwall.masking.plan import UNTOUCHED, Mask, Output, Predicates, Strategy, Treatment
from blastwall.model import Effect, Facts
from blastwall.protocols.postgres.brief import UNTOUCHED_BRIEF, Brief, briefs
from blastwall.protocols.postgres.classify import Finding
from blastwall.protocols.postgres.copying import Form
from blastwall.sql.parser import parse

TOUCHED = Treatment(True, (Output("a"),))
QUIET = Treatment(True)


def found(*given: tuple[str, Treatment], text: str = "") -> Finding:
    parts: Any = tuple(SimpleNamespace(kind=kind, treatment=treatment) for kind, treatment in given)
    return Finding(Facts(Effect.READ, "select"), parse(text) if text else None, parts)


def test_an_untouched_text_has_no_briefs() -> None:
    assert briefs(found(("query", UNTOUCHED), ("set", UNTOUCHED)), "") == ()
    assert briefs(found(), "") == ()


def test_each_statement_has_its_own() -> None:
    made = briefs(found(("query", UNTOUCHED), ("query", TOUCHED), ("explain", QUIET)), "")
    assert made == (UNTOUCHED_BRIEF, Brief(TOUCHED), Brief(QUIET, True))
    assert [brief.returns for brief in made] == [False, True, False]
    assert [brief.touches for brief in made] == [False, True, True]


def test_the_form_of_a_copy_is_known_where_a_mask_is_at_the_sink() -> None:
    mask = Mask("public.t.c", Strategy.HASH, Predicates.DENY, "NULL", "test:1", 25)
    raw = Treatment(True, (Output("c", sink=mask),))
    text = "SELECT 1; COPY (SELECT c FROM t) TO STDOUT (FORMAT csv)"
    (_, brief) = briefs(found(("query", UNTOUCHED), ("copy", raw), text=text), text)
    assert brief.copies == Form(csv=True)
    (_, brief) = briefs(found(("query", UNTOUCHED), ("copy", TOUCHED), text=text), text)
    assert brief.copies is None


def test_the_form_is_that_of_the_text_and_not_of_another_that_means_the_same() -> None:
    mask = Mask("public.t.c", Strategy.HASH, Predicates.DENY, "NULL", "test:1", 25)
    raw = Treatment(True, (Output("c", sink=mask),))
    shared = found(("copy", raw), text="COPY (SELECT c FROM t) TO STDOUT (FORMAT csv, HEADER 0)")
    (brief,) = briefs(shared, "COPY (SELECT c FROM t) TO STDOUT (FORMAT csv, HEADER 1)")
    assert brief.copies == Form(csv=True, header=True)
