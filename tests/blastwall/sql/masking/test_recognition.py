"""Masks that come back as values."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Mask, Plan, Predicates, Strategy
from blastwall.sql.masking.recognition import is_mask

PLAN = Plan(marks=frozenset({"***", "hash:"}))


def mask(source: str = "CAST('hidden' AS text)", strategy: Strategy = Strategy.REDACT) -> Mask:
    return Mask("public.t.a", strategy, Predicates.DENY, source, "masking.yaml:1", 25)


@pytest.mark.parametrize(
    "value",
    [
        "***",
        " *** ",
        "***6789",
        "***@mail.example",
        "hash:0011",
        "xx-xx-6789",
        "xx/xx/1990",
        "**** 1111",
        "•••• 1111",
        "12***34",
        "hidden",
    ],
)
def test_a_mask_is_recognised(value: str) -> None:
    assert is_mask(value, mask(), PLAN)


@pytest.mark.parametrize(
    "value", ["", " ", "123-45-6789", "new@mail.example", "a * b", "XXL", "2 ** 3", "C#", "Xavier"]
)
def test_a_value_is_not(value: str) -> None:
    assert not is_mask(value, mask(), PLAN)


def test_only_what_redact_shows_counts_as_its_constant() -> None:
    assert is_mask("x", mask("CASE WHEN {} IS NULL THEN NULL ELSE CAST('x' AS text) END"), PLAN)
    assert not is_mask("hidden", mask(strategy=Strategy.PARTIAL), PLAN)
    assert not is_mask("hex", mask("decode('2a', 'hex')"), PLAN)
    assert not is_mask("hidden", mask("not ( sql"), PLAN)
