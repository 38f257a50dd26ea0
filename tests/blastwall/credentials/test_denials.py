"""The policy of ended sessions: it denies those, and only those, until their keys have expired."""

from __future__ import annotations

import json

import pytest

from blastwall.credentials.denials import LARGEST, Full, add_denial, read_denials, write_denials
from tests.blastwall.credentials.iam import allowed

NOW = 1_800_000_000
ADMIN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def may(policy: str, identity: str) -> bool:
    denials = json.loads(policy)
    everything = {"Statement": [*ADMIN["Statement"], *denials["Statement"]]}
    return allowed([everything], "s3:GetObject", "arn:aws:s3:::x/y", {"aws:SourceIdentity": identity})


def test_one_session_is_denied_and_the_others_are_not() -> None:
    denied = add_denial({}, "s-one", NOW + 100, NOW)
    text = write_denials(denied)
    assert not may(text, "s-one") and may(text, "s-two")
    assert read_denials(json.loads(text)) == denied
    both = write_denials(add_denial(denied, "s-two", NOW + 5000, NOW))
    assert not may(both, "s-one") and not may(both, "s-two") and may(both, "s-three")


def test_adding_again_changes_nothing_and_a_longer_need_is_kept() -> None:
    denied = add_denial({}, "s-one", NOW + 100, NOW)
    assert add_denial(denied, "s-one", NOW + 100, NOW) == denied
    longer = add_denial(denied, "s-one", NOW + 3000, NOW)
    assert max(when for when, who in longer.items() if "s-one" in who) >= NOW + 3000


def test_what_has_expired_is_dropped_and_nothing_before() -> None:
    denied = add_denial(add_denial({}, "s-one", NOW + 100, NOW), "s-two", NOW + 5000, NOW)
    later = add_denial(denied, "s-three", NOW + 9000, NOW + 2000)
    assert may(write_denials(later), "s-one") and not may(write_denials(later), "s-two")
    assert all(when >= NOW + 100 for when, who in denied.items() if "s-one" in who), "never too early"


def test_an_empty_policy_denies_nobody_and_is_one_that_iam_takes() -> None:
    text = write_denials({})
    assert may(text, "s-one") and json.loads(text)["Statement"]
    assert read_denials(json.loads(text)) == {}


def test_a_policy_that_is_full_says_so() -> None:
    denied: dict[int, tuple[str, ...]] = {}
    with pytest.raises(Full, match="do not fit"):
        for number in range(1000):
            denied = add_denial(denied, f"s-{number:012}", NOW + 100, NOW)
            assert len(write_denials(denied)) <= LARGEST
    assert number > 250


def test_somebody_elses_policy_is_left_alone() -> None:
    with pytest.raises(ValueError, match="one of its own"):
        read_denials({"Statement": [{"Sid": "Mine", "Effect": "Allow", "Action": "*", "Resource": "*"}]})
