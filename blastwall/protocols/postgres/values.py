"""Column values as people read them, text or binary format, for the types that are common in results.

Binary layouts are those of the server's send functions (``src/backend/utils/adt``); a value that does not fit its
type's layout, and any type not listed, is shown as hexadecimal.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

MAX_CELL = 2_000  # characters of one value that are kept

_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - PostgreSQL's own epoch; the zone is added where a type has one
_NUMERALS = frozenset(b"0123456789+-.:eE tfT/")


def show(value: bytes, type_id: int, format: int | None) -> str:
    """The text of one value. ``format``: 0 text, 1 binary, None not known (then what it looks like)."""
    if format is None:
        format = _guess(value, type_id)
    if format == 1:
        binary = _BINARY.get(type_id)
        try:
            return _cut(binary(value) if binary is not None else _hexadecimal(value))
        except (struct.error, ValueError, ArithmeticError, IndexError):
            return _cut(_hexadecimal(value))
    return _cut(value[: MAX_CELL * 4 + 4].decode("utf-8", "backslashreplace"))


def _guess(value: bytes, type_id: int) -> int:
    """A fixed-width type in its binary width is binary, unless every byte could be a numeral."""
    width = _WIDTHS.get(type_id)
    if width is not None:
        return int(len(value) == width and not _NUMERALS.issuperset(value))
    if type_id in _TEXTS:
        return 0
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return 1
    return 0 if text.isprintable() or not any(ord(character) < 9 for character in text) else 1


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else text[:MAX_CELL] + "…"


def _hexadecimal(value: bytes) -> str:
    return "\\x" + value[: MAX_CELL // 2 + 1].hex()


def _number(form: str) -> Callable[[bytes], str]:
    def read(value: bytes) -> str:
        return str(struct.unpack(form, value)[0])

    return read


def _text(value: bytes) -> str:
    return value[: MAX_CELL * 4 + 4].decode("utf-8", "backslashreplace")


def _date(value: bytes) -> str:
    (days,) = struct.unpack(">i", value)
    try:
        return (date(2000, 1, 1) + timedelta(days=days)).isoformat()
    except OverflowError:
        return _INFINITE.get(days, f"{days} days after 2000-01-01")


_INFINITE = {2**31 - 1: "infinity", -(2**31): "-infinity", 2**63 - 1: "infinity", -(2**63): "-infinity"}


def _timestamp(zone: str) -> Callable[[bytes], str]:
    def read(value: bytes) -> str:
        (microseconds,) = struct.unpack(">q", value)
        try:
            return f"{_EPOCH + timedelta(microseconds=microseconds)}{zone}"
        except OverflowError:
            return _INFINITE.get(microseconds, f"{microseconds} µs after 2000-01-01")

    return read


def _time(value: bytes) -> str:
    (microseconds,) = struct.unpack(">q", value)
    if not 0 <= microseconds <= 86_400_000_000:
        raise ValueError
    return str(timedelta(microseconds=microseconds))


def _numeric(value: bytes) -> str:
    """Base-10,000 digits: count, weight, sign, display scale, digits."""
    count, weight, sign, scale = struct.unpack_from(">hhHh", value)
    special = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}.get(sign)
    if special is not None:
        return special
    if len(value) != 8 + 2 * count or count > 500 or abs(weight) > 2_000 or not 0 <= scale <= 2_000:
        raise ValueError
    digits = struct.unpack_from(f">{count}H", value, 8)
    whole = 0
    for digit in digits:
        if digit > 9_999:
            raise ValueError
        whole = whole * 10_000 + digit
    exponent = (weight - count + 1) * 4
    number = Decimal(whole).scaleb(exponent) if whole else Decimal(0)
    return f"{'-' if sign else ''}{number:.{scale}f}"


def _jsonb(value: bytes) -> str:
    if value[0] != 1:
        raise ValueError
    return _text(value[1:])


_TEXTS = frozenset({18, 19, 25, 114, 142, 1042, 1043, 705})
_WIDTHS: Mapping[int, int] = {
    16: 1,
    20: 8,
    21: 2,
    23: 4,
    26: 4,
    700: 4,
    701: 8,
    1082: 4,
    1083: 8,
    1114: 8,
    1184: 8,
    2950: 16,
}
_BINARY: Mapping[int, Callable[[bytes], str]] = {
    16: lambda value: "true" if struct.unpack(">?", value)[0] else "false",
    20: _number(">q"),
    21: _number(">h"),
    23: _number(">i"),
    26: _number(">I"),
    700: _number(">f"),
    701: _number(">d"),
    1082: _date,
    1083: _time,
    1114: _timestamp(""),
    1184: _timestamp("+00"),
    1700: _numeric,
    2950: lambda value: str(UUID(bytes=value)),
    3802: _jsonb,
    **dict.fromkeys(_TEXTS, _text),
}
