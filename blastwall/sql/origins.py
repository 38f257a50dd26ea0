"""What a column of a sub-query or WITH query in FROM is made of: as varied as a stored column, or anything at all.

``SELECT id, 1 AS one FROM orders`` has a column that says nothing about its rows, whatever it is called.
"""

from __future__ import annotations

from blastwall.sql.catalogue import clip
from blastwall.sql.columns import column_name
from blastwall.sql.owners import variable_of
from blastwall.sql.queries import From, open_with
from blastwall.sql.scope import Scope, Source
from blastwall.sql.tree import Message, kind_of, strings
from blastwall.sql.truth import words
from blastwall.sql.values import Variable
from blastwall.sql.walk import Walk

_DEPTH = 8
_CHANGES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt"})
_AGGREGATES = frozenset({"avg", "lag", "lead", "max", "min", "sum"})
_COUNTS = frozenset({"count", "dense_rank", "ntile", "rank", "row_number"})


def variable_within(walk: Walk, source: Source, name: str, key: str, depth: int = 0) -> Variable | None:
    """The variable that stands for a FROM item's column, called ``key``; None when its value may be anything."""
    query = source.definition
    kind = type(query).__name__
    if query is None or kind in _CHANGES:
        return variable_of(source, name, f"{key}.{name}")
    if kind != "SelectStmt":
        return None
    scope = source.around if source.around is not None else Scope()
    return _variable_at(walk, query, scope, _place(source, name), key, depth)


def _variable_at(walk: Walk, query: Message, scope: Scope, place: int, key: str, depth: int) -> Variable | None:
    """As :func:`variable_within`, for the column at a place of a SELECT that is judged in ``scope``."""
    if depth > _DEPTH:
        return None
    if query.HasField("with_clause"):
        scope = open_with(walk, query.with_clause, scope, visit=False)
    if query.op > 1:
        arms = [_variable_at(walk, arm, scope, place, key, depth + 1) for arm in (query.larg, query.rarg)]
        known = [each for each in arms if each is not None]
        return Variable(f"{key}#{place}", positive=all(each.positive for each in known)) if len(known) == 2 else None
    if query.values_lists or not query.from_clause:
        return Variable(f"{key}#{place}")  # spelled out, or no relation's: selections.py limits what makes it up
    inside = From(walk, scope, visit=False).open(query.from_clause)
    for target in query.target_list:
        value = target.res_target.val
        path = strings(value.column_ref.fields) if kind_of(value) == "column_ref" else []
        if path[-1:] == ["*"]:
            shown = [each for each in inside if len(path) == 1 or each.alias == path[-2]]
            if any(each.columns is None for each in shown):
                return None
            for each in shown:
                columns = each.columns or ()
                if 0 <= place < len(columns):
                    return variable_within(walk, each, columns[place], f"{key}/{each.alias}", depth + 1)
                place -= len(columns)
        elif place == 0:
            return _expressed(walk, value, inside, f"{key}/{place}", key, depth)
        else:
            place -= 1
    return None


def _place(source: Source, name: str) -> int:
    """Where in its row a column stands; a large number when that is not known."""
    columns = source.columns
    if columns is None or columns.count(clip(name)) != 1:
        return 1_000_000
    return columns.index(clip(name))


def _expressed(
    walk: Walk, value: Message, inside: tuple[Source, ...], unnamed: str, key: str, depth: int
) -> Variable | None:
    which = kind_of(value)
    while which in ("type_cast", "collate_clause"):
        value = getattr(value, which).arg
        which = kind_of(value)
    if which == "column_ref":
        path = strings(value.column_ref.fields)
        owners = [
            each for each in inside if (each.alias == path[-2] if len(path) > 1 else each.has(path[0]) is not False)
        ]
        if len(owners) != 1:
            return None
        return variable_within(walk, owners[0], path[-1], f"{key}/{owners[0].alias}", depth + 1)
    if which == "a_expr" and strings(value.a_expr.name)[-1] in words().field_operators:
        whole = _expressed(walk, value.a_expr.lexpr, inside, unnamed, key, depth + 1) if depth < _DEPTH else None
        return None if whole is None else Variable(f"{unnamed}{whole.key}")
    if which == "func_call":
        name = strings(value.func_call.funcname)[-1]
        if name in _COUNTS:
            return Variable(f"{unnamed}{column_name(value)}", positive=True)
        if name in _AGGREGATES or name in words().spreading or name in words().unfolding:
            return Variable(f"{unnamed}{column_name(value)}")
    return None
