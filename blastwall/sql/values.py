"""Sample values of columns, parameters and computed scalars, for asking whether a predicate can be anything but true.

Everything is deterministic: a sample is numbered, and what it gives a column depends on the number and the column's
name only. No pattern of the statement's is ever run as a regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import md5
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
            found = self._values[variable.key] = self._make(variable)
        return found

    def _make(self, variable: Variable) -> Free:
        chance = self.chance(variable.key)
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


def _texts(change: Callable[[str], Value]) -> Callable[[Sequence[Value]], Value]:
    def apply(values: Sequence[Value]) -> Value:
        text = as_text(values[0])
        return ANYTHING if text is None else change(text)

    return apply


def _numbers(change: Callable[[float], Value]) -> Callable[[Sequence[Value]], Value]:
    def apply(values: Sequence[Value]) -> Value:
        number = as_number(values[0])
        return ANYTHING if number is None else change(number)

    return apply


def _coalesce(values: Sequence[Value]) -> Value:
    return next((value for value in values if value is not None), None)


def _age(values: Sequence[Value]) -> Value:
    """age(moment), the time until today, and age(moment, moment)."""
    moments = values if len(values) > 1 else [Moment(NOW), *values]
    if not all(isinstance(each, (Moment, Free)) for each in moments):
        return ANYTHING
    return Span(moments[0].days - moments[1].days)


def _joined(between: str | None, values: Sequence[Value]) -> Value:
    texts = [as_text(value) for value in values if value is not None]
    return ANYTHING if between is None or None in texts else between.join(text for text in texts if text is not None)


def _power(values: Sequence[Value]) -> Value:
    base, exponent = as_number(values[0]), as_number(values[1])
    if base is None or exponent is None or abs(exponent) > 64:
        return ANYTHING
    try:
        return float(base) ** exponent
    except (ArithmeticError, ValueError):
        return ANYTHING


def _position(values: Sequence[Value]) -> Value:
    text, part = as_text(values[0]), as_text(values[1])
    return ANYTHING if text is None or part is None else text.find(part) + 1


def _mod(values: Sequence[Value]) -> Value:
    left, right = as_number(values[0]), as_number(values[1])
    return ANYTHING if left is None or not right else left % right


def _cut(values: Sequence[Value]) -> Value:
    """substr(text, from) and substr(text, from, length)."""
    text, start = as_text(values[0]), int(values[1])
    end = len(text or "") if len(values) < 3 else start - 1 + int(values[2])
    return ANYTHING if text is None else text[max(start - 1, 0) : max(end, 0)]


def _tail(values: Sequence[Value]) -> Value:
    text, length = as_text(values[0]), int(values[1])
    return ANYTHING if text is None else text[-length:] if length else ""


def _head(values: Sequence[Value]) -> Value:
    text = as_text(values[0])
    return ANYTHING if text is None else text[: int(values[1])]


def _repeated(values: Sequence[Value]) -> Value:
    text, times = as_text(values[0]), int(values[1])
    return ANYTHING if text is None or times * len(text) > _LENGTHS else text * max(times, 0)


# Functions that spread (predicates.toml), computed where all but their first argument are literal numbers: some numbers
# leave nothing of it.
CUT: Mapping[str, Callable[[Sequence[Value]], Value]] = {
    "left": _head,
    "md5": _texts(lambda text: md5(text.encode(), usedforsecurity=False).hexdigest()),
    "repeat": _repeated,
    "right": _tail,
    "substr": _cut,
    "substring": _cut,
}

# Functions that are computed on sample values, by name. What is not here is anything, or spreads (predicates.toml).
COMPUTED: Mapping[str, Callable[[Sequence[Value]], Value]] = {
    "lower": _texts(str.lower),
    "upper": _texts(str.upper),
    "btrim": _texts(str.strip),
    "ltrim": _texts(str.lstrip),
    "rtrim": _texts(str.rstrip),
    "reverse": _texts(lambda text: text[::-1]),
    "length": _texts(len),
    "char_length": _texts(len),
    "character_length": _texts(len),
    "octet_length": _texts(len),
    "bit_length": _texts(lambda text: 8 * len(text)),
    "abs": _numbers(abs),
    "strpos": _position,
    "position": _position,
    "sign": _numbers(lambda number: (number > 0) - (number < 0)),
    "floor": _numbers(lambda number: number // 1),
    "ceil": _numbers(lambda number: -(-number // 1)),
    "ceiling": _numbers(lambda number: -(-number // 1)),
    "round": _numbers(round),
    "trunc": _numbers(int),
    "mod": _mod,
    "power": _power,
    "pow": _power,
    "age": _age,
    "concat": lambda values: _joined("", values),
    "concat_ws": lambda values: _joined(as_text(values[0]), values[1:]),
    "num_nulls": lambda values: sum(value is None for value in values),
    "num_nonnulls": lambda values: sum(value is not None for value in values),
    "coalesce": _coalesce,
}


def arithmetic(name: str, left: Value, right: Value) -> Value:
    """``left name right`` for + - * / % ^ ||; ANYTHING when it cannot be computed."""
    if left is None or right is None:
        return None
    if name == "-" and _is_moment(left) and _is_moment(right):
        return Span(left.days - right.days)
    if isinstance(left, Moment) and right is ANYTHING and name in "+-":
        return shifted(left.days, 1 if name == "+" else -1, None)
    if left is ANYTHING or right is ANYTHING:
        return ANYTHING
    if name == "||":
        one, other = as_text(left), as_text(right)
        return ANYTHING if one is None or other is None else one + other
    if name in "+-" and isinstance(left, (Moment, Free)) and not _numeric(right):
        days = left.days
        return shifted(days, 1 if name == "+" else -1, right)
    if isinstance(left, Moment) or isinstance(right, Moment):
        return shifted(left.days, 1 if name == "+" else -1, right) if isinstance(left, Moment) else ANYTHING
    one_number, other_number = as_number(left), as_number(right)
    if one_number is None or other_number is None:
        return ANYTHING
    try:
        if name == "+":
            return one_number + other_number
        if name == "-":
            return one_number - other_number
        if name == "*":
            return one_number * other_number
        if name == "^":
            return float(one_number) ** other_number if abs(other_number) <= 64 else ANYTHING
        if name == "%":
            return one_number % other_number
        return one_number / other_number
    except (ArithmeticError, ValueError):
        return ANYTHING


def _is_moment(value: Value) -> bool:
    return isinstance(value, Moment) or (isinstance(value, Free) and value.kind == "time")


def _numeric(value: Value) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, Free) and value.kind in ("", "number"))
