"""Sample values of columns, parameters and computed scalars, for asking whether a predicate can be anything but true.

Everything is deterministic: a sample is numbered, and what it gives a column depends on the number and the column's
name only. No pattern of the statement's is ever run as a regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias
from zlib import crc32


class _Anything:
    """A value nobody knows, which an adversary may choose."""

    def __repr__(self) -> str:
        return "ANYTHING"


ANYTHING = _Anything()
Comparable: TypeAlias = Any  # two of the same kind: numbers, texts
Value = Any  # int, float, str, bool, None (NULL), Moment, Span, Free, tuple (a row), list (an array), ANYTHING

NOW = 20_500.0  # days since 1970: the moment every sample is taken at
OLDEST = 11_000.0  # about the year 2000: no ordinary row is older
FUTURE = 25_000.0
_SOME_TIME_AGO = 19_500.0
_LENGTHS = 60
_ATTEMPTS = 60  # to find a value that keeps what is promised of a column; if there is none, any will do
_GENERIC = (7919, -104_729, 0, 1, -3, 2)
_UUIDS = (
    "0f6f2c1e-58b1-4a7b-9d65-3a1f7c2e9b40",
    "9b2d6f0a-7c41-4e0f-8a3d-5e6f70819243",
    "e41c0d7b-2f63-4d8e-b1a9-c0d4e5f60718",
)
_TEXTS = ("zq7", "", "a", "Zebra", "0")


@dataclass(frozen=True, slots=True)
class Moment:
    """A date or time, in days since 1970."""

    days: float


@dataclass(frozen=True, slots=True)
class Span:
    """The time between two moments, in days."""

    days: float


@dataclass(frozen=True, slots=True)
class Free:
    """A value of unknown type: compared with a number it is ``number``, with a text ``text``, with a time ``days``."""

    key: str
    number: int
    text: str
    days: float
    flag: bool
    kind: str = ""  # number, text, time, boolean, uuid, other, or "" when unknown


@dataclass(frozen=True, slots=True)
class Variable:
    """A column or parameter: its key and what is known of it."""

    key: str
    kind: str = ""
    least: int = -(2**63)
    most: int = 2**63 - 1
    positive: bool = False  # a key: numbers from 1, texts not empty
    past: bool = False  # a time that is over, as of created_at
    scaled: bool = False  # a number that is written with digits behind the point


class Pool:
    """Values worth trying: those the predicate compares with, their neighbours, and a few ordinary ones."""

    def __init__(self) -> None:
        self.nulls: set[str] = set()  # keys of variables that are asked IS NULL, and may be
        self.promises: dict[str, list[Callable[[Sample], bool]]] = {}  # by key: what its values keep (promises.py)
        self.numbers: dict[int, None] = dict.fromkeys(_GENERIC)
        self.texts: dict[str, None] = dict.fromkeys(_TEXTS)
        self.days: dict[float, None] = dict.fromkeys((OLDEST + 400.5, 15_000.5, NOW - 0.5))

    def add(self, value: Value) -> None:
        """Add a literal, once and with its neighbours."""
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, (int, float)):
            if abs(value) < 1e18:
                whole = int(value)
                self.numbers.update(dict.fromkeys((whole, whole - 1, whole + 1)))
                if 0 <= whole <= NOW - OLDEST:
                    self._ago(whole)
                if 0 <= whole <= _LENGTHS:
                    self.texts["x" * whole] = None  # it may be compared with a length
        elif isinstance(value, str) and len(self.texts) < 500:
            self.texts.update(dict.fromkeys((value, value + "x")))
            found = number_in(value)
            if found is not None:
                self.add(int(found))
            moment = moment_in(value)
            if moment is not None:
                self.add(moment)
            length = interval_days(value)
            if length is not None:
                self._ago(length)
        elif isinstance(value, Moment):
            self.days.update(dict.fromkeys((value.days, value.days - 1.0, value.days + 1.0)))

    def _ago(self, length: float) -> None:
        """It may be compared with the days since a moment."""
        if len(self.days) < 200:
            self.add(Moment(NOW - length))


class Sample:
    """One row: the values of all variables."""

    def __init__(self, index: int, pool: Pool) -> None:
        self.index = index
        self._numbers = list(pool.numbers)
        self._texts = list(pool.texts)
        self._days = list(pool.days)
        self._nulls = pool.nulls
        self._promises = pool.promises
        self._values: dict[str, Free] = {}

    def is_null(self, key: str) -> bool:
        """Whether the variable is NULL in this row: only one that the predicate itself asks IS NULL may be."""
        return key in self._nulls and bool(self.chance(f"null {key}") >> 2 & 1)

    def chance(self, key: str) -> int:
        """A number that depends on this sample and ``key`` only."""
        chance = crc32(f"{self.index}|{key}".encode())
        # A checksum alone is linear: between two keys of one length the same bits would differ in every sample.
        chance = (chance ^ chance >> 16) * 0x45D9F3B & 0xFFFFFFFF
        return chance ^ chance >> 15

    def value(self, variable: Variable) -> Free:
        """What the variable is in this row."""
        found = self._values.get(variable.key)
        if found is None:
            found = self._values[variable.key] = self._make(variable, 0)
            promises = self._promises.get(variable.key, ())
            for attempt in range(1, _ATTEMPTS):
                if all(keeps(self) for keeps in promises):
                    break
                found = self._values[variable.key] = self._make(variable, attempt)
        return found

    def _make(self, variable: Variable, attempt: int) -> Free:
        chance = self.chance(f"{variable.key}#{attempt}" if attempt else variable.key)
        numbers = [each for each in self._numbers if variable.least <= each <= variable.most]
        if variable.positive:
            numbers = [each for each in numbers if each > 0]
        filled = variable.positive or variable.kind == "other"
        texts = [each for each in self._texts if each] if filled else self._texts
        if variable.kind == "uuid":
            texts = [*_UUIDS, *(each for each in texts if _is_uuid(each) and not _is_edge(each))]
        highest = NOW if variable.past else FUTURE
        days = [each for each in self._days if OLDEST <= each <= highest and (not variable.past or each < NOW)]
        if not variable.past:
            days.append(NOW + 2000.5)
        number = numbers[chance % len(numbers)] if numbers else 1
        day = days[(chance >> 16) % len(days)] if days else NOW - 0.5
        flag = bool(chance >> 24 & 1)
        if variable.kind == "number":
            text = f"{number}.{chance >> 8 & 1}5" if variable.scaled else str(number)
        elif variable.kind == "time":
            text = moment_text(day)
        elif variable.kind == "boolean":
            text = "true" if flag else "false"
        else:
            text = texts[(chance >> 8) % len(texts)]
        return Free(variable.key, number, text, day, flag, variable.kind)


def _is_uuid(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text) is not None


def _is_edge(text: str) -> bool:
    """Whether this is the least or the greatest UUID, which no row has."""
    return len(set(text)) == 2 and text[0] in "0f"


def moment_text(days: float) -> str:
    """A moment as the server writes it."""
    moment = datetime(1970, 1, 1) + timedelta(days=days)  # noqa: DTZ001  # the zone is written, and the same for all
    return f"{moment:%Y-%m-%d %H:%M:%S}+00"


def spelled(value: Value) -> Value:
    """A value cast to text."""
    if isinstance(value, Free):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Moment):
        try:
            return moment_text(value.days)
        except OverflowError:
            return ANYTHING
    if isinstance(value, (int, float)):
        return str(value)
    return value if value is None or isinstance(value, str) else ANYTHING


def number_in(text: str) -> float | None:
    """The number a text spells, or None."""
    if len(text) > 40 or not re.fullmatch(r"\s*[-+]?[0-9]{1,18}(\.[0-9]{0,18})?\s*", text, re.ASCII):
        return None
    return float(text)


def moment_in(text: str) -> Moment | None:
    """The date or time a text spells in ISO 8601 (or "now", "today", "infinity"), or None."""
    plain = text.strip().lower()
    if plain in ("now", "today"):
        return Moment(NOW)
    if plain in ("infinity", "tomorrow"):
        return Moment(FUTURE * 10)
    if plain in ("-infinity", "epoch"):
        return Moment(0.0 if plain == "epoch" else -1e9)
    if not re.match(r"[0-9]{4}-[0-9]{2}", plain):
        return None
    try:
        day = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return Moment(day.toordinal() - date(1970, 1, 1).toordinal() + day.hour / 24)


def shifted(moment: float, sign: int, by: Value) -> Value:
    """A moment plus or minus an interval. An interval of unknown length is some hundred days."""
    length = interval_days(by) if isinstance(by, str) else float(by) if isinstance(by, (int, float)) else None
    if isinstance(by, Span):
        length = by.days
    if length is None:
        length = NOW - _SOME_TIME_AGO
    return Moment(moment + sign * length)


def interval_days(text: str) -> float | None:
    """Days of an interval such as '30 days' or '1 year 2 hours', or None."""
    scale = {"y": 365.0, "mon": 30.0, "w": 7.0, "d": 1.0, "h": 1 / 24, "m": 1 / 1440, "s": 1 / 86400}
    total = 0.0
    parts = re.findall(r"([-+]?[0-9]{1,9})\s*([a-z]+)", text.lower()[:200])
    for amount, unit in parts:
        known = next((factor for name, factor in scale.items() if unit.startswith(name)), None)
        if known is None:
            return None
        total += int(amount) * known
    return total if parts else None


def order(left: Value, right: Value) -> int | None:
    """-1, 0 or 1; None when one is NULL. Raises TypeError when the two cannot be compared."""
    if left is None or right is None:
        return None
    if isinstance(left, tuple) and isinstance(right, tuple) and len(left) == len(right):
        for one, other in zip(left, right, strict=True):
            result = order(one, other)
            if result != 0:
                return result
        return 0
    one, other = _alike(left, right), _alike(right, left)
    if (
        isinstance(one, (list, tuple))
        or isinstance(other, (list, tuple))
        or isinstance(one, str) != isinstance(other, str)
    ):
        raise TypeError("these two are not compared")
    return int(one > other) - int(one < other)


def _alike(value: Value, with_: Value) -> Comparable:
    """``value`` in the type that comparing it with ``with_`` takes."""
    if isinstance(value, (Moment, Span)):
        return value.days
    if isinstance(value, Free):
        return _free_alike(value, with_)
    if isinstance(value, str):
        if isinstance(with_, Span):
            length = interval_days(value)
            if length is None:
                raise TypeError("no length of time")
            return length
        if isinstance(with_, Free) and with_.kind == "boolean":
            return flag_in(value)
        if isinstance(with_, Moment) or (isinstance(with_, Free) and with_.kind == "time"):
            moment = moment_in(value)
            return moment.days if moment is not None else NOW
        if isinstance(with_, (int, float)) or (isinstance(with_, Free) and with_.kind == "number"):
            found = number_in(value)
            return found if found is not None else 0.0
        if isinstance(with_, Free) and not with_.kind and moment_in(value) is not None:
            return moment_in(value).days  # type: ignore[union-attr]  # asked one line above
    return value


def _free_alike(value: Free, with_: Value) -> float | str:
    if isinstance(with_, bool):
        return value.flag
    if isinstance(with_, (int, float)):
        return value.number
    if isinstance(with_, Moment):
        return value.days
    if isinstance(with_, Free):
        if with_.key == value.key:
            return value.number
        kinds = {value.kind, with_.kind}
        return value.days if "time" in kinds else value.text if "text" in kinds else value.number
    if isinstance(with_, str):
        if value.kind == "boolean":
            return value.flag
        if value.kind == "time" or (not value.kind and moment_in(with_) is not None):
            return value.days
        return value.number if value.kind == "number" else value.text
    return value.number


def flag_in(text: str) -> bool:
    """The boolean a text spells."""
    return text.strip().lower() in ("t", "true", "y", "yes", "on", "1")


def as_number(value: Value) -> float | None:
    """The number in a value, or None."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, Free):
        return value.number
    return number_in(value) if isinstance(value, str) else None


def as_text(value: Value) -> str | None:
    """The text in a value, or None."""
    if isinstance(value, Free):
        return value.text
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def like(text: str, pattern: str) -> bool | None:
    """LIKE without an escape character; None when either is too long to try."""
    if len(text) > 200 or len(pattern) > 200 or "\\" in pattern:
        return None
    reached = {0}
    for sign in pattern:
        if sign == "%":
            reached = set(range(min(reached), len(text) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(text) and sign in ("_", text[at])}
    return len(text) in reached
