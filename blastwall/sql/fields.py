"""Fields of rows and of composite values: ``alias.name``, ``(expression).name``. What is no field is a function call.

PostgreSQL reads ``c.wipe`` as ``wipe(c)`` and ``('x').pg_read_file`` as ``pg_read_file('x')`` when there is no such
field, so each is looked up in the FROM item or composite type it would belong to. Where that cannot be known, a name
passes only if no function could be called by it.
"""

from __future__ import annotations

from collections.abc import Sequence

from blastwall.sql.callables import callable_by_attribute, judge_attribute_call
from blastwall.sql.catalogue import Relation, clip
from blastwall.sql.queries import From, open_with
from blastwall.sql.scope import Scope, Source
from blastwall.sql.tree import Message, kind_of, strings
from blastwall.sql.walk import Walk

_SCALAR = 5
_DEPTH = 20
# What is certainly no row, so that a field of it can only be a function call.
_PLAIN_VALUES = frozenset(
    {
        "a_const",
        "a_expr",
        "bool_expr",
        "null_test",
        "boolean_test",
        "a_array_expr",
        "sqlvalue_function",
        "collate_clause",
        "xml_expr",
        "xml_serialize",
        "json_object_constructor",
        "json_array_constructor",
    }
)


def find_source(walk: Walk, path: Sequence[str], scope: Scope) -> Source | None:
    """The FROM item that a qualifier of one to three parts names."""
    if len(path) == 1:
        return scope.find(path[0])
    if len(path) == 2:
        return scope.find(path[1], clip(path[0]))
    catalogue = walk.surroundings.catalogue
    if len(path) == 3 and catalogue is not None and path[0] == catalogue.database:
        return scope.find(path[2], clip(path[1]))
    return None


def field_of_source(walk: Walk, source: Source, name: str, shown: str) -> None:
    """``shown`` names a column of a FROM item, or calls a function with its row."""
    has = source.has(name)
    if has:
        return
    if has is False or callable_by_attribute(walk, name, row=not source.scalar):
        judge_attribute_call(walk, name, shown)
    elif walk.surroundings.catalogue is None:
        walk.ledger.flags.add("no_catalogue")


def indirection(walk: Walk, node: Message, scope: Scope) -> None:
    """``(expression).field`` and ``(expression)[i]``: a field of a composite value, or a function call."""
    walk.push(node.arg, scope)
    fields, opaque = _row_of(walk, node.arg, scope)
    for step in node.indirection:
        which = kind_of(step)
        if which == "a_indices":
            walk.push(step, scope)
            fields, opaque = None, True
        elif which == "string":
            name = step.string.sval
            fields, opaque = _step(walk, fields, opaque, name)
        else:
            walk.ledger.flags.add("whole_row")


def _step(
    walk: Walk, fields: Relation | Source | None, opaque: bool, name: str
) -> tuple[Relation | Source | None, bool]:
    shown = f"(...).{name}"
    if isinstance(fields, Source):
        field_of_source(walk, fields, name, shown)
        found = fields.column(name)
        return _fields_of_type(walk, found.type_oid) if found is not None else (None, True)
    if fields is not None:
        found = fields.column(name)
        if found is None:
            judge_attribute_call(walk, name, shown)
            return None, True
        return _fields_of_type(walk, found.type_oid)
    if not opaque or callable_by_attribute(walk, name, row=False):
        judge_attribute_call(walk, name, shown)
    elif walk.surroundings.catalogue is None:
        walk.ledger.flags.add("no_catalogue")
    return None, True


def _row_of(walk: Walk, node: Message, scope: Scope, depth: int = 0) -> tuple[Relation | Source | None, bool]:
    """(what gives a value its fields, whether it may be a row at all)."""
    which = kind_of(node) if depth < _DEPTH else ""
    if which == "a_indirection":
        return _row_of_indirection(walk, node.a_indirection, scope, depth)
    if which == "column_ref":
        return _row_of_column(walk, strings(node.column_ref.fields), scope)
    if which == "type_cast":
        return _row_of_type(walk, strings(node.type_cast.type_name.names), bool(node.type_cast.type_name.array_bounds))
    if which == "sub_link":
        return _row_of_sub_link(walk, node.sub_link, scope, depth)
    return None, which not in _PLAIN_VALUES


def _row_of_sub_link(walk: Walk, node: Message, scope: Scope, depth: int) -> tuple[Relation | Source | None, bool]:
    """``(SELECT o FROM orders o LIMIT 1)``: the row its only column is, with the fields of its type, whatever an alias
    list calls them. A row of no named type has lost its fields here: the server calls functions instead.
    """
    if kind_of(node.subselect) != "select_stmt":
        return None, True
    select = node.subselect.select_stmt
    if node.sub_link_type != _SCALAR or select.op > 1 or select.values_lists:
        return None, True
    if len(select.target_list) != 1 or kind_of(select.target_list[0]) != "res_target":
        return None, True
    if select.HasField("with_clause"):
        scope = open_with(walk, select.with_clause, scope, visit=False)
    inside = Scope(scope, From(walk, scope, visit=False).open(select.from_clause))
    fields, opaque = _row_of(walk, select.target_list[0].res_target.val, inside, depth + 1)
    return (fields.relation, True) if isinstance(fields, Source) else (fields, opaque)


def _row_of_indirection(walk: Walk, node: Message, scope: Scope, depth: int) -> tuple[Relation | Source | None, bool]:
    """As :func:`_row_of`, for ``(...).field``; the field itself is judged where it stands."""
    fields, _ = _row_of(walk, node.arg, scope, depth + 1)
    for step in node.indirection:
        found = fields.column(step.string.sval) if fields is not None and kind_of(step) == "string" else None
        if found is None:
            return None, True
        fields, opaque = _fields_of_type(walk, found.type_oid)
        if fields is None:
            return None, opaque
    return fields, True


def _row_of_column(walk: Walk, path: list[str], scope: Scope) -> tuple[Relation | Source | None, bool]:
    """A column of any level comes before a FROM item of that name."""
    if len(path) > 1:
        qualified = find_source(walk, path[:-1], scope) if path[-1] != "*" else None
        found = qualified.column(path[-1]) if qualified is not None else None
        return _fields_of_type(walk, found.type_oid) if found is not None else (None, True)
    level: Scope | None = scope
    while level is not None:
        for source in level.sources:
            if source.has(path[0]) is not False:
                found = source.column(path[0])
                return _fields_of_type(walk, found.type_oid) if found is not None else (None, True)
        level = level.parent
    return scope.find(path[0]), True


def _fields_of_type(walk: Walk, oid: int) -> tuple[Relation | None, bool]:
    catalogue = walk.surroundings.catalogue
    if catalogue is None:
        return None, True
    fields = catalogue.composite(oid)
    if fields is not None:
        return fields, True
    found = catalogue.type_by_oid(oid)
    return None, found is None or found.kind == "p"


def _row_of_type(walk: Walk, path: list[str], array: bool) -> tuple[Relation | None, bool]:
    catalogue = walk.surroundings.catalogue
    if catalogue is None or len(path) > 2:
        return None, len(path) > 1 and path[0] != "pg_catalog"
    found = catalogue.type(path[0] if len(path) == 2 else None, path[-1], walk.surroundings.search_path, temp=False)
    if found is None or array:
        return None, False
    return _fields_of_type(walk, found.oid)
