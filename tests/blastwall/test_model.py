"""The values: proofs and facts do not change, severity is an order."""

from __future__ import annotations

import dataclasses

import pytest

from blastwall import model
from blastwall.model import SEVERITY, Effect, ObjectRef, Principal

FROZEN = [
    kind
    for kind in vars(model).values()
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind.__name__ != "Chunk"
]


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
