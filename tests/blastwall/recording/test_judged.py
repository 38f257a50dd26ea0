"""A judgement is found again by what it was made of, and by nothing that is merely like it."""

from __future__ import annotations

from typing import Any

import pytest

from blastwall.model import Effect, Facts, Permit, Risk
from blastwall.recording.judged import Judged, identities

FACTS = Facts(Effect.READ, "select")
PERMIT = Permit("SELECT 1", ("one",), Risk(1))


def test_a_judgement_fits_the_very_same_whatever_text_goes_upstream() -> None:
    known = Judged(1, FACTS, PERMIT, "here")
    assert known.fits(FACTS, PERMIT, "".join(["he", "re"]))
    assert known.fits(FACTS, PERMIT._replace(upstream_text="SELECT 2"), "here")
    assert identities(FACTS, PERMIT, "here") == identities(FACTS, PERMIT._replace(upstream_text="SELECT 2"), "here")
    assert not known.fits(Facts(Effect.READ, "select"), PERMIT, "here")
    assert not known.fits(FACTS, PERMIT, "there")


@pytest.mark.parametrize(
    "change",
    [
        {"policies": ("two",)},
        {"risk": Risk(9)},
        {"prepare_only": True},
        {"approval": "a-1"},
        {"would_have": "denial: no"},
    ],
)
def test_a_judgement_fits_no_other_decision(change: dict[str, Any]) -> None:
    known = Judged(1, FACTS, PERMIT, "here")
    other = PERMIT._replace(**change)
    assert not known.fits(FACTS, other, "here")
    assert identities(FACTS, other, "here") != identities(FACTS, PERMIT, "here")
