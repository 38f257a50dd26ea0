from __future__ import annotations

from blastwall.model import Effect
from blastwall.policy import vocabulary


def test_every_effect_has_a_hint_and_so_have_connecting_masking_and_approving() -> None:
    hints = set(vocabulary.HINTS)
    of_protocols = {hint for hint in hints if hint.endswith("_ssh")}
    effects = {effect.value for effect in Effect}
    assert hints - of_protocols == effects | {"connect", "excessive", "masked", "misnamed", "unbounded", "undo"}
    assert {hint.removesuffix("_ssh") for hint in of_protocols} < effects
    assert all(hint.endswith(".") for hint in vocabulary.HINTS.values())


def test_flags_are_words_that_a_policy_can_write() -> None:
    assert "reset" in vocabulary.FLAGS
    assert all('"' not in flag and flag == flag.strip().lower() for flag in vocabulary.FLAGS)


def test_codes_are_those_that_a_rule_may_choose() -> None:
    assert {"policy", "unknown", "budget"} == vocabulary.CODES
