"""A capsule survives its own form, and nothing else passes for one."""

from __future__ import annotations

import zlib

import pytest

from blastwall.errors import OurFault
from blastwall.undo.capsule import Capsule, NoCapsule, Part, unpack

PART = Part('"public"."t"', False, 1, (("id", "pg_catalog.int4"), ("é", "text")), (("1", None), ("2", "x")), ("7", "8"))
CAPSULE = Capsule("a-1-x", "a-1", "shop", "shop", "update", 5.5, (PART,))


def test_what_is_packed_is_unpacked() -> None:
    assert unpack(CAPSULE.pack()) == CAPSULE
    assert CAPSULE.rows == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        zlib.compress(b"[]"),
        zlib.compress(b"{}"),
        zlib.compress(b'{"version": 2}'),
        zlib.compress(b'{"version": 1, "parts": []}'),
        CAPSULE.pack()[:-5],
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(OurFault, match="no undo capsule"):
        unpack(data)


def test_a_small_thing_that_becomes_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = CAPSULE.pack()
    monkeypatch.setattr("blastwall.undo.capsule.LARGEST", 100)
    with pytest.raises(OurFault, match="too large"):
        unpack(packed)
    with pytest.raises(NoCapsule, match="MiB"):
        CAPSULE.pack()
