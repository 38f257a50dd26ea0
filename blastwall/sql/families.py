"""Families of types: as much type inference as it takes to see that an overload cannot be meant.

Two types of different families are never converted into one another without being asked to, so an operator on texts is
no candidate for a number. "" is a value of any type: a parameter, an untyped literal, something that was not followed.
"""

from __future__ import annotations

from blastwall.sql.catalogue import Catalogue, clip
from blastwall.sql.functions import function_table
from blastwall.sql.scope import Scope
from blastwall.sql.tree import Message, kind_of, strings
from blastwall.sql.walk import Walk

_DEPTH = 20
_FAMILIES = {
    **dict.fromkeys(("int2", "int4", "int8", "float4", "float8", "numeric", "money", "oid"), "number"),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "char"), "text"),
    **dict.fromkeys(("date", "time", "timetz", "timestamp", "timestamptz", "interval"), "time"),
    **dict.fromkeys(("int2vector", "oidvector"), "array"),
    "bool": "boolean",
    "varbit": "bit",
    "cidr": "inet",
}
_OPEN = ("any", "record", "unknown", "cstring", "internal")


def family_of_name(name: str) -> str:
    """The family of one of PostgreSQL's own types by its internal name."""
    if name.startswith("_"):
        return "array"
    if name.startswith("reg"):
        return "number"
    if name.startswith(_OPEN):
        return ""
    return _FAMILIES.get(name, name)


def family_of_type(catalogue: Catalogue, oid: int) -> str:
    """The family of a type by oid; "" for polymorphic and unknown ones. Domains are what they are made of."""
    found = catalogue.type_by_oid(oid)
    for _ in range(_DEPTH):
        if found is None or found.kind != "d":
            break
        found = catalogue.type_by_oid(found.base_oid)
    if found is None or found.kind == "p":
        return ""
    if found.element_oid and found.name.startswith("_"):
        return "array"
    return f"{found.schema}.{found.name}" if found.schema != "pg_catalog" else family_of_name(found.name)


def family_of(walk: Walk, node: Message, scope: Scope, depth: int = 0) -> str:
    """The family of an expression."""
    which = kind_of(node)
    if depth > _DEPTH:
        return ""
    if which == "a_const":
        return {"ival": "number", "fval": "number", "boolval": "boolean", "bsval": "bit"}.get(
            node.a_const.WhichOneof("val") or "", ""
        )
    if which == "column_ref":
        return _family_of_column(walk, strings(node.column_ref.fields), scope)
    if which == "type_cast":
        return _family_of_type_name(walk, node.type_cast.type_name)
    if which == "func_call":
        builtin = function_table().find(strings(node.func_call.funcname)[-1], walk.major)
        return builtin.returns if builtin is not None else ""
    if which == "a_expr" and node.a_expr.kind == 1 and strings(node.a_expr.name)[-1] in ("+", "-", "*", "/", "%"):
        sides = [
            family_of(walk, side, scope, depth + 1) for side in (node.a_expr.lexpr, node.a_expr.rexpr) if kind_of(side)
        ]
        return "number" if set(sides) == {"number"} else ""
    if which in ("a_array_expr",):
        return "array"
    if which in ("bool_expr", "null_test", "boolean_test"):
        return "boolean"
    return "time" if which == "sqlvalue_function" and node.sqlvalue_function.op <= 9 else ""


def _family_of_type_name(walk: Walk, name: Message) -> str:
    if name.array_bounds:
        return "array"
    path = [clip(each) for each in strings(name.names)]
    catalogue = walk.surroundings.catalogue
    if catalogue is None:
        return family_of_name(path[-1])
    schema = path[-2] if len(path) > 1 else None
    found = catalogue.type(schema, path[-1], walk.surroundings.search_path, temp=False)
    return family_of_type(catalogue, found.oid) if found is not None else ""


def _family_of_column(walk: Walk, path: list[str], scope: Scope) -> str:
    catalogue = walk.surroundings.catalogue
    if catalogue is None or path[-1] == "*":
        return ""
    if len(path) == 1:
        level: Scope | None = scope
        while level is not None:
            owners = [source for source in level.sources if source.has(path[0]) is not False]
            if owners:
                break
            level = level.parent
        else:
            return ""
        if len(owners) != 1:
            return ""
        source = owners[0]
    else:
        found = scope.find(path[-2])
        if found is None:
            return ""
        source = found
    column = source.column(path[-1])
    return family_of_type(catalogue, column.type_oid) if column is not None else ""


def may_be(families: list[str], catalogue: Catalogue, types: tuple[int, ...]) -> bool:
    """Whether arguments of these families could be meant for parameters of these types."""
    wanted = [family_of_type(catalogue, oid) for oid in types]
    return all(not have or not want or have == want for have, want in zip(families, wanted, strict=False))
