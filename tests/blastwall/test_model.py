"""The values: a secret does not show itself, proofs and facts do not change, severity is an order."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from blastwall import model
from blastwall.model import SEVERITY, Effect, ObjectRef, Principal, Secret

FROZEN = [
    kind
    for kind in vars(model).values()
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind.__name__ != "Chunk"
]


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__, lambda secret: f"{[secret]!r} {secret!s:>12}"])
def test_a_secret_shows_nothing_of_itself(show: object) -> None:
    assert callable(show)
    assert "hunter2" not in show(Secret("hunter2"))


def test_a_secret_is_told_only_when_asked() -> None:
    assert Secret("hunter2").reveal() == "hunter2"


def test_secrets_compare_by_their_text_and_with_nothing_else() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("ä") != Secret("a")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@pytest.mark.parametrize("carry", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_does_not_travel(carry: object) -> None:
    assert callable(carry)
    with pytest.raises(TypeError, match="not pickled"):
        carry(Secret("hunter2"))


def test_a_secret_has_no_attributes_to_dump() -> None:
    assert not hasattr(Secret("hunter2"), "__dict__")


def test_severity_orders_every_effect_and_ends_with_the_unknown() -> None:
    assert set(SEVERITY) == set(Effect)
    assert sorted(Effect, key=SEVERITY.__getitem__) == list(Effect)
    assert max(Effect, key=SEVERITY.__getitem__) is Effect.UNKNOWN
    assert SEVERITY[Effect.READ] < SEVERITY[Effect.WRITE] < SEVERITY[Effect.DESTROY]


@pytest.mark.parametrize("kind", FROZEN, ids=lambda kind: kind.__name__)
def test_values_are_frozen_and_closed(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has them
    assert "__dict__" not in dir(kind)


def test_an_identity_is_issuer_and_subject_together() -> None:
    one = Principal("https://a.example", "x", "agent")
    other = Principal("https://b.example", "x", "agent")
    assert one.identity != other.identity
    assert one.identity == "https://a.example|x"


def test_an_object_reads_as_a_sentence() -> None:
    assert str(ObjectRef("table", "public.orders", "write")) == "write table public.orders"
