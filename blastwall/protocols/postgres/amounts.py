"""Bound parameters as numbers: what a text asks for may depend on them (LIMIT $1, generate_series(1, $1))."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from blastwall.model import Parameter
from blastwall.protocols.postgres.values import show

#: Types whose binary layout ``values`` reads as a number: int2, int4, int8, oid, float4, float8, numeric.
_NUMBERS: Final = frozenset({21, 23, 20, 26, 700, 701, 1700})
#: Widths of an integer whose type the client left to the server.
_INTEGERS: Final = frozenset({2, 4, 8})
_LONGEST: Final = 40  # bytes of a number that is worth reading
_UNKNOWN: Final = math.nan


def numbers(parameters: Sequence[Parameter | str | bytes | None]) -> dict[int, float]:
    """The value of each parameter that is bound, by number from 1; NaN for NULL and for what is not a number.

    A parameter that is missing here is not bound yet: nobody knows what it will be.
    """
    return {place: _number(parameter) for place, parameter in enumerate(parameters, start=1)}


def _number(parameter: Parameter | str | bytes | None) -> float:
    value = parameter.value if isinstance(parameter, Parameter) else parameter
    if value is None or len(value) > _LONGEST:
        return _UNKNOWN
    if isinstance(parameter, Parameter) and parameter.binary:
        assert isinstance(value, bytes), "parameters of the wire are bytes"
        if parameter.type_id == 0 and len(value) in _INTEGERS:
            return float(int.from_bytes(value, "big", signed=True))
        if parameter.type_id not in _NUMBERS:
            return _UNKNOWN
        value = show(value, parameter.type_id, 1)
    return _read(value if isinstance(value, str) else value.decode("utf-8", "replace"))


def _read(text: str) -> float:
    """A number as PostgreSQL reads it: from 16 on also 0x1F and 1_000."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(int(text, 0))
    except (ValueError, OverflowError):
        return _UNKNOWN
