"""Small texts that ask for much: series and repetitions, joins without a condition, recursion without an end.

What is certainly too much makes the statement unknown; what merely may be (a bound that is not a literal) sets a flag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from blastwall.sql.scope import Scope, Source
from blastwall.sql.tree import (
    Message,
    column_paths,
    conjuncts,
    constant,
    everything_within,
    kind_of,
    leftmost_arm,
    number,
    strings,
)
from blastwall.sql.walk import Walk

MOST_ROWS = 1_000_000.0  # of one series, or bytes of one repetition
UNCONNECTED = 3  # this many relations without a condition between them
FEW = 10_000  # a LIMIT up to this keeps a join or a recursion small

#: The flag of a text that must be judged again once its parameters are bound.
BY_PARAMETER = "amount_by_parameter"
#: The flag of what asks for too much in so many words.
EXCESSIVE = "excessive"

# Function name to the position of the argument that says how much.
_REPETITIONS = {"repeat": 1, "lpad": 1, "rpad": 1}
_UNITS = {
    "microsecond": 1e-6,
    "us": 1e-6,
    "millisecond": 1e-3,
    "ms": 1e-3,
    "second": 1.0,
    "sec": 1.0,
    "s": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "m": 60.0,
    "hour": 3600.0,
    "h": 3600.0,
    "day": 86400.0,
    "d": 86400.0,
    "week": 604800.0,
    "w": 604800.0,
    "month": 2592000.0,
    "mon": 2592000.0,
    "year": 31536000.0,
    "y": 31536000.0,
}


def judge_amount(walk: Walk, name: str, call: Message) -> None:
    """Judge how much a call of one of PostgreSQL's functions asks for."""
    if name == "generate_series":
        amount = _series(walk, call.args)
        walk.product *= max(amount or 1.0, 1.0)
        if walk.product > MOST_ROWS * 100:
            amount = walk.product
    elif name in _REPETITIONS and len(call.args) > _REPETITIONS[name]:
        amount = _value(walk, call.args[_REPETITIONS[name]])
        if name == "repeat" and amount is not None and kind_of(call.args[0]) == "func_call":
            inner = call.args[0].func_call
            if strings(inner.funcname)[-1] in _REPETITIONS and len(inner.args) > 1:
                within = _value(walk, inner.args[1])
                amount = None if within is None else amount * max(within, 1.0)
    elif name == "array_fill" and len(call.args) > 1 and kind_of(call.args[1]) == "a_array_expr":
        sizes = [_value(walk, element) for element in call.args[1].a_array_expr.elements]
        amount = None if any(size is None for size in sizes) else math.prod(size for size in sizes if size is not None)
    elif name in ("factorial", "array_fill"):
        value = _value(walk, call.args[-1]) if call.args else None
        amount = None if value is None else value * 100
    else:
        return
    walk.ledger.literals = True
    if amount is None:
        walk.ledger.flags.add("amplification")
    elif amount > MOST_ROWS:
        walk.unknown(f"Calls {name} for more than {MOST_ROWS:,.0f} rows or bytes.", "amplification", EXCESSIVE)


def _value(walk: Walk, node: Message) -> float | None:
    """The number an expression of literals comes to, None when it is not one."""
    return _fold(walk, node, 0)


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "^": lambda left, right: left**right,
}


def _fold(walk: Walk, node: Message, depth: int) -> float | None:
    which = kind_of(node)
    if depth > 20 or which == "":
        return None
    if which == "param_ref":
        return _bound(walk, node.param_ref.number)
    if which == "type_cast":
        plain = number(node)
        return float(plain) if plain is not None else _fold(walk, node.type_cast.arg, depth + 1)
    if which == "a_expr" and node.a_expr.HasField("lexpr"):
        left, right = (_fold(walk, side, depth + 1) for side in (node.a_expr.lexpr, node.a_expr.rexpr))
        rule = _ARITHMETIC.get(strings(node.a_expr.name)[-1])
        if left is None or right is None or rule is None:
            return None
        try:
            return float(rule(left, right))
        except (ArithmeticError, TypeError, ValueError):
            return math.inf
    if (
        which == "func_call"
        and strings(node.func_call.funcname)[-1] in ("pow", "power")
        and len(node.func_call.args) == 2
    ):
        left, right = (_fold(walk, side, depth + 1) for side in node.func_call.args)
        try:
            return None if left is None or right is None else float(left**right)
        except (ArithmeticError, TypeError, ValueError):
            return math.inf
    plain = number(node)
    return float(plain) if plain is not None else None


def _bound(walk: Walk, place: int) -> float | None:
    """The value of a parameter; None when it is no number, or when nobody knows it yet: then it is judged again."""
    value = walk.numbers.get(place)
    if value is None:
        walk.ledger.flags.add(BY_PARAMETER)
        return None
    return None if math.isnan(value) else value


def _series(walk: Walk, arguments: Sequence[Message]) -> float | None:
    if len(arguments) < 2:
        return None
    first, last = _value(walk, arguments[0]), _value(walk, arguments[1])
    if first is not None and last is not None:
        step = _value(walk, arguments[2]) if len(arguments) > 2 else 1.0
        return None if step is None else abs(last - first) / abs(step) + 1 if step else math.inf
    begin, end = _moment(arguments[0]), _moment(arguments[1])
    if begin is None or end is None or len(arguments) < 3:
        return None
    step = _seconds(arguments[2])
    return None if step is None else abs(end - begin) / step + 1 if step else math.inf


def _moment(node: Message) -> float | None:
    known, value = constant(node)
    if not known or not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (moment.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001  # both ends alike


def _seconds(node: Message) -> float | None:
    known, value = constant(node)
    if not known or not isinstance(value, str):
        return None
    total = 0.0
    parts = re.findall(r"([-+]?[0-9.]+)\s*([a-z]+)", value.lower())
    for amount, unit in parts:
        scale = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if scale is None or amount.count(".") > 1 or amount.strip("+-.") == "":
            return None
        total += float(amount) * scale
    return abs(total) if parts else None


def few(walk: Walk, limit: Message) -> bool:
    """Whether a LIMIT expression is a number that keeps results small, or a parameter that is not bound yet."""
    which = kind_of(limit)
    if which == "param_ref" and limit.param_ref.number not in walk.numbers:
        walk.ledger.flags.add(BY_PARAMETER)
        return True
    value = _value(walk, limit) if which else None
    if value is not None:
        walk.ledger.literals = True
    return value is not None and 0 <= value <= FEW


def is_simple(select: Message) -> bool:
    """Whether a SELECT can stop at its LIMIT: nothing sorts, groups or aggregates first."""
    if select.op > 1 or select.group_clause or select.sort_clause or select.distinct_clause or select.window_clause:
        return False
    if select.HasField("having_clause"):
        return False
    calls = (
        each for target in select.target_list for each in everything_within(target) if type(each).__name__ == "FuncCall"
    )
    return not any(
        each.HasField("over") or each.agg_star or strings(each.funcname)[-1] in _AGGREGATES for each in calls
    )


_AGGREGATES = frozenset(
    {
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "array_agg",
        "string_agg",
        "json_agg",
        "jsonb_agg",
        "bool_and",
        "bool_or",
        "every",
    }
)


def judge_join(
    walk: Walk,
    select: Message,
    sources: Sequence[Source],
    conditions: Iterable[Message],
    links: Iterable[Iterable[Source]],
) -> None:
    """Judge a FROM list by how many of its relations nothing connects.

    ``conditions`` are WHERE and ON expressions, ``links`` groups of FROM items that USING or NATURAL connects.
    """
    big = [source for source in sources if source.definition is not None or source.name]
    if len(big) < UNCONNECTED:
        return
    groups = {id(source): index for index, source in enumerate(sources)}
    scope = Scope(None, tuple(sources))
    connected = [[id(source) for source in link] for link in links]
    connected += [_sources_in(clause, scope, sources) for condition in conditions for clause in conjuncts(condition)]
    connected += [
        [id(source), *_qualified_in(source.definition, scope)] for source in sources if source.definition is not None
    ]
    for used in connected:
        merged = {groups[each] for each in used if each in groups}
        if len(merged) > 1:
            groups.update({key: min(merged) for key, group in groups.items() if group in merged})
    islands = len({groups[id(source)] for source in big if not _single_row(walk, source)})
    if islands < UNCONNECTED:
        return
    walk.ledger.flags.add("cartesian")
    if not (few(walk, select.limit_count) and is_simple(select)):
        walk.unknown(
            f"Joins {islands} relations without a condition that connects them: the result is their product. "
            "Add join conditions, or a LIMIT.",
            "cartesian",
        )


def _single_row(walk: Walk, source: Source) -> bool:
    select = source.definition
    if select is None or type(select).__name__ != "SelectStmt":
        return False
    if select.op > 1 or select.group_clause:
        return False
    if not select.from_clause:
        return len(select.values_lists) <= 10
    known, limit = constant(select.limit_count) if select.HasField("limit_count") else (False, None)
    walk.ledger.literals = walk.ledger.literals or known
    if known and isinstance(limit, int) and limit <= 10:
        return True
    return aggregates(select)


def aggregates(select: Message) -> bool:
    """Whether a SELECT without GROUP BY has an aggregate at the top of its list: it has one row then, come what may."""
    calls = (each.res_target.val for each in select.target_list if kind_of(each) == "res_target")
    return any(
        kind_of(each) == "func_call"
        and strings(each.func_call.funcname)[-1] in _AGGREGATES
        and not each.func_call.HasField("over")
        for each in calls
    )


def _sources_in(clause: Message, scope: Scope, sources: Sequence[Source]) -> list[int]:
    used: dict[int, None] = {}
    for path in column_paths(clause):
        if len(path) == 1:
            owners = [source for source in sources if source.has(path[0]) is not False]
            used.update(dict.fromkeys(id(source) for source in owners))
        else:
            source = scope.find(path[-2])
            if source is not None:
                used[id(source)] = None
    return list(used)


def _qualified_in(definition: Message, scope: Scope) -> list[int]:
    """FROM items that a (lateral) sub-query names."""
    named = (scope.find(path[-2]) for path in column_paths(definition) if len(path) > 1)
    return [id(source) for source in named if source is not None]


def judge_recursion(walk: Walk, name: str, query: Message, outer: Message | None) -> None:
    """Judge a WITH RECURSIVE query called ``name``; ``outer`` is the SELECT it belongs to, where that is one."""
    if type(query).__name__ != "SelectStmt" or query.op <= 1:
        return
    arm = query.rarg
    if not any(type(each).__name__ == "RangeVar" and each.relname == name for each in everything_within(arm)):
        return
    if query.HasField("limit_count") and few(walk, query.limit_count):
        return
    if _is_limited(arm, name):
        _judge_rounds(walk, arm)
        return
    if (
        outer is not None
        and outer.HasField("limit_count")
        and few(walk, outer.limit_count)
        and is_simple(outer)
        and len(outer.from_clause) == 1
        and kind_of(outer.from_clause[0]) == "range_var"
    ):
        return
    walk.unknown(
        f"The recursive query {name} has no condition that ends it; add one to its recursive part, or a LIMIT.",
        "unbounded_recursion",
    )


def _is_limited(arm: Message, name: str) -> bool:
    """Whether the recursive part holds a condition on columns: WHERE, a join's ON or USING, HAVING, or a LIMIT."""
    conditions: list[Message] = []
    for node in everything_within(arm):
        kind = type(node).__name__
        if kind == "SelectStmt":
            conditions += [node.where_clause, node.having_clause]
            if node.HasField("limit_count") and constant(node.limit_count) != (True, None):
                return True
        elif kind == "JoinExpr":
            if node.using_clause or node.is_natural:
                return True
            conditions.append(node.quals)
    return any(type(each).__name__ == "ColumnRef" for condition in conditions for each in everything_within(condition))


def _judge_rounds(walk: Walk, arm: Message) -> None:
    """``WHERE n < 1000000000`` ends, but not soon."""
    select = leftmost_arm(arm)
    if not select.HasField("where_clause"):
        return
    for clause in conjuncts(select.where_clause):
        if kind_of(clause) == "a_expr" and strings(clause.a_expr.name)[-1] in ("<", "<=", "<>"):
            value = _value(walk, clause.a_expr.rexpr)
            if value is not None:
                walk.ledger.literals = True
            if value is not None and value > MOST_ROWS * 10:
                walk.unknown("Recurses more than ten million times.", "amplification", EXCESSIVE)
