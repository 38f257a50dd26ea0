"""The small promises of the values that both ends of masking share."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import AT_SINK, UNTOUCHED, Mask, Plan, Predicates, Strategy

MASK = Mask("public.t.c", Strategy.REDACT, Predicates.DENY, "'***'", "masking.yaml:1", 25)


def test_a_plan_is_empty_when_it_hides_nothing() -> None:
    assert not Plan() and not Plan(version="1", shown=frozenset({(1, 1)}), vouched=frozenset({1}))
    assert Plan({1: {1: MASK}}) and Plan(opaque={1: "why"})


@pytest.mark.parametrize("strategy", list(Strategy))
def test_only_what_needs_a_key_is_done_at_the_sink(strategy: Strategy) -> None:
    mask = Mask("public.t.c", strategy, Predicates.DENY, "", "", 25)
    assert mask.at_sink is (strategy in AT_SINK) is (strategy in (Strategy.HASH, Strategy.FAKE))


def test_a_mask_is_recognised_by_how_it_begins() -> None:
    plan = Plan({1: {1: MASK}}, marks=frozenset({"***", "hash:"}))
    assert plan.recognises("***1234") and plan.recognises("hash:ab")
    assert not plan.recognises("12***") and not Plan().recognises("***")


def test_what_masking_does_not_touch_has_nothing_to_hide() -> None:
    assert (UNTOUCHED.touches, UNTOUCHED.outputs, UNTOUCHED.parameters) == (False, None, frozenset())
