"""What the sink is told of each statement of a text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from blastwall.masking.plan import UNTOUCHED, Output, Treatment
from blastwall.protocols.postgres.brief import UNTOUCHED_BRIEF, Brief, briefs

TOUCHED = Treatment(True, (Output("a"),))


def found(*parts: tuple[str, str, Treatment], masked: str | None = None) -> Any:
    return SimpleNamespace(
        statements=[SimpleNamespace(kind=kind, name=name) for kind, name, _ in parts],
        treatments=tuple(treatment for _, _, treatment in parts),
        masked=masked,
    )


def test_an_untouched_text_has_no_briefs() -> None:
    assert briefs(found(("query", "", UNTOUCHED), ("set", "x", UNTOUCHED)), {}, {}) == ()
    assert (
        briefs(SimpleNamespace(statements=[SimpleNamespace(kind="query", name="")], treatments=(), masked=None), {}, {})
        == ()
    )


def test_each_statement_has_its_own() -> None:
    text = found(("query", "", UNTOUCHED), ("query", "", TOUCHED), ("explain", "", TOUCHED), masked="rewritten")
    assert briefs(text, {}, {}) == (
        UNTOUCHED_BRIEF,
        Brief(TOUCHED, False, "rewritten"),
        Brief(TOUCHED, True, "rewritten"),
    )


def test_execute_and_fetch_have_those_of_what_they_name() -> None:
    known = Brief(TOUCHED, False, "x")
    text = found(("execute", "p", UNTOUCHED), ("fetch", "c", UNTOUCHED), ("fetch", "other", UNTOUCHED))
    assert briefs(text, {"p": known}, {"c": known}) == (known, known, UNTOUCHED_BRIEF)
    assert briefs(text, {"c": known}, {"p": known}) == ()
