"""The names of a query's result columns, as the server would call them (parse_target.c, FigureColname)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from blastwall.sql.catalogue import clip
from blastwall.sql.scope import Columns, Source
from blastwall.sql.tree import Message, leftmost_arm, strings

_DEPTH = 100  # expressions nested deeper have no name we would rely on

_SQL_VALUES = {
    "SVFOP_CURRENT_DATE": "current_date",
    "SVFOP_CURRENT_TIME": "current_time",
    "SVFOP_CURRENT_TIME_N": "current_time",
    "SVFOP_CURRENT_TIMESTAMP": "current_timestamp",
    "SVFOP_CURRENT_TIMESTAMP_N": "current_timestamp",
    "SVFOP_LOCALTIME": "localtime",
    "SVFOP_LOCALTIME_N": "localtime",
    "SVFOP_LOCALTIMESTAMP": "localtimestamp",
    "SVFOP_LOCALTIMESTAMP_N": "localtimestamp",
    "SVFOP_CURRENT_ROLE": "current_role",
    "SVFOP_CURRENT_USER": "current_user",
    "SVFOP_USER": "user",
    "SVFOP_SESSION_USER": "session_user",
    "SVFOP_CURRENT_CATALOG": "current_catalog",
    "SVFOP_CURRENT_SCHEMA": "current_schema",
}
_FIXED = {
    "coalesce_expr": "coalesce",
    "a_array_expr": "array",
    "row_expr": "row",
    "xml_serialize": "xmlserialize",
    "grouping_func": "grouping",
    "merge_support_func": "merge_action",
}


def target_columns(targets: Sequence[Message], sources: Callable[[], Sequence[Source]]) -> Columns:
    """Names of a target list (ResTarget nodes). ``sources`` gives the FROM items. None: not all known."""
    names: list[str] = []
    for target in targets:
        which = target.WhichOneof("node")
        if which != "res_target":
            return None
        target = target.res_target
        if target.name:
            names.append(clip(target.name))
            continue
        if target.val.WhichOneof("node") == "column_ref":
            path = strings(target.val.column_ref.fields)
            if path[-1] == "*":
                expanded = _star(path, sources())
                if expanded is None:
                    return None
                names.extend(expanded)
                continue
        elif target.val.WhichOneof("node") == "a_indirection":
            steps = target.val.a_indirection.indirection
            if steps and steps[-1].WhichOneof("node") == "a_star":
                return None
        names.append(column_name(target.val))
    return tuple(names)


def _star(path: Sequence[str], sources: Sequence[Source]) -> Columns:
    chosen = sources
    if len(path) == 2:
        chosen = [source for source in sources if source.alias == path[0]][:1]
        if not chosen:
            return None
    elif len(path) > 2:
        return None
    names: list[str] = []
    for source in chosen:
        columns = source.columns
        if columns is None:
            return None
        names.extend(columns)
    return tuple(names)


def column_name(node: Message) -> str:
    """The name of a result column without AS; "?column?" where the server gives none."""
    name, _ = _figure(node, 0)
    return clip(name) if name else "?column?"


def _figure(node: Message, depth: int) -> tuple[str, int]:
    """(name, strength): 2 a name of its own, 1 only a type's name, 0 none."""
    which = node.WhichOneof("node")
    if depth > _DEPTH or which is None:
        return "", 0
    inner = getattr(node, which)
    if which == "column_ref":
        named = [name for name in strings(inner.fields) if name not in "*?"]
        return (named[-1], 2) if named else ("", 0)
    if which == "a_indirection":
        steps = [step.string.sval for step in inner.indirection if step.WhichOneof("node") == "string"]
        return (steps[-1], 2) if steps else _figure(inner.arg, depth + 1)
    if which == "func_call":
        return strings(inner.funcname)[-1], 2
    if which == "a_expr":
        return ("nullif", 2) if inner.kind == 6 else ("", 0)
    if which == "type_cast":
        name, strength = _figure(inner.arg, depth + 1)
        names = strings(inner.type_name.names)
        return (names[-1], 1) if strength <= 1 and names else (name, strength)
    if which == "collate_clause":
        return _figure(inner.arg, depth + 1)
    if which == "case_expr":
        name, strength = _figure(inner.defresult, depth + 1)
        return (name, strength) if strength > 1 else ("case", 1)
    if which == "sub_link":
        return _figure_sub_link(inner, depth)
    if which == "min_max_expr":
        return ("greatest" if inner.op == 1 else "least"), 2
    if which == "sqlvalue_function":
        operation = inner.DESCRIPTOR.fields_by_name["op"].enum_type.values_by_number[inner.op].name
        return _SQL_VALUES.get(operation, ""), 2
    return (_FIXED[which], 2) if which in _FIXED else ("", 0)


def _figure_sub_link(link: Message, depth: int) -> tuple[str, int]:
    if link.sub_link_type == 1:
        return "exists", 2
    if link.sub_link_type == 7:
        return "array", 2
    if link.sub_link_type != 5 or link.subselect.WhichOneof("node") != "select_stmt":
        return "", 0
    select = leftmost_arm(link.subselect.select_stmt)
    if not select.target_list:
        return "", 0
    target = select.target_list[0].res_target
    return (target.name, 2) if target.name else _figure(target.val, depth + 1)
