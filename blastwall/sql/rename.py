"""Prepared-statement and cursor names in SQL: which a statement touches, and the same statement with other names.

PREPARE, EXECUTE, DEALLOCATE, DECLARE, FETCH, MOVE, CLOSE and WHERE CURRENT OF share their names with the wire protocol,
so the gateway gives each its own upstream name. The text is not spliced: names are changed in the tree, and the tree
is deparsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from blastwall.sql import grammar, worker
from blastwall.sql.grammar import Message, Unparsed
from blastwall.sql.limits import LIMITS
from blastwall.sql.parser import Tree
from blastwall.sql.tree import MESSAGES

_PREPARE, _EXECUTE, _DEALLOCATE = "PrepareStmt", "ExecuteStmt", "DeallocateStmt"
_DECLARE, _FETCH, _CLOSE, _CURRENT_OF = "DeclareCursorStmt", "FetchStmt", "ClosePortalStmt", "CurrentOfExpr"
_DISCARD = "DiscardStmt"

_ALL, _PLANS = 1, 2  # DiscardMode

#: Where each message keeps its name (FETCH and MOVE are both FetchStmt).
_STATEMENT_NAMES = {_PREPARE: "name", _EXECUTE: "name", _DEALLOCATE: "name"}
_CURSOR_NAMES = {_DECLARE: "portalname", _FETCH: "portalname", _CLOSE: "portalname", _CURRENT_OF: "cursor_name"}

#: Kinds of statement that can hold a name anywhere but in WHERE CURRENT OF.
_NAMING = frozenset(
    {
        "prepare_stmt",
        "execute_stmt",
        "deallocate_stmt",
        "declare_cursor_stmt",
        "fetch_stmt",
        "close_portal_stmt",
        "discard_stmt",
        "explain_stmt",
        "create_table_as_stmt",
    }
)

#: Fields that say where in the text a node stood. All are int32; CREATE TABLESPACE has a text called location.
_PLACES = frozenset(
    {
        "location",
        "name_location",
        "stmt_location",
        "stmt_len",
        "list_start",
        "list_end",
        "rexpr_list_start",
        "rexpr_list_end",
    }
)


@dataclass(frozen=True, slots=True)
class Names:
    """The session names one statement touches. ``*_all_*`` tells the forms that close every name at once."""

    defines_statement: str | None = None  # PREPARE name
    uses_statements: tuple[str, ...] = ()  # EXECUTE name, also inside EXPLAIN and CREATE TABLE AS
    closes_statement: str | None = None  # DEALLOCATE name
    closes_all_statements: bool = False  # DEALLOCATE ALL, DISCARD ALL
    defines_cursor: str | None = None  # DECLARE name CURSOR
    uses_cursors: tuple[str, ...] = ()  # FETCH, MOVE, WHERE CURRENT OF
    closes_cursor: str | None = None  # CLOSE name
    closes_all_cursors: bool = False  # CLOSE ALL, DISCARD ALL
    discards_plans: bool = False  # DISCARD PLANS: names stay


def names(tree: Tree) -> tuple[Names, ...]:
    """What each statement of ``tree`` does with names, in order. Cheap for statements that touch none."""
    may_stand_on_cursor = "current" in tree.text.lower()
    nothing = Names()
    return tuple(
        _names(statement) if may_stand_on_cursor or statement.stmt.WhichOneof("node") in _NAMING else nothing
        for statement in tree.statements
    )


def rename(tree: Tree, statements: Mapping[str, str], cursors: Mapping[str, str]) -> str:
    """``tree`` as text, with the client's names (keys) replaced by the gateway's; ``tree`` stays as it is.

    Forms without a name (DEALLOCATE ALL, CLOSE ALL, DISCARD) pass: they close what the upstream connection holds, and
    it serves one client. The text is accepted only if it parses back to the same tree apart from positions. Raises
    Unparsed for that, and for a name without a mapping (SQLSTATE 26000 or 34000, with the server's words). Blocks;
    large texts go to the worker.
    """
    raw = tree.text.encode("utf-8")
    if len(raw) > LIMITS.deparse_inline_bytes:
        return worker.shared().rename(raw, dict(statements), dict(cursors))
    return rename_inline(raw, statements, cursors)


def rename_inline(raw: bytes, statements: Mapping[str, str], cursors: Mapping[str, str]) -> str:
    """As :func:`rename`, of a UTF-8 text and in this process whatever its size: for the worker. Raises Unparsed."""
    result = grammar.decode(grammar.parse(raw))
    for message in _messages(result):
        kind = message.DESCRIPTOR.name
        if kind in _STATEMENT_NAMES:
            _replace(message, _STATEMENT_NAMES[kind], statements, "prepared statement", "26000")
        elif kind in _CURSOR_NAMES:
            _replace(message, _CURSOR_NAMES[kind], cursors, "cursor", "34000")
    text = grammar.deparse(result.SerializeToString())
    if not same(result, grammar.decode(grammar.parse(text.encode("utf-8")))):
        raise Unparsed("The statement cannot be written with other names without changing it.", code="0A000")
    return text


def same(one: Message, other: Message) -> bool:
    """Whether two messages are equal apart from positions in the text. Iterative: any depth will do."""
    places = _place_fields()
    waiting = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        if left.DESCRIPTOR is not right.DESCRIPTOR:
            return False
        ours = [each for each in left.ListFields() if each[0] not in places]
        theirs = [each for each in right.ListFields() if each[0] not in places]
        if len(ours) != len(theirs):
            return False
        for (field, value), (counterpart_field, counterpart) in zip(ours, theirs, strict=True):
            if field is not counterpart_field:
                return False
            if field.message_type is None:
                if value != counterpart:
                    return False
            elif not field.is_repeated:
                waiting.append((value, counterpart))
            elif len(value) != len(counterpart):
                return False
            else:
                waiting.extend(zip(value, counterpart, strict=True))
    return True


@cache
def _place_fields() -> frozenset[Any]:
    """The descriptors of the fields that say where in the text a node stood."""
    return frozenset(
        field
        for kind in MESSAGES.values()
        for field in kind.DESCRIPTOR.fields
        if field.name in _PLACES and field.type == field.TYPE_INT32
    )


def _names(statement: Message) -> Names:
    found: dict[str, list[str]] = {}
    discarded: set[int] = set()
    for message in _messages(statement):
        kind = message.DESCRIPTOR.name
        field = _STATEMENT_NAMES.get(kind) or _CURSOR_NAMES.get(kind)
        if field is not None:
            found.setdefault(kind, []).append(getattr(message, field))
        elif kind == _DISCARD:
            discarded.add(message.target)
    deallocated, closed = _first(found, _DEALLOCATE), _first(found, _CLOSE)
    return Names(
        defines_statement=_first(found, _PREPARE),
        uses_statements=tuple(found.get(_EXECUTE, ())),
        closes_statement=deallocated or None,
        closes_all_statements=deallocated == "" or _ALL in discarded,
        defines_cursor=_first(found, _DECLARE),
        uses_cursors=(*found.get(_FETCH, ()), *found.get(_CURRENT_OF, ())),
        closes_cursor=closed or None,
        closes_all_cursors=closed == "" or _ALL in discarded,
        discards_plans=_PLANS in discarded,
    )


def _first(found: Mapping[str, list[str]], kind: str) -> str | None:
    return found[kind][0] if kind in found else None


def _replace(message: Message, field: str, mapping: Mapping[str, str], what: str, code: str) -> None:
    name = getattr(message, field)
    if not name:  # DEALLOCATE ALL, CLOSE ALL
        return
    if name not in mapping:
        reason = f"The {what} does not exist in this session."
        raise Unparsed(reason, message=f'{what} "{name}" does not exist', code=code)
    setattr(message, field, mapping[name])


def _messages(root: Message) -> Iterator[Message]:
    """``root`` and every message below it. What is yielded may be changed in place before the next is asked for."""
    waiting = [root]
    while waiting:
        message = waiting.pop()
        yield message
        for _, value in message.ListFields():
            if _is_list(value):
                waiting.extend(each for each in value if hasattr(each, "DESCRIPTOR"))
            elif hasattr(value, "DESCRIPTOR"):
                waiting.append(value)


def _is_list(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)
