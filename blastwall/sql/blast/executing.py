"""SQL's EXECUTE: what it runs is a text that the session has prepared, with the values that stand in it.

Values are bound to the questions as EXECUTE binds them to the statement, so only those that read the same as texts are
taken: constants, each written in one way. The types are those that were declared, and where none were, the server
finds them as it did.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from blastwall.model import Parameter
from blastwall.sql import grammar
from blastwall.sql.blast.asking import Situation, Unforeseen
from blastwall.sql.tree import Message, kind_of, strings, unwrap

_PLAIN: Final = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
#: A number that reads the same in every type that takes it: 1e3 and 007.5 become other texts on the way.
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


def executed(message: Message, situation: Situation) -> tuple[Message, Situation, str]:
    """What an ExecuteStmt runs: the statement, its own situation, and its text as the session wrote it, without
    comments. Raises Unforeseen.
    """
    named = situation.named(message.name)
    if named is None:
        raise Unforeseen("It runs a prepared statement that the gateway does not know.")
    statement, types = _prepared(named.tree.statements, message.name, named.types, situation)
    written, _ = _prepared(named.written.statements, message.name, named.types, situation)
    given = [_value(param, types[n] if n < len(types) else 0) for n, param in enumerate(message.params)]
    if types and len(given) != len(types):
        raise Unforeseen("It gives another number of values than its prepared statement takes.")
    inner = Situation(named.tree, situation.surroundings, tuple(given), situation.changed)
    return statement, inner, _spelt(written)


def _prepared(
    statements: Sequence[Message], name: str, types: tuple[int, ...], situation: Situation
) -> tuple[Message, tuple[int, ...]]:
    """The statement that was prepared under the name, by SQL or by the protocol, and the types of its parameters."""
    for raw in statements:
        message = unwrap(raw.stmt)
        if type(message).__name__ == "PrepareStmt" and message is not None and message.name == name:
            query = unwrap(message.query)
            if type(query).__name__ in _PLAIN and query is not None:
                return query, tuple(_type(each.type_name, situation) for each in message.argtypes)
    only = unwrap(statements[0].stmt) if len(statements) == 1 else None
    if only is None or type(only).__name__ not in _PLAIN:
        raise Unforeseen("It runs a prepared statement that is no query and no change of rows.")
    return only, types


def _type(name: Message, situation: Situation) -> int:
    """The number of a type that PREPARE declares; its length does not count there. Raises Unforeseen."""
    names = strings(name.names)
    schema, plain = (names[-2] if len(names) > 1 else None), names[-1]
    if name.setof or len(name.array_bounds) > 1:
        raise Unforeseen("Its prepared statement declares a type in a way that is not followed.")
    catalogue, path = situation.catalogue, situation.surroundings.search_path
    element = catalogue.type(schema, plain, path)
    found = catalogue.type(element.schema, f"_{plain}", path) if element is not None and name.array_bounds else element
    if found is None or element is None or (name.array_bounds and found.element_oid != element.oid):
        raise Unforeseen("Its prepared statement declares a type that the catalogue does not know.")
    return found.oid


def _value(node: Message, type_id: int) -> Parameter:
    """A constant as the text that is bound. Raises Unforeseen for anything else."""
    if kind_of(node) == "a_const":
        constant = node.a_const
        if constant.isnull:
            return Parameter(None, False, type_id)
        kind = constant.WhichOneof("val")
        if kind == "sval":
            return Parameter(constant.sval.sval.encode("utf-8", "surrogateescape"), False, type_id)
        if kind == "boolval":
            return Parameter(b"true" if constant.boolval.boolval else b"false", False, type_id)
        if kind == "ival":
            return Parameter(str(constant.ival.ival).encode(), False, type_id)
        if kind == "fval" and _NUMBER.fullmatch(constant.fval.fval) is not None:
            return Parameter(constant.fval.fval.encode(), False, type_id)
    raise Unforeseen("It runs a prepared statement with values that are no plain constants: have the driver bind them.")


def _spelt(statement: Message) -> str:
    result = grammar.decode(grammar.parse(b"SELECT 1"))
    node = result.stmts[0].stmt
    field = next(one.name for one in node.DESCRIPTOR.fields if one.message_type is statement.DESCRIPTOR)
    getattr(node, field).CopyFrom(statement)
    return grammar.deparse(result.SerializeToString())
