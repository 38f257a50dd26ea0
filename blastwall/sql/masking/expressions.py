"""What the value of an expression comes from. Whatever computes with a masked column is a use of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blastwall.sql.functions import function_table
from blastwall.sql.masking.binder import EXPRESSION, FILTER, ORDER, WINDOW, Binder, Place
from blastwall.sql.masking.levels import Level
from blastwall.sql.masking.values import CLEAN, Entry, Leaf, Refused, Value, table
from blastwall.sql.tree import NODE, Message, kind_of, strings, unwrap

_EXISTS, _SCALAR = 1, 5
_CLEAN = frozenset(
    {"a_const", "param_ref", "set_to_default", "current_of_expr", "merge_support_func", "sqlvalue_function"}
)
_COUNT = (["count"], ["pg_catalog", "count"])


def value_of(binder: Binder, node: Message, level: Level, place: Place = EXPRESSION) -> Value:
    """The value of an expression (a Node). ``place`` is where it stands, if anything is computed in it."""
    which = kind_of(node)
    if not which or which in _CLEAN:
        return CLEAN
    if which == "column_ref":
        return binder.refer(node, level)
    if which == "sub_link" and node.sub_link.sub_link_type == _SCALAR:
        return _first(binder, node.sub_link, level).away()
    leaves = _computed(binder, node, level, place)
    return Value(leaves, bare=not leaves, origin=None if which == "type_cast" else (0, 0))


def use(binder: Binder, node: Message, level: Level, place: Place) -> frozenset[Leaf]:
    """An expression whose value is used in a place: its leaves."""
    value = value_of(binder, node, level, place)
    if value.leaves:
        binder.compute(value, place)
    return value.leaves


def use_all(binder: Binder, nodes: Iterable[Message], level: Level, place: Place) -> frozenset[Leaf]:
    """As :func:`use`, for several."""
    return frozenset(leaf for node in nodes for leaf in use(binder, node, level, place))


def _computed(binder: Binder, root: Message, level: Level, place: Place) -> frozenset[Leaf]:
    """The leaves of what stands in a computing node. Without recursion, but for sub-queries and calls."""
    known = _known()
    leaves: set[Leaf] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        message = unwrap(node)
        if message is None:
            continue
        kind = type(message).__name__
        if kind == "ColumnRef":
            if type(node) is not NODE:
                raise Refused("Holds a reference that the gateway cannot follow; write the statement in a simpler way.")
            leaves |= use(binder, node, level, place)
        elif kind == "SubLink":
            leaves |= _link(binder, message, level, place)
        elif kind == "FuncCall":
            leaves |= _call(binder, message, level, place)
        elif kind == "SortBy":
            leaves |= use(binder, message.node, level, ORDER)
        elif kind in known:
            for field, value in message.ListFields():
                if field.message_type is not None:
                    waiting.extend(value if field.is_repeated else (value,))
        else:
            raise Refused(
                f"Uses a construct beside masked columns that the gateway does not follow ({kind}); leave it out."
            )
    return frozenset(leaves)


def _known() -> frozenset[str]:
    return frozenset(table()["expressions"])


def _call(binder: Binder, call: Message, level: Level, place: Place) -> frozenset[Leaf]:
    leaves: set[Leaf] = set()
    if call.HasField("agg_filter"):
        use(binder, call.agg_filter, level, FILTER)
    if call.HasField("over"):
        window(binder, call.over, level)
    leaves |= use_all(binder, call.agg_order, level, ORDER)
    if len(call.args) == 1 and not call.agg_distinct and strings(call.funcname) in _COUNT:
        value = value_of(binder, call.args[0], level, place)
        if value.leaves and not (value.bare and _countable(binder, value)):
            binder.compute(value, place)
            leaves |= value.leaves
        return frozenset(leaves)  # how many values there are is no value
    given = use_all(binder, call.args, level, place)
    if given and _gives_rows(strings(call.funcname)):
        binder.filters = True
    return frozenset(leaves) | given


def _countable(binder: Binder, value: Value) -> bool:
    """Whether to count them tells nothing: their masks are counted, or that one is absent may be known."""
    return not any(leaf.raw or (binder.as_it_stands and leaf.mask.absence) for leaf in value.leaves)


def _gives_rows(path: Sequence[str]) -> bool:
    """Whether what a function makes of a value may be none or several rows."""
    return (
        path[:-1] not in ([], ["pg_catalog"])
        or path[-1] in table()["several_rows"]["functions"]
        or (path[-1] not in function_table().builtins)
    )


def window(binder: Binder, definition: Message, level: Level) -> None:
    """A WindowDef, in OVER or in the WINDOW clause."""
    use_all(binder, definition.partition_clause, level, WINDOW)
    for each in definition.order_clause:
        use(binder, each.sort_by.node, level, WINDOW)
    use(binder, definition.start_offset, level, WINDOW)
    use(binder, definition.end_offset, level, WINDOW)


def _first(binder: Binder, link: Message, level: Level) -> Value:
    columns = select_of(binder, link, level)
    return columns[0].value if columns else CLEAN


def _link(binder: Binder, link: Message, level: Level, place: Place) -> frozenset[Leaf]:
    """A sub-query inside a computing expression."""
    leaves = set(use(binder, link.testexpr, level, place))
    columns = select_of(binder, link, level)
    if link.sub_link_type == _EXISTS:
        return frozenset(leaves)
    for column in columns:
        if column.value.leaves:
            binder.compute(column.value, place)
        leaves |= column.value.leaves
    return frozenset(leaves)


def select_of(binder: Binder, link: Message, level: Level) -> list[Entry]:
    """The columns of a SubLink's query."""
    query = unwrap(link.subselect)
    if type(query).__name__ != "SelectStmt":
        raise Refused("Holds a sub-query beside masked columns that the gateway does not follow.")
    return binder.query(binder, query, level)
