"""Comparisons inside predicates: what an operator between two terms says about a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from blastwall.sql.tree import MESSAGES, Message, called, constant, everything_within, kind_of, strings
from blastwall.sql.truth import (
    ANY,
    FALSE,
    NULL,
    OTHER,
    TARGET,
    TRUE,
    Term,
    Truth,
    all_of,
    always,
    any_of,
    anybody,
    bit,
    linked,
    negated,
    words,
)
from blastwall.sql.values import ANYTHING, Sample, Value, as_text, like, order

if TYPE_CHECKING:
    from blastwall.sql.compiler import Compiler

_OP, _OP_ANY, _OP_ALL, _DISTINCT, _NOT_DISTINCT, _NULLIF, _IN, _LIKE, _ILIKE, _SIMILAR, _BETWEEN = range(1, 12)
_ANY_LINK, _VALUE_LINK, _ARRAY_LINK = 3, 5, 7  # kinds of a SubLink
_ITEMS = 10_000  # of an IN list; a longer one limits nothing by itself

_ORDERED: dict[str, Callable[[int], bool]] = {
    "=": lambda result: result == 0,
    "<>": lambda result: result != 0,
    "<": lambda result: result < 0,
    "<=": lambda result: result <= 0,
    ">": lambda result: result > 0,
    ">=": lambda result: result >= 0,
}


def comparison(compiler: Compiler, node: Message, depth: int) -> Truth:
    """Compile an A_Expr as a condition."""
    kind = node.kind
    name = strings(node.name)[-1]
    if kind in (_IN, _OP_ANY, _OP_ALL):
        return _with_list(compiler, node, name, depth)
    if kind >= _BETWEEN:
        return _between(compiler, node, name, depth)
    if kind == _NULLIF or not node.HasField("lexpr"):
        return anybody
    left, right = compiler.term(node.lexpr, depth + 1), compiler.term(node.rexpr, depth + 1)
    if kind in (_LIKE, _ILIKE, _SIMILAR):
        return _pattern(compiler, left, right, node, kind, depth)
    if kind == _DISTINCT:
        return negated(compare(left, right, "=", _equal_or_both_null))
    if kind == _NOT_DISTINCT:
        return compare(left, right, "=", _equal_or_both_null)
    if name in _ORDERED:
        return compare(left, right, name, _by_order(_ORDERED[name]))
    if name in words().test_operators:
        return _tested(compiler, left, right, node, depth)
    return anybody


def equality(left: Term, right: Term) -> Truth:
    """``left = right``."""
    return compare(left, right, "=", _by_order(_ORDERED["="]))


def compare(left: Term, right: Term, name: str, test: Callable[[Value, Value], int]) -> Truth:
    """A comparison of two scalars: computed where the target's own columns and constants decide it, a link where
    another relation's column does, and unknown otherwise.
    """
    of = left.of | right.of
    if left.truth is not None or right.truth is not None:
        return _of_truths(left, right, name)
    if OTHER in of:
        return _link(left, right, name)
    for single, column in ((left, right), (right, left)):
        if name == "=" and single.single and column.plain and not column.wild and TARGET in column.of:
            return bit(f"{column.key}={single.key}")
    if left.wild or right.wild or (left.columns & right.columns and (left.guessed or right.guessed)):
        return anybody
    if not of and not _both_literal(left, right):
        return anybody  # no column of the target: whoever wrote it knows the answer
    one, other = left.value, right.value

    def answer(sample: Sample) -> int:
        return test(one(sample), other(sample))

    return answer


def _both_literal(left: Term, right: Term) -> bool:
    return left.key.startswith("=") and right.key.startswith("=")


def _of_truths(left: Term, right: Term, name: str) -> Truth:
    """Two conditions compared, as in ``(id = 5) = true``."""
    one, other = left.value, right.value

    def answer(sample: Sample) -> int:
        first, second = one(sample), other(sample)
        if first is ANYTHING or second is ANYTHING:
            return ANY
        if first is None or second is None:
            return NULL
        if not isinstance(first, bool) or not isinstance(second, bool):
            return ANY
        return TRUE if _ORDERED[name](first - second) else FALSE

    return answer if name in _ORDERED else anybody


def _link(left: Term, right: Term, name: str) -> Truth:
    """An equality between a column of the target and one of another relation."""
    for target, other in ((left, right), (right, left)):
        if (
            target.of == {TARGET}
            and other.of == {OTHER}
            and target.plain
            and other.plain
            and name == "="
            and other.link
        ):
            return linked(f"{target.key}={other.key}", other.link)
    return anybody


def _equal_or_both_null(left: Value, right: Value) -> int:
    if left is ANYTHING or right is ANYTHING:
        return ANY
    if left is None or right is None:
        return TRUE if left is right else FALSE
    return _by_order(_ORDERED["="])(left, right)


def _by_order(holds: Callable[[int], bool]) -> Callable[[Value, Value], int]:
    def test(left: Value, right: Value) -> int:
        if left is ANYTHING or right is ANYTHING:
            return ANY
        try:
            result = order(left, right)
        except (TypeError, ValueError):
            return ANY
        return NULL if result is None else TRUE if holds(result) else FALSE

    return test


def _between(compiler: Compiler, node: Message, name: str, depth: int) -> Truth:
    bounds = node.rexpr.list.items
    if len(bounds) != 2:
        return anybody
    value, low, high = (compiler.term(each, depth + 1) for each in (node.lexpr, *bounds))
    above, below = (_by_order(_ORDERED[each]) for each in (">=", "<="))
    if node.kind in (13, 14):  # SYMMETRIC
        inside = any_of(
            [
                all_of([compare(value, low, ">=", above), compare(value, high, "<=", below)]),
                all_of([compare(value, high, ">=", above), compare(value, low, "<=", below)]),
            ]
        )
    else:
        inside = all_of([compare(value, low, ">=", above), compare(value, high, "<=", below)])
    return negated(inside) if node.kind in (12, 14) else inside


def _pattern(compiler: Compiler, left: Term, right: Term, node: Message, kind: int, depth: int) -> Truth:
    name = strings(node.name)[-1]
    negative = name.startswith("!")
    if not left.plain or TARGET not in left.of or OTHER in left.of | right.of or TARGET in right.of:
        return anybody
    pattern = _literal_pattern(node.rexpr)
    if pattern is None:
        # The same pattern for every row. It may be "%" in a parameter: whoever approves sees the parameters.
        key = f"{left.key}{name}{right.key}"
        found = _same_for_all(compiler, key, node.lexpr, node.rexpr, depth) if not right.wild else anybody
    elif (pattern and not pattern.strip("%")) or (kind == _SIMILAR and pattern in words().matching_everything):
        return always(FALSE if negative else TRUE)
    elif kind == _SIMILAR:
        found = bit(f"{left.key}~{pattern}")
    else:
        found = _like(left, pattern, fold=kind == _ILIKE)
    return negated(found) if negative else found


def _like(left: Term, pattern: str, *, fold: bool) -> Truth:
    value = left.value

    def answer(sample: Sample) -> int:
        found = value(sample)
        text = as_text(found)
        if text is None:
            return NULL if found is None else ANY
        matched = like(text.lower(), pattern.lower()) if fold else like(text, pattern)
        if matched is None:
            return TRUE if sample.chance(pattern) & 1 else FALSE
        return TRUE if matched else FALSE

    return answer


def _literal_pattern(node: Message) -> str | None:
    known, value = constant(node)
    if known and isinstance(value, str):
        return value
    if kind_of(node) == "func_call" and node.func_call.args:  # similar_to_escape, like_escape
        return _literal_pattern(node.func_call.args[0])
    if kind_of(node) == "a_expr" and strings(node.a_expr.name) == ["||"]:
        one, other = _literal_pattern(node.a_expr.lexpr), _literal_pattern(node.a_expr.rexpr)
        return one + other if one is not None and other is not None else None
    return None


def _tested(compiler: Compiler, left: Term, right: Term, node: Message, depth: int) -> Truth:
    """Operators whose answer varies with the row, unless the other side makes it constant."""
    name = strings(node.name)[-1]
    of = left.of | right.of
    if OTHER in of or TARGET not in of or (TARGET in left.of and TARGET in right.of) or left.wild or right.wild:
        return anybody
    if not (left.plain or right.plain):
        return anybody
    constant_side = node.rexpr if TARGET in left.of else node.lexpr
    if kind_of(constant_side) == "a_array_expr" and not constant_side.a_array_expr.elements:
        return anybody
    pattern = _literal_pattern(constant_side)
    if pattern is not None and (pattern.strip() in ("{}", "[]", '""') or pattern in words().matching_everything):
        return anybody
    row_side = node.lexpr if TARGET in left.of else node.rexpr
    key = f"{left.key}{name.lstrip('!')}{right.key}"
    found = _same_for_all(compiler, key, row_side, constant_side, depth)
    return negated(found) if name.startswith("!") else found


def _same_for_all(compiler: Compiler, key: str, row_side: Message, constant_side: Message, depth: int) -> Truth:
    """A test with what is the same for all rows; made of other rows, it limits as much as these are limited."""
    return _in_array(compiler, row_side, constant_side, depth, key) if _has_query(constant_side) else bit(key)


def _has_query(node: Message) -> bool:
    return any(type(each).__name__ == "SubLink" for each in everything_within(node))


def _with_list(compiler: Compiler, node: Message, name: str, depth: int) -> Truth:
    """IN, = ANY (...), <> ALL (...)."""
    if name not in _ORDERED:
        return anybody
    left = compiler.term(node.lexpr, depth + 1)
    test = _by_order(_ORDERED[name])
    every = (node.kind == _IN and name == "<>") or node.kind == _OP_ALL
    items = _items(node)
    if items is None and _has_query(node.rexpr):
        return _in_array(compiler, node.lexpr, node.rexpr, depth) if name == "=" and not every else anybody
    if items is None and not words().whole_types.isdisjoint(called(node.rexpr)):
        return anybody
    if items is None:
        array = compiler.term(node.rexpr, depth + 1)
        whole = left.plain and left.of == {TARGET} and not array.of and not array.wild
        selective = (name == "=" and not every) or (name == "<>" and every)
        return bit(f"{left.key}{name}{array.key}") if whole and selective else anybody
    if len(items) > _ITEMS:
        return anybody
    answers = [
        compare(left, item if isinstance(item, Term) else compiler.term(item, depth + 1), name, test) for item in items
    ]
    if not answers:
        return always(TRUE if every else FALSE)
    return all_of(answers) if every else any_of(answers)


def _in_array(compiler: Compiler, tested: Message, array: Message, depth: int, key: str = "") -> Truth:
    """``x = ANY (ARRAY(SELECT ...))`` is ``x IN (SELECT ...)``, and so is ``x = ANY ((SELECT array_agg(y) ...))``.

    What is made of a sub-query in another way may hold anything: with a ``key``, that of every row.
    """
    while kind_of(array) == "type_cast":
        array = array.type_cast.arg
    if kind_of(array) != "sub_link" or array.sub_link.sub_link_type not in (_ARRAY_LINK, _VALUE_LINK):
        return linked(key, 1) if key else anybody
    link = MESSAGES["SubLink"](sub_link_type=_ANY_LINK)
    link.testexpr.CopyFrom(tested)
    link.subselect.CopyFrom(array.sub_link.subselect)
    found = compiler.sub_link(compiler, link, depth)
    return anybody if isinstance(found, Term) else found


def _items(node: Message) -> Sequence[Message | Term] | None:
    """The members of a list or array that is spelled out; None when it is not."""
    which = kind_of(node.rexpr)
    if which == "list":
        return list(node.rexpr.list.items)
    inner = node.rexpr
    while kind_of(inner) == "type_cast":
        inner = inner.type_cast.arg
    if kind_of(inner) == "a_array_expr":
        return list(inner.a_array_expr.elements)
    known, value = constant(inner)
    if known and isinstance(value, str) and value.strip().startswith("{") and value.strip().endswith("}"):
        body = value.strip()[1:-1].strip()
        if any(sign in body for sign in '{}"\\'):
            return None
        return [_literal_term(part.strip()) for part in body.split(",")] if body else []
    return None


def _literal_term(text: str) -> Term:
    return Term(f"={text!r}", lambda sample: None if text.upper() == "NULL" else text)
