"""Firm limits and weak ones. An equality, a list or a range with two ends that are near each other says which rows are
meant; a range with one end, a pattern, an exclusion or a test for NULL may hold for nearly all of them, although a row
can be made up for which it does not.

Conditions are compiled a second time (``Compiler.firmly``), in a way in which only what is firm is ever false; what is
weak, and the opposite of what is firm, is answered ANY.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from blastwall.sql.tree import Message, column_paths, constant, everything_within, kind_of, strings
from blastwall.sql.truth import ANY, FALSE, OTHER, TARGET, UNLINKED, Term, Truth, all_of, anybody, negated, words
from blastwall.sql.values import Moment, Sample, Value, as_number, moment_in

if TYPE_CHECKING:
    from blastwall.sql.compiler import Compiler

WIDEST_NUMBERS: Final = 1_000_000  # between the ends of a range that is firm
WIDEST_DAYS: Final = 400.0
FEWEST_VALUES: Final = 20  # that a function must have for an equality with it to be firm: there are twelve months
MOST_COLUMNS: Final = 6  # that are named

_OP, _OP_ANY, _OP_ALL, _DISTINCT, _NOT_DISTINCT, _NULLIF, _IN, _LIKE, _ILIKE, _SIMILAR, _BETWEEN = range(1, 12)
_NOT_BETWEEN = (12, 14)
_ABOVE, _BELOW = frozenset({">", ">="}), frozenset({"<", "<="})
_NOT = 3
_DEPTH = 20
_OF_MOMENTS = frozenset({"date_trunc", "date_part", "extract"})  # they are told which part

Operand = tuple[Message, Term]

#: Ways to limit weakly, as flags call them, in words.
WAYS: Final = {
    "range": "a range that is open at one end or wide",
    "pattern": "a pattern",
    "exclusion": "what is left out",
    "null": "being NULL or not",
    "boolean": "a yes or no",
    "rows": "other rows or columns",
    "other": "a condition that may hold for most rows",
}


def narrowing(truth: Truth) -> Truth:
    """The same condition, of which only that it is false counts: negated, it limits nothing."""

    def answer(sample: Sample) -> int:
        found = truth(sample)
        return found if found in (FALSE, UNLINKED) else ANY

    return answer


def firm_comparison(compiler: Compiler, node: Message, loose: Truth, depth: int) -> Truth:
    """An A_Expr whose answer is ``loose`` where only firm limits count."""
    name = strings(node.name)[-1]
    if node.kind >= _BETWEEN:
        firm = _firm_between(compiler, node, depth)
        return _oriented(loose, node.kind in _NOT_BETWEEN) if firm else anybody
    if node.kind in (_LIKE, _ILIKE):
        known, pattern = constant(node.rexpr)
        plain = known and isinstance(pattern, str) and not any(sign in pattern for sign in "%_\\")
        return _oriented(loose, name.startswith("!")) if plain and tells_apart(node.lexpr) else anybody
    if not node.HasField("lexpr"):
        return anybody
    left, right = _operands(compiler, node.lexpr, depth), _operands(compiler, node.rexpr, depth)
    if any(term.truth is not None for _, term in (*left, *right)):
        return loose  # of conditions that are firm themselves
    if node.kind == _OP and name == "@>":
        return narrowing(loose)
    excludes = node.kind == _DISTINCT or name == "<>"
    if name not in ("=", "<>") or (node.kind == _OP_ALL and name == "=") or (node.kind == _OP_ANY and excludes):
        return anybody
    if _says_which(left, right) and not _is_boolean(node):
        return _oriented(loose, excludes)
    return anybody


def _oriented(truth: Truth, excludes: bool) -> Truth:
    return negated(narrowing(negated(truth))) if excludes else narrowing(truth)


def _operands(compiler: Compiler, node: Message, depth: int) -> list[Operand]:
    """One side of a comparison; the members of a list or array that is spelled out."""
    which = kind_of(node)
    nodes = node.list.items if which == "list" else node.a_array_expr.elements if which == "a_array_expr" else [node]
    return [(each, compiler.term(each, depth + 1)) for each in nodes]


def _says_which(left: Sequence[Operand], right: Sequence[Operand]) -> bool:
    """Whether one side varies as the target's columns do, and the other does not."""
    for mine, others in ((left, right), (right, left)):
        if all(term.plain and TARGET in term.of and _is_varied(term) and tells_apart(node) for node, term in mine):
            return all(TARGET not in term.of for _, term in others)
    return False


def tells_apart(node: Message, depth: int = 0) -> bool:
    """Whether an expression on a column has about as many values as the column has: ``date_trunc('century', at)`` and
    ``replace(name, name, '')`` have not.
    """
    which = kind_of(node) if depth < _DEPTH else ""
    if which == "column_ref":
        return True
    if which in ("type_cast", "collate_clause"):
        return tells_apart(getattr(node, which).arg, depth + 1)
    if which == "row_expr":
        return any(tells_apart(each, depth + 1) for each in node.row_expr.args)
    if which == "coalesce_expr":
        return tells_apart(node.coalesce_expr.args[0], depth + 1)
    if which == "a_expr":
        name = strings(node.a_expr.name)[-1]
        sides = [side for side in (node.a_expr.lexpr, node.a_expr.rexpr) if kind_of(side)]
        keeps = node.a_expr.kind == _OP and (name in ("+", "-", "||") or name in words().field_operators)
        return keeps and any(tells_apart(side, depth + 1) for side in sides)
    if which != "func_call" or not node.func_call.args:
        return False
    name, (first, *others) = strings(node.func_call.funcname)[-1], node.func_call.args
    if name in _OF_MOMENTS:
        return constant(first)[1] in words().telling_parts and any(tells_apart(each, depth + 1) for each in others)
    return name in words().telling and any(tells_apart(each, depth + 1) for each in (first, *others))


def _is_varied(term: Term) -> bool:
    variable = term.variable
    return variable is None or (variable.kind != "boolean" and variable.most - variable.least >= FEWEST_VALUES)


def _is_boolean(node: Message) -> bool:
    sides = [node.lexpr, *(node.rexpr.list.items if kind_of(node.rexpr) == "list" else [node.rexpr])]
    return any(isinstance(constant(each)[1], bool) for each in sides)


def _firm_between(compiler: Compiler, node: Message, depth: int) -> bool:
    bounds = node.rexpr.list.items
    if len(bounds) != 2:
        return False
    value, low, high = ((each, compiler.term(each, depth + 1)) for each in (node.lexpr, *bounds))
    return _says_which([value], [low, high]) and _is_near(compiler, low[1], high[1])


def _is_near(compiler: Compiler, low: Term, high: Term) -> bool:
    """Whether two ends are near each other; of ends that are not known before it is run nobody can tell."""
    row = Sample(0, compiler.pool)
    one, other = _as_moment(low.value(row)), _as_moment(high.value(row))
    if isinstance(one, Moment) and isinstance(other, Moment):
        return abs(other.days - one.days) <= WIDEST_DAYS
    if OTHER in low.of | high.of or any(each.wild or "SelectStmt" in each.key for each in (low, high)):
        return False  # the greatest there is, say
    if low.key.startswith("=") and high.key.startswith("="):
        first, last = as_number(one), as_number(other)
        return first is not None and last is not None and abs(last - first) <= WIDEST_NUMBERS
    return True


def _as_moment(value: Value) -> Value:
    return (moment_in(value) or value) if isinstance(value, str) else value


def firm_ranges(compiler: Compiler, clauses: Iterable[Message], depth: int) -> Iterator[Truth]:
    """Of conditions that must all hold: the ranges that two of them make, ``x >= 1 AND x < 5``."""
    ends: dict[str, dict[bool, tuple[Term, Truth]]] = {}
    for clause in clauses:
        if kind_of(clause) != "a_expr" or clause.a_expr.kind != _OP or not clause.a_expr.HasField("lexpr"):
            continue
        name = strings(clause.a_expr.name)[-1]
        if name not in _ABOVE | _BELOW:
            continue
        sides = (clause.a_expr.lexpr, clause.a_expr.rexpr)
        left, right = (compiler.term(side, depth + 1) for side in sides)
        if not _says_which([(sides[0], left)], [(sides[1], right)]):
            continue
        flipped = TARGET in right.of
        column, end = (right, left) if flipped else (left, right)
        above = (name in _ABOVE) != flipped
        ends.setdefault(column.key, {})[above] = (end, compiler.loosely(clause, depth))
    for both in ends.values():
        if len(both) == 2 and _is_near(compiler, both[True][0], both[False][0]):
            yield narrowing(all_of([both[True][1], both[False][1]]))


def ways(clauses: Iterable[Message]) -> dict[str, list[str]]:
    """How conditions that must all hold limit: names of :data:`WAYS` with the columns they are about."""
    found: dict[str, list[str]] = {}
    for clause in clauses:
        columns = found.setdefault(_way(clause), [])
        for path in column_paths(clause):
            if path[-1] not in columns and len(columns) < MOST_COLUMNS:
                columns.append(path[-1])
    return found


def _way(clause: Message) -> str:
    which = kind_of(clause)
    if any(type(each).__name__ == "SubLink" for each in everything_within(clause)):
        return "rows"
    if which == "null_test":
        return "null"
    if which in ("column_ref", "boolean_test"):
        return "boolean"
    if which == "bool_expr":
        inner = {_way(each) for each in clause.bool_expr.args}
        if clause.bool_expr.boolop == _NOT:
            return "boolean" if inner == {"boolean"} else "exclusion"
        return inner.pop() if len(inner) == 1 else "other"
    if which != "a_expr":
        return "other"
    node = clause.a_expr
    name = strings(node.name)[-1]
    if node.kind in (_LIKE, _ILIKE, _SIMILAR) or name in ("~", "!~", "~*", "!~*", "^@"):
        return "pattern"
    if node.kind >= _BETWEEN:
        return "exclusion" if node.kind in _NOT_BETWEEN else "range"
    if name in _ABOVE | _BELOW:
        return "range"
    if node.kind == _DISTINCT or name == "<>":
        return "exclusion"
    if all(kind_of(side) == "column_ref" for side in (node.lexpr, node.rexpr)):
        return "rows"
    return "boolean" if _is_boolean(node) else "other"


def told(found: Mapping[str, Sequence[str]]) -> str:
    """The same as words: "only by a range that is open at one end or wide (expires_at)"."""
    parts = [WAYS[way] + (f" ({', '.join(columns)})" if columns else "") for way, columns in found.items()]
    return "only by " + " and ".join(parts[:3])
