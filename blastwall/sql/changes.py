"""Rules for statements that change rows: INSERT, UPDATE, DELETE, MERGE, wherever they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blastwall.model import Effect
from blastwall.sql.catalogue import clip
from blastwall.sql.definitions import operator_class
from blastwall.sql.expressions import MERGE
from blastwall.sql.firmness import told
from blastwall.sql.predicates import Limit, limit_of, limit_of_conflicts
from blastwall.sql.queries import From, open_with
from blastwall.sql.resolve import Found, source_of, write
from blastwall.sql.scope import Scope, Source
from blastwall.sql.tree import Message, kind_of, strings
from blastwall.sql.walk import Rule, Walk

_UPDATE, _DELETE, _INSERT, _NOTHING = 3, 5, 4, 8
_NOT_MATCHED_BY_SOURCE = 2
_ON_CONFLICT_UPDATE = 3
_ROWS_OF_VALUES = 1  # an INSERT of rows it spells out copies nothing


def _begin(walk: Walk, node: Message, scope: Scope) -> tuple[Source, Found | None, Scope]:
    """(target, what it is, the scope with the statement's WITH queries). The target is never a WITH query."""
    target, found = source_of(walk, node.relation, Scope())
    if found is not None:
        write(walk, found)
    if node.HasField("with_clause"):
        scope = open_with(walk, node.with_clause, scope, visit=True)
    return target, found, scope


def insert(walk: Walk, node: Message, scope: Scope) -> None:
    """INSERT: bounded by what it inserts."""
    target, found, scope = _begin(walk, node, scope)
    ledger = walk.ledger
    ledger.raise_to(Effect.WRITE, f"Inserts rows into {_name(found)}.")
    if kind_of(node.select_stmt) == "select_stmt":
        query = node.select_stmt.select_stmt
        if query.from_clause or query.op > _ROWS_OF_VALUES:
            ledger.flags.add("derived_copy")
    walk.push(node.select_stmt, Scope(scope))
    inside = scope.of((target,))
    walk.push_all(node.cols, inside)
    if node.HasField("on_conflict_clause"):
        clause = node.on_conflict_clause
        excluded = Source("excluded", target.columns, relation=target.relation, also=target.also)
        both = scope.of((target, excluded))
        walk.push(clause.infer, inside)
        walk.push_all(clause.target_list, both)
        walk.push(clause.where_clause, both)
        if clause.action == _ON_CONFLICT_UPDATE and kind_of(node.select_stmt) == "select_stmt":
            query = node.select_stmt.select_stmt
            limit = limit_of_conflicts(walk, target, excluded, query, clause.where_clause, scope)
            _limit(walk, found, "Updates, on conflict,", limit)
    _returning(walk, node, scope, target, ())


def inference(walk: Walk, node: Message, scope: Scope) -> None:
    """The columns and condition by which ON CONFLICT finds its index."""
    for each in node.index_elems:
        walk.push(each.index_elem.expr, scope)
        operator_class(walk, strings(each.index_elem.opclass))
    walk.push(node.where_clause, scope)


def update(walk: Walk, node: Message, scope: Scope) -> None:
    """UPDATE: destroys what was there unless a predicate limits it."""
    target, found, scope = _begin(walk, node, scope)
    opened = From(walk, scope, visit=True)
    others = opened.open(node.from_clause)
    if others:
        walk.ledger.flags.add("derived_copy")
    inside = scope.of((target, *others))
    walk.push_all(node.target_list, inside)
    walk.push(node.where_clause, inside)
    _limit(
        walk,
        found,
        "Updates",
        limit_of(walk, target, others, [node.where_clause], inside, opened, deletes=False),
    )
    _returning(walk, node, scope, target, others)


def delete(walk: Walk, node: Message, scope: Scope) -> None:
    """DELETE."""
    target, found, scope = _begin(walk, node, scope)
    opened = From(walk, scope, visit=True)
    others = opened.open(node.using_clause)
    inside = scope.of((target, *others))
    walk.push(node.where_clause, inside)
    _limit(
        walk,
        found,
        "Deletes",
        limit_of(walk, target, others, [node.where_clause], inside, opened, deletes=True),
    )
    _returning(walk, node, scope, target, others)


def merge(walk: Walk, node: Message, scope: Scope) -> None:
    """MERGE: each action is judged as the statement it stands for."""
    target, found, scope = _begin(walk, node, scope)
    opened = From(walk, scope, visit=True)
    others = opened.open([node.source_relation])
    inside = scope.of((*others, target))
    walk.ledger.flags.add("derived_copy")
    walk.ledger.raise_to(Effect.WRITE, f"Merges rows into {_name(found)}.")
    walk.push(node.join_condition, inside)
    for each in node.merge_when_clauses:
        clause = each.merge_when_clause
        walk.push(clause.condition, inside)
        walk.push_all(clause.target_list, inside)
        walk.push_all(clause.values, inside)
        deletes = clause.command_type == _DELETE
        if clause.command_type not in (_UPDATE, _DELETE, _INSERT, _NOTHING):
            walk.unlisted(clause)
        if not deletes and clause.command_type != _UPDATE:
            continue
        verb = "Deletes" if deletes else "Updates"
        if clause.match_kind == _NOT_MATCHED_BY_SOURCE:
            limit = limit_of(
                walk, target, (), [clause.condition], inside, From(walk, scope, visit=False), deletes=deletes
            )
        else:
            conditions = [clause.condition, node.join_condition]
            limit = limit_of(walk, target, others, conditions, inside, opened, deletes=deletes)
        _limit(walk, found, verb, limit)
    _returning(walk, node, scope, target, (*others, Source("", (), definition=MERGE)))


def _limit(walk: Walk, found: Found | None, verb: str, limit: Limit) -> None:
    ledger = walk.ledger
    if limit.literals:
        ledger.literals = True
    if limit.bounded:
        weakly = f", limited {told(limit.weak)}" if limit.weak else ""
        ledger.raise_to(Effect.WRITE, f"{verb} rows of {_name(found)}{weakly}.")
        if limit.weak:
            ledger.flags.update(("weak_limit", *(f"weak_limit:{way}" for way in limit.weak)))
        if limit.joined_only:
            ledger.flags.add("joined_only")
        return
    ledger.bounded = False
    ledger.raise_to(Effect.DESTROY, f"{verb} rows of {_name(found)} without a limit: {limit.why}.", "unbounded_write")


def _returning(walk: Walk, node: Message, scope: Scope, target: Source, others: Sequence[Source]) -> None:
    if not node.HasField("returning_clause"):
        return
    # OLD and NEW are the target's row before and after (PostgreSQL 18), under these or other names.
    names = {1: "old", 2: "new"}
    for option in node.returning_clause.options:
        names[option.returning_option.option] = clip(option.returning_option.value)
    rows = [Source(name, target.columns, relation=target.relation, also=target.also) for name in names.values()]
    inside = scope.of((target, *others, *(rows if walk.major >= 18 else ())))
    walk.push_all(node.returning_clause.exprs, inside)


def _name(found: Found | None) -> str:
    return found.name if found is not None else "a relation"


CHANGE_RULES: Mapping[str, Rule] = {
    "InferClause": inference,
    "InsertStmt": insert,
    "UpdateStmt": update,
    "DeleteStmt": delete,
    "MergeStmt": merge,
}
