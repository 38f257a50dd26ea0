"""Which FROM items a condition limits: those it speaks of, and those that equalities tie to them.

In ``FROM orders o, products p WHERE p.id = 1`` every order is still there. An outer join's condition ties its items
together but limits none of them: the rows that do not meet it are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from blastwall.sql.owners import Owners
from blastwall.sql.queries import From
from blastwall.sql.scope import Source
from blastwall.sql.tree import MESSAGES, Message, conjuncts, kind_of, messages_within, strings, unwrap
from blastwall.sql.truth import words

_EQUALS = 1  # A_Expr of an operator
_AND = 1
_SAME = frozenset({"lower", "upper", "btrim", "ltrim", "rtrim"})  # functions of a column that still tell rows apart
_DEPTH = 20


def limited(
    owners: Owners,
    sources: Sequence[Source],
    conditions: Sequence[Message],
    opened: From,
    is_limit: Callable[[Message], bool],
    is_limited: Callable[[Source], bool],
    outer: Callable[[Message], Iterable[Source]],
) -> tuple[Source, ...]:
    """Those of ``sources`` (opened by ``opened``) of which not every row can be there.

    ``conditions`` are those of WHERE and HAVING. ``is_limit`` tells whether a part of one can be false when all columns
    count alike, ``is_limited`` whether a FROM item is limited by itself. ``outer`` gives the FROM items around a
    sub-query that it names.
    """
    groups = _Groups()
    for clause in _parts((*conditions, *opened.conditions)):
        groups.join(_tied(owners, clause))
    for link in opened.links:
        for other in link[1:]:
            groups.join((link[0], other))
    here = {id(source) for source in sources}
    found = {groups.of(source) for source in sources if is_limited(source)}
    alone: dict[int, list[Message]] = {}  # what is said of one FROM item: two conditions may be the ends of a range
    for clause in _parts((*conditions, *opened.required)):
        named = _named(owners, clause, outer)
        if not named or not {id(each) for each in named} <= here or len({groups.of(each) for each in named}) > 1:
            continue
        if _is_apart(owners, clause, len(named), outer) and is_limit(clause):
            found.add(groups.of(named[0]))
        elif len(named) == 1:
            alone.setdefault(id(named[0]), []).append(clause)
    for source in sources:
        several = alone.get(id(source), [])
        if len(several) > 1 and groups.of(source) not in found and is_limit(_all(several)):
            found.add(groups.of(source))
    return tuple(source for source in sources if groups.of(source) in found)


def _all(clauses: Sequence[Message]) -> Message:
    both = MESSAGES["Node"]()
    both.bool_expr.boolop = _AND
    for clause in clauses:
        both.bool_expr.args.append(clause)
    return both


def _parts(conditions: Iterable[Message]) -> list[Message]:
    return [clause for condition in conditions for clause in conjuncts(condition)]


class _Groups:
    """FROM items that are tied together, by identity."""

    def __init__(self) -> None:
        self._groups: dict[int, int] = {}

    def of(self, source: Source) -> int:
        return self._groups.setdefault(id(source), id(source))

    def join(self, sources: Sequence[Source]) -> None:
        if len(sources) < 2:
            return
        merged = {self.of(source) for source in sources}
        least = min(merged)
        self._groups.update({key: least for key, group in self._groups.items() if group in merged})


def _named(
    owners: Owners, node: Message, outer: Callable[[Message], Iterable[Source]] | None = None
) -> tuple[Source, ...]:
    """The FROM items whose columns a tree names, each once; () when one of them cannot be told."""
    found: dict[int, Source] = {}
    for each in _outside(node):
        kind = type(each).__name__
        if kind == "ColumnRef":
            source = owners.source(strings(each.fields))
            if source is None:
                return ()
            found[id(source)] = source
        elif kind == "SubLink":
            if outer is None:
                return ()
            found.update({id(source): source for source in outer(each.subselect)})
    return tuple(found.values())


def _outside(node: Message) -> Iterator[Message]:
    """A tree without what is inside its sub-queries."""
    waiting = [node]
    while waiting:
        message = unwrap(waiting.pop())
        if message is None:
            continue
        yield message
        waiting.extend([message.testexpr] if type(message).__name__ == "SubLink" else messages_within(message))


def tied_to(owners: Owners, clause: Message, sources: Sequence[Source]) -> bool:
    """Whether a clause is an equality of one of ``sources`` with a FROM item around them."""
    both = _tied(owners, clause)
    return len(both) == 2 and sum(any(each is source for source in sources) for each in both) == 1


def names_only(
    owners: Owners, clause: Message, sources: Sequence[Source], outer: Callable[[Message], Iterable[Source]]
) -> bool:
    """Whether all that a clause names are columns of ``sources``."""
    named = _named(owners, clause, outer)
    return bool(named) and all(any(each is source for source in sources) for each in named)


def _tied(owners: Owners, clause: Message) -> tuple[Source, ...]:
    """Both FROM items of ``a.x = b.y``."""
    if kind_of(clause) != "a_expr" or clause.a_expr.kind != _EQUALS or strings(clause.a_expr.name) != ["="]:
        return ()
    sides = (clause.a_expr.lexpr, clause.a_expr.rexpr)
    if all(kind_of(side) == "row_expr" for side in sides):
        pairs = list(zip(sides[0].row_expr.args, sides[1].row_expr.args, strict=False))
    else:
        pairs = [sides]
    for one, other in pairs:
        if _is_column(one) and _is_column(other):
            found = (*_named(owners, one), *_named(owners, other))
            if len(found) == 2 and found[0] is not found[1]:
                return found
    return ()


def _is_column(node: Message, depth: int = 0) -> bool:
    """Whether an expression varies as a column does."""
    which = kind_of(node) if depth < _DEPTH else ""
    if which == "column_ref":
        return True
    if which in ("type_cast", "collate_clause"):
        return _is_column(getattr(node, which).arg, depth + 1)
    if which == "func_call" and len(node.func_call.args) >= 1:
        name = strings(node.func_call.funcname)[-1]
        return (name in _SAME or name in words().spreading) and _is_column(node.func_call.args[0], depth + 1)
    return False


def _is_apart(owners: Owners, clause: Message, count: int, outer: Callable[[Message], Iterable[Source]]) -> bool:
    """Whether each comparison in a condition is about one FROM item: ``a.x <> b.y`` may hold for all rows of both."""
    if count == 1:
        return True
    waiting = [clause]
    seen: set[str] = set()
    for node in waiting:
        if kind_of(node) == "bool_expr":
            waiting.extend(node.bool_expr.args)
            continue
        named = _named(owners, node, outer)
        if len(named) > 1:
            return False
        seen.update(each.name or each.alias for each in named)
    return len(seen) == count  # two items of one relation may be the same row
