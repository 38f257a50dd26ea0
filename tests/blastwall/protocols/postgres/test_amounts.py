"""Amounts: a bound number is known however it was sent, and what is no number is never taken for a small one."""

from __future__ import annotations

import math
import struct

import pytest

from blastwall.model import Parameter
from blastwall.protocols.postgres.amounts import numbers


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("10", 10.0),
        (" 10 ", 10.0),
        ("1_000_000", 1e6),
        ("0x3B9ACA00", 1e9),
        ("-3", -3.0),
        ("1e9", 1e9),
        (b"10", 10.0),
        (Parameter(b"1000000000"), 1e9),
        (Parameter(struct.pack(">i", 1_000_000_000), True), 1e9),
        (Parameter(struct.pack(">i", 1_000_000_000), True, 23), 1e9),
        (Parameter(struct.pack(">q", 10**12), True, 20), 1e12),
        (Parameter(struct.pack(">h", -7), True, 21), -7.0),
        (Parameter(struct.pack(">d", 2.5), True, 701), 2.5),
        (Parameter(struct.pack(">hhHH", 2, 1, 0, 0) + struct.pack(">hh", 12, 3456), True, 1700), 123456.0),
        (Parameter(b"inf"), math.inf),
    ],
)
def test_a_number_is_read_in_every_form(parameter: Parameter | str | bytes, expected: float) -> None:
    assert numbers([parameter]) == {1: expected}


@pytest.mark.parametrize(
    "parameter",
    [None, "ten", "", "1" * 41, Parameter(None), Parameter(b"x" * 8, True, 25), Parameter(b"abc", True), "2026-01-01"],
)
def test_what_is_no_number_is_bound_and_unknown(parameter: Parameter | str | None) -> None:
    assert math.isnan(numbers(["1", parameter])[2])


def test_what_is_not_bound_is_missing() -> None:
    assert numbers([]) == {}
