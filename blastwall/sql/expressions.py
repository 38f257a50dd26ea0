"""Rules for the nodes of expressions: columns, calls with and without parentheses, operators, casts, SQL/JSON."""

from __future__ import annotations

from collections.abc import Mapping

from blastwall.model import Effect
from blastwall.sql.amplification import judge_amount
from blastwall.sql.callables import judge_function, judge_operator, judge_type, judge_type_path
from blastwall.sql.catalogue import clip
from blastwall.sql.families import family_of
from blastwall.sql.fields import field_of_source, find_source, indirection
from blastwall.sql.resolve import look_up, read
from blastwall.sql.scope import Scope
from blastwall.sql.settings import may_set_by_function, may_show
from blastwall.sql.tree import Message, constant, kind_of, strings
from blastwall.sql.walk import Rule, Walk, ambiguous_functions, plain, spelling_is_ambiguous

_OP, _NULLIF, _DISTINCT, _NOT_DISTINCT = 1, 6, 4, 5
_BETWEEN = frozenset({11, 12, 13, 14})
_EXISTS, _ANY, _ARRAY = 1, 3, 7
MERGE = object()  # the definition of a source that marks the RETURNING list of a MERGE
_SQL_SYNTAX = 4


def column(walk: Walk, node: Message, scope: Scope) -> None:
    """A ColumnRef. With a qualifier it may be a function call: ``c.wipe`` is ``wipe(c)`` unless c has that column."""
    path = strings(node.fields)
    if len(path) == 1 or path[-1] == "*":
        if len(path) > 1 or (path[0] != "*" and scope.find(path[0]) is not None):
            walk.ledger.flags.add("whole_row")
        return
    source = find_source(walk, path[:-1], scope)
    shown = ".".join(path)
    if source is None:
        walk.unknown(f"Names {shown}, but nothing in FROM is called {'.'.join(path[:-1])}.", "unresolved")
    else:
        field_of_source(walk, source, path[-1], shown)


def call(walk: Walk, node: Message, scope: Scope) -> None:
    """A FuncCall: judged by name, then its arguments, filter, order and window."""
    path = strings(node.funcname)
    if _sets_what_it_may(walk, path, node):
        walk.ledger.literals = True
        walk.ledger.flags.add("setting")
        walk.push_within(node, scope)
        return
    if node.funcformat == _SQL_SYNTAX and path[-1] in ambiguous_functions():
        spelling_is_ambiguous(walk, path[-1].upper())
    varies = node.agg_within_group or node.func_variadic or node.agg_star
    builtin = judge_function(
        walk,
        path,
        None if varies else len(node.args),
        lambda: [] if varies else [family_of(walk, each, scope) for each in node.args],
    )
    if len(path) == 1 and len(node.args) == 1:
        _judge_projection(walk, path[0], node.args[0], scope)
    if builtin is not None:
        if builtin.category.name == "guc_read":
            _judge_setting_read(walk, node)
        elif builtin.category.name == "type_by_name":
            _judge_type_by_name(walk, node)
        judge_amount(walk, path[-1], node)
    walk.push_within(node, scope)


def _sets_what_it_may(walk: Walk, path: list[str], node: Message) -> bool:
    """``set_config('jit', ..., ...)``, which no function of the database's own stands before."""
    if path[-1] != "set_config" or path[:-1] not in ([], ["pg_catalog"]) or len(node.args) != 3:
        return False
    catalogue = walk.surroundings.catalogue
    if catalogue is not None and catalogue.visible_shadows("set_config"):
        return False
    known, value = constant(node.args[0])
    return known and isinstance(value, str) and may_set_by_function(value)


def _judge_projection(walk: Walk, name: str, argument: Message, scope: Scope) -> None:
    """``name(c)`` is ``c.name`` when c is a row with such a column."""
    if kind_of(argument) != "column_ref":
        return
    path = strings(argument.column_ref.fields)
    source = scope.find(path[0]) if len(path) == 1 or path[1:] == ["*"] else None
    if source is None:
        return
    walk.ledger.flags.add("whole_row")
    columns = source.columns
    if columns is not None and clip(name) in columns:
        walk.unknown(
            f"Writes {name}({path[0]}), which PostgreSQL may read as the column {path[0]}.{name}; name the column.",
            "projection_call",
        )


def _judge_setting_read(walk: Walk, node: Message) -> None:
    known, value = constant(node.args[0]) if node.args else (False, None)
    walk.ledger.literals = True
    if not known or not isinstance(value, str) or not may_show(value):
        what = f"the setting {value}" if known else "a setting whose name is computed"
        walk.ledger.raise_to(
            Effect.ADMINISTER, f"Reads {what}, which is not on the list of settings that may be shown."
        )


def _judge_type_by_name(walk: Walk, node: Message) -> None:
    known, value = constant(node.args[1]) if len(node.args) == 2 else (False, None)
    walk.ledger.literals = True
    if known and isinstance(value, str) and value.replace("_", "").isalnum():
        judge_type_path(walk, [value])
    else:
        walk.unknown("Converts to a type whose name is computed.", "function:type_by_name")


def operator(walk: Walk, node: Message, scope: Scope) -> None:
    """An A_Expr; the kinds that name no operator use one all the same."""
    kind = node.kind
    if kind in _BETWEEN:
        judge_operator(walk, [">="])
        judge_operator(walk, ["<="])
    elif kind in (_NULLIF, _DISTINCT, _NOT_DISTINCT):
        judge_operator(walk, ["="])
    elif kind == _OP:
        sides = [side for side in (node.lexpr, node.rexpr) if kind_of(side)]
        judge_operator(walk, strings(node.name), lambda: [family_of(walk, side, scope) for side in sides])
    else:
        judge_operator(walk, strings(node.name))
    if not (kind == _OP and _compares_a_setting(walk, node, scope)):
        walk.push_within(node, scope)


def _compares_a_setting(walk: Walk, node: Message, scope: Scope) -> bool:
    """``amname <> current_setting($1)`` on a system relation, as SQLAlchemy asks: it tells no more than whether both
    agree. If it is that, it has been judged."""
    if strings(node.name) not in (["="], ["<>"]):
        return False
    for named, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
        if kind_of(named) != "column_ref" or kind_of(other) != "func_call":
            continue
        path, function = strings(named.column_ref.fields), other.func_call
        if strings(function.funcname)[-1] != "current_setting" or len(function.args) != 1:
            continue
        argument = function.args[0]
        if kind_of(argument) == "type_cast":
            walk.push(argument.type_cast.type_name, scope)
            argument = argument.type_cast.arg
        source = find_source(walk, path[:-1], scope) if len(path) > 1 else None
        if kind_of(argument) == "param_ref" and source is not None and source.name.startswith("pg_catalog."):
            judge_function(walk, strings(function.funcname), 1)
            walk.push(named, scope)
            return True
    return False


def case(walk: Walk, node: Message, scope: Scope) -> None:
    """A CaseExpr; ``CASE x WHEN y`` compares with =."""
    if node.HasField("arg"):
        judge_operator(walk, ["="])
    walk.push_within(node, scope)


def sort(walk: Walk, node: Message, scope: Scope) -> None:
    """A SortBy, which may name its operator."""
    if node.use_op:
        judge_operator(walk, strings(node.use_op))
    walk.push(node.node, scope)


def cast(walk: Walk, node: Message, scope: Scope) -> None:
    """A TypeCast."""
    walk.push(node.type_name, scope)
    walk.push(node.arg, scope)


def type_name(walk: Walk, node: Message, scope: Scope) -> None:
    """A TypeName wherever one stands: casts, column definitions, XMLTABLE, JSON RETURNING ..."""
    judge_type(walk, node)
    walk.push_all(node.typmods, scope)


def sub_link(walk: Walk, node: Message, scope: Scope) -> None:
    """A sub-query in an expression: it sees the columns around it."""
    if node.sub_link_type not in (_EXISTS, 5, _ARRAY):
        judge_operator(walk, strings(node.oper_name) or ["="])
    walk.push(node.testexpr, scope)
    walk.push(node.subselect, Scope(scope))


def current_of(walk: Walk, node: Message, scope: Scope) -> None:
    """WHERE CURRENT OF a cursor, which must be one the session knows."""
    walk.ledger.names = walk.ledger.cursor = True
    if node.cursor_name not in walk.surroundings.cursors:
        walk.unknown(f"Names the cursor {node.cursor_name}, which this session did not open.", "unresolved")


def json_plain(walk: Walk, node: Message, scope: Scope) -> None:
    """SQL/JSON constructors and queries whose bare spelling is also that of a function call."""
    if _reads_as_call(node):
        spelling_is_ambiguous(walk, type(node).__name__)
    walk.push_within(node, scope)


def _reads_as_call(node: Message) -> bool:
    name = type(node).__name__
    if name == "JsonFuncExpr":
        extras = ("output", "on_empty", "on_error")
        return (
            not node.passing
            and not any(node.HasField(each) for each in extras)
            and node.wrapper <= 1
            and node.quotes <= 1
        )
    if name == "JsonObjectConstructor":
        return not node.exprs and not node.HasField("output")
    if name == "JsonArrayAgg":
        return not node.constructor.HasField("output") and not node.constructor.agg_order
    return not (name != "JsonScalarExpr" and node.HasField("output"))


def merge_support(walk: Walk, node: Message, scope: Scope) -> None:
    """MERGE_ACTION(), which only RETURNING of a MERGE may hold."""
    if not spelling_is_ambiguous(walk, "MERGE_ACTION()") and not _inside_merge(scope):
        walk.unknown("Calls MERGE_ACTION() outside the RETURNING list of a MERGE.", "version_skew")


def _inside_merge(scope: Scope) -> bool:
    level: Scope | None = scope
    while level is not None:
        if any(source.definition is MERGE for source in level.sources):
            return True
        level = level.parent
    return False


def relation_name(walk: Walk, node: Message, scope: Scope) -> None:
    """A RangeVar outside FROM, as in LIKE or a foreign key: it is read."""
    read(walk, look_up(walk, node))


EXPRESSION_RULES: Mapping[str, Rule] = {
    "A_Expr": operator,
    "A_Indirection": indirection,
    "CaseExpr": case,
    "ColumnRef": column,
    "CurrentOfExpr": current_of,
    "FuncCall": call,
    "JsonArrayAgg": json_plain,
    "JsonArrayConstructor": json_plain,
    "JsonArrayQueryConstructor": plain,
    "JsonFuncExpr": json_plain,
    "JsonIsPredicate": plain,
    "JsonObjectAgg": plain,
    "JsonObjectConstructor": json_plain,
    "JsonParseExpr": json_plain,
    "JsonScalarExpr": json_plain,
    "JsonSerializeExpr": json_plain,
    "MergeSupportFunc": merge_support,
    "RangeVar": relation_name,
    "SortBy": sort,
    "SubLink": sub_link,
    "TypeCast": cast,
    "TypeName": type_name,
}
