"""Whether a predicate limits the rows that an UPDATE, DELETE or MERGE changes.

It does when some row of the target can be made up for which it is not true. Rows are ordinary ones: columns are not
NULL unless the catalogue and an explicit IS NULL say so, keys are positive, created_at is in the past. So ``id = id``,
``id > 0 OR id <= 0``, ``length(name) >= 0``, ``id IN (SELECT id FROM the_same_table)`` and the like are no limits,
while ``id = $1`` is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from blastwall.sql.firmness import ways
from blastwall.sql.owners import LIMITED, LINK, Owners
from blastwall.sql.promises import keep_promises
from blastwall.sql.queries import From
from blastwall.sql.scope import SYSTEM_COLUMNS, Scope, Source
from blastwall.sql.selections import Selections
from blastwall.sql.tree import Message, conjuncts, constant, everything_within, kind_of, strings
from blastwall.sql.truth import NULL, TARGET, UNLINKED, least
from blastwall.sql.walk import Walk

MOST_NODES = 6000  # of a condition: a larger one limits only by an equality at its top


@dataclass(frozen=True, slots=True)
class Limit:
    """``why`` completes "without a limit: ..." when not ``bounded``. ``joined_only``: only by a join with other rows.

    ``weak`` are the ways (firmness.WAYS) with columns in which it is limited, where none of them is firm: nearly all
    rows may be meant. ``literals`` tells that the values of literals were looked at.
    """

    bounded: bool
    why: str = ""
    joined_only: bool = False
    literals: bool = True
    weak: Mapping[str, Sequence[str]] = field(default_factory=dict)


def limit_of(
    walk: Walk,
    target: Source,
    joined: Sequence[Source],
    conditions: Sequence[Message],
    scope: Scope,
    opened: From,
    *,
    deletes: bool,
) -> Limit:
    """How ``conditions`` (all must hold; empty nodes do not count) limit the rows of ``target``.

    ``joined`` are the statement's other FROM items, which ``opened`` opened; ``scope`` sees all of them. A DELETE is
    not limited by a mere join: every row may have its match.
    """
    clauses = [clause for condition in (*conditions, *opened.required) for clause in conjuncts(condition)]
    if not clauses:
        return Limit(False, "it has no WHERE", literals=False)
    selections = Selections(walk)
    owners = Owners(target, joined, scope, selections.link_of, selections.origin)
    equalities = [clause for clause in clauses if _is_equality(clause, owners)]
    if any(_is_firm_equality(clause, owners) for clause in equalities):
        return Limit(True, literals=False)
    if equalities:
        return replace(_weakly(walk, target, joined, conditions, scope, opened, clauses), bounded=True)
    if sum(1 for clause in clauses for _ in everything_within(clause)) > MOST_NODES:
        return Limit(False, "its condition is too long to follow; add a plain condition on a key")
    found = _limit(walk, selections, owners, joined, conditions, opened, clauses, deletes=deletes)
    if not found.bounded:
        return found
    weakly = _weakly(walk, target, joined, conditions, scope, opened, clauses)
    return replace(found, weak=weakly.weak)


def _weakly(
    walk: Walk,
    target: Source,
    joined: Sequence[Source],
    conditions: Sequence[Message],
    scope: Scope,
    opened: From,
    clauses: Sequence[Message],
) -> Limit:
    """A limit with its weak ways, none where it is firm."""
    selections = Selections(walk, firmly=True)
    owners = Owners(target, joined, scope, selections.link_of, selections.origin)
    compiler = selections.compiler(owners)
    firm = least(compiler.together(clauses), compiler.pool) <= NULL
    if not firm and joined:
        owners.limit(selections.limited(owners, joined, conditions, opened))
        compiler = selections.compiler(owners)
        firm = least(compiler.together(clauses), compiler.pool) <= NULL
    return Limit(True, weak={} if firm else ways(clauses))


def _limit(
    walk: Walk,
    selections: Selections,
    owners: Owners,
    joined: Sequence[Source],
    conditions: Sequence[Message],
    opened: From,
    clauses: Sequence[Message],
    *,
    deletes: bool,
) -> Limit:
    compiler = selections.compiler(owners)
    truths = [compiler.truth(clause) for clause in clauses]
    keep_promises(owners.target, clauses, compiler.pool, walk.surroundings.catalogue)
    seen = least(truths, compiler.pool)
    if seen <= NULL:
        return Limit(True)
    if joined and (deletes or seen != UNLINKED):
        owners.limit(selections.limited(owners, joined, conditions, opened))
        compiler = selections.compiler(owners)
        truths = [compiler.truth(clause) for clause in clauses]
        keep_promises(owners.target, clauses, compiler.pool, walk.surroundings.catalogue)
        if least(truths, compiler.pool) <= NULL:
            return Limit(True, joined_only=not deletes)
    if seen == UNLINKED:
        if not deletes:
            return Limit(True, joined_only=True)
        return Limit(False, "its condition only joins it to other rows, and every row may match one")
    return Limit(False, "its condition can be true for every row")


def limit_of_conflicts(
    walk: Walk, target: Source, excluded: Source, query: Message, condition: Message, scope: Scope
) -> Limit:
    """How ON CONFLICT DO UPDATE limits the rows of ``target`` that it changes: by the rows ``query`` makes, or by its
    own ``condition``. ``excluded`` are those rows as the condition sees them; ``scope`` is the query's.
    """
    if query.values_lists:
        return Limit(True, literals=False)
    strength, firm = (_strength(walk, target, query, scope, firmly=firmly) for firmly in (False, True))
    weak = {} if firm == LIMITED else {"rows": ()}
    if strength == LIMITED:
        return Limit(True, weak=weak)
    if kind_of(condition):
        both = scope.of((target, excluded))
        limit = limit_of(walk, target, (excluded,), [condition], both, From(walk, scope, visit=False), deletes=False)
        if limit.bounded:
            return limit if weak else replace(limit, weak={})
    if strength == LINK:
        return Limit(True, joined_only=True, weak=weak)
    return Limit(False, "it inserts whatever rows there are, and each may meet its like")


def _strength(walk: Walk, target: Source, query: Message, scope: Scope, *, firmly: bool) -> int:
    selections = Selections(walk, firmly=firmly)
    return selections.strength(Owners(target, (), scope, selections.link_of, selections.origin), query, scope)


def _is_equality(clause: Message, owners: Owners) -> bool:
    """``column = literal`` or ``column = $1`` on the target, or WHERE CURRENT OF: always a limit."""
    which = kind_of(clause)
    if which == "current_of_expr":
        return True
    if which != "a_expr" or clause.a_expr.kind != 1 or strings(clause.a_expr.name) != ["="]:
        return False
    sides = (clause.a_expr.lexpr, clause.a_expr.rexpr)
    for column, value in (sides, sides[::-1]):
        if kind_of(column) == "column_ref" and kind_of(value) in ("a_const", "param_ref"):
            path = strings(column.column_ref.fields)
            owner = owners.find(path)
            return owner is not None and owner.of == TARGET and path[-1] not in SYSTEM_COLUMNS
    return False


def _is_firm_equality(clause: Message, owners: Owners) -> bool:
    """Whether an equality is with one of many values: a boolean has two."""
    if kind_of(clause) == "current_of_expr":
        return True
    for side in (clause.a_expr.lexpr, clause.a_expr.rexpr):
        owner = owners.find(strings(side.column_ref.fields)) if kind_of(side) == "column_ref" else None
        if (owner is not None and owner.variable.kind == "boolean") or isinstance(constant(side)[1], bool):
            return False
    return True
