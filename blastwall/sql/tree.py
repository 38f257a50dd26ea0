"""Reading parse trees: the messages of libpg_query by class, and the few questions everybody asks of a node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

# By name: postgast's type stubs are not valid Python and stop a type checker that reads them.
pb: Any = import_module("postgast.pg_query_pb2")

Message = Any  # a protobuf message of libpg_query
MESSAGES: dict[str, type[Any]] = {name: getattr(pb, name) for name in pb.DESCRIPTOR.message_types_by_name}
NODE = MESSAGES["Node"]


def unwrap(node: Message) -> Message | None:
    """The message inside a ``Node`` (None: an empty one); any other message is returned as it is."""
    if type(node) is not NODE:
        return node
    which = node.WhichOneof("node")
    return getattr(node, which) if which is not None else None


def kind_of(node: Message) -> str:
    """The field name of what a ``Node`` holds ("column_ref"), "" when it holds nothing."""
    return node.WhichOneof("node") or ""


def strings(nodes: Iterable[Message]) -> list[str]:
    """The texts of String nodes; whatever else stands in the list becomes "*" (a star) or "?"."""
    found = []
    for node in nodes:
        which = node.WhichOneof("node")
        if which == "string":
            found.append(node.string.sval)
        else:
            found.append("*" if which == "a_star" else "?")
    return found


def constant(node: Message) -> tuple[bool, Any]:
    """(True, value) for a literal, looking through casts and signs; (False, None) otherwise.

    Integers are int, other numbers float, strings str, booleans bool, NULL None. Bit strings are their text.
    """
    sign = 1
    for _ in range(8):  # casts and signs around a literal are few: deeper ones are not literals
        which = node.WhichOneof("node")
        if which == "a_const":
            known, value = literal(node.a_const)
            if sign < 0:
                return (
                    (True, -value) if isinstance(value, (int, float)) and not isinstance(value, bool) else (False, None)
                )
            return known, value
        if which == "type_cast":
            node = node.type_cast.arg
        elif which == "a_expr" and not node.a_expr.HasField("lexpr") and strings(node.a_expr.name) in (["-"], ["+"]):
            sign = -sign if node.a_expr.name[0].string.sval == "-" else sign
            node = node.a_expr.rexpr
        else:
            break
    return False, None


def literal(const: Message) -> tuple[bool, Any]:
    """As :func:`constant`, for an A_Const."""
    if const.isnull:
        return True, None
    which = const.WhichOneof("val")
    if which == "ival":
        return True, const.ival.ival
    if which == "fval":
        return True, _number(const.fval.fval)
    if which == "boolval":
        return True, const.boolval.boolval
    if which == "sval":
        return True, const.sval.sval
    if which == "bsval":
        return True, const.bsval.bsval
    return False, None


def _number(text: str) -> int | float:
    plain = text.replace("_", "")
    try:
        return int(plain, 0) if len(plain) < 400 else float("inf")
    except ValueError:
        pass
    try:
        return float(plain)
    except ValueError:
        return float("inf")


def number(node: Message) -> int | float | None:
    """The number a literal spells, also as a string ('10'::int), or None."""
    known, value = constant(node)
    if not known or value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            return float(value.strip().replace("_", ""))
        except ValueError:
            return None
    return value  # type: ignore[no-any-return]  # narrowed to int | float above, which Any hides


def messages_within(message: Message) -> Iterator[Message]:
    """The direct sub-messages of a message in order, Nodes unwrapped, empty ones left out."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.is_repeated:
            for item in value:
                inner = unwrap(item)
                if inner is not None:
                    yield inner
        else:
            inner = unwrap(value)
            if inner is not None:
                yield inner


def everything_within(message: Message) -> Iterator[Message]:
    """The message and everything below it, depth first, without recursion."""
    stack = [message]
    while stack:
        found = unwrap(stack.pop())
        if found is None:
            continue
        yield found
        stack.extend(reversed(list(messages_within(found))))


def leftmost_arm(select: Message) -> Message:
    """The first arm of a chain of set operations, whose column names the result has."""
    while select.op > 1:
        select = select.larg
    return select


def conjuncts(condition: Message) -> Iterator[Message]:
    """The parts of a condition (a Node) that must all hold."""
    waiting = [condition]
    while waiting:
        node = waiting.pop()
        if kind_of(node) == "bool_expr" and node.bool_expr.boolop == 1:
            waiting.extend(reversed(node.bool_expr.args))
        elif kind_of(node):
            yield node


def column_paths(message: Message) -> Iterator[list[str]]:
    """The names of every column reference in a tree."""
    return (strings(node.fields) for node in everything_within(message) if type(node).__name__ == "ColumnRef")


def called(message: Message) -> Iterator[str]:
    """The last names of every function call in a tree."""
    return (strings(node.funcname)[-1] for node in everything_within(message) if type(node).__name__ == "FuncCall")
