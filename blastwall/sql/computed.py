"""Functions and operators of conditions, computed on sample values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import md5

from blastwall.sql.values import ANYTHING, NOW, Free, Moment, Span, Value, as_number, as_text, shifted

_LENGTHS = 60  # of texts that repetition makes


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


def _padded(values: Sequence[Value], *, left: bool) -> Value:
    """lpad and rpad: a text of that very length."""
    text, length = as_text(values[0]), int(values[1])
    filling = " " if len(values) < 3 else as_text(values[2])
    if text is None or filling is None or length > _LENGTHS:
        return ANYTHING
    missing = max(length - len(text), 0) if filling else 0
    added = (filling * missing)[:missing]
    return (added + text[: max(length, 0)]) if left else (text + added)[: max(length, 0)]


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
    "lpad": lambda values: _padded(values, left=True),
    "rpad": lambda values: _padded(values, left=False),
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
