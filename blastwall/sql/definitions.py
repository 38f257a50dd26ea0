"""Rules for statements that make or change schema objects."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from blastwall.model import Effect
from blastwall.sql.builtins import builtins, system_relations
from blastwall.sql.catalogue import SYSTEM_SCHEMA, TEMP_SCHEMA, clip
from blastwall.sql.resolve import Found, look_up, read
from blastwall.sql.scope import Scope, Source
from blastwall.sql.tree import Message, constant, everything_within, kind_of, strings
from blastwall.sql.walk import Rule, Walk

_TEMPORARY = "t"
_CHECK, _GENERATED, _EXCLUSION, _PRIMARY, _UNIQUE, _FOREIGN = 6, 5, 9, 7, 8, 10
_SERIALS = frozenset({"smallserial", "serial", "bigserial", "serial2", "serial4", "serial8"})
_TABLE, _MATVIEW = 42, 24
# What a condition over stored rows may consist of without computing anything that could fail on a value and print it.
_HARMLESS = frozenset(
    {
        "A_Const",
        "A_Expr",
        "BoolExpr",
        "BooleanTest",
        "Boolean",
        "ColumnRef",
        "Float",
        "Integer",
        "List",
        "NullTest",
        "String",
    }
)


@cache
def statement_table() -> Mapping[str, Any]:
    """statements.toml, loaded once."""
    return tomllib.loads(files("blastwall.sql").joinpath("statements.toml").read_text("utf-8"))


def options_are_listed(walk: Walk, options: Iterable[Message], kind: str) -> None:
    """Refuse options (DefElem nodes) that are not on the list of that kind."""
    listed = statement_table()["options"][kind]
    for option in options:
        name = option.def_elem.defname.lower()
        if name not in listed or option.def_elem.defnamespace:
            walk.unknown(f"Uses the option {name}, which is not listed for this statement.", "unlisted")


def new_relation(walk: Walk, name: Message, kind: str) -> None:
    """A relation that is about to be made: where, and what it would hide."""
    ledger, surroundings = walk.ledger, walk.surroundings
    schema, relation = clip(name.schemaname), clip(name.relname)
    temporary = name.relpersistence == _TEMPORARY or schema == TEMP_SCHEMA
    catalogue = surroundings.catalogue
    place = TEMP_SCHEMA if temporary else schema or (surroundings.search_path[0] if surroundings.search_path else "?")
    ledger.touch(kind, f"{place}.{relation}", "define")
    if temporary:
        ledger.flags.add("temporary")
    if name.catalogname and (catalogue is None or name.catalogname != catalogue.database):
        walk.unknown(f"Names another database ({name.catalogname}).", "unresolved")
    if place == SYSTEM_SCHEMA or place == "information_schema" or (place.startswith("pg_") and not temporary):
        ledger.raise_to(Effect.ADMINISTER, f"Makes {relation} in the reserved schema {place}.")
        return
    hidden = _hidden(walk, relation, place, temporary)
    if hidden:
        walk.unknown(
            f"Makes {'a temporary' if temporary else 'a'} {kind} {relation}, which would hide {hidden} from later "
            "statements; choose another name.",
            "shadows",
        )


def _hidden(walk: Walk, name: str, place: str, temporary: bool) -> str:
    """What unqualified uses of ``name`` mean now and would not mean any more; "" for nothing."""
    surroundings = walk.surroundings
    path = surroundings.search_path
    if name.startswith("pg_") and system_relations().known(SYSTEM_SCHEMA, name):
        return f"{SYSTEM_SCHEMA}.{name}"
    catalogue = surroundings.catalogue
    if catalogue is None:
        return "whatever has that name (there is no catalogue to tell)" if temporary else ""
    found = catalogue.relation(None, name, path, temp=False)
    if found is None or found.schema == place:
        return ""
    if temporary:
        return f"{found.schema}.{found.name}"
    searched = [SYSTEM_SCHEMA, *path] if SYSTEM_SCHEMA not in path else list(path)
    if place in searched and found.schema in searched and searched.index(place) < searched.index(found.schema):
        return f"{found.schema}.{found.name}"
    return ""


def define_from_query(walk: Walk, into: Message, verb: str) -> None:
    """The table that CREATE TABLE AS and SELECT INTO make."""
    if walk.ledger.verb == "select":
        walk.ledger.verb = verb
    walk.ledger.raise_to(Effect.DEFINE, f"Makes the table {into.rel.relname} from a query.", "derived_copy")
    new_relation(walk, into.rel, "table")
    if into.access_method and into.access_method not in builtins().table_methods:
        walk.unknown(f"Uses the table access method {into.access_method}, which is not listed.", "user_method")
    options_are_listed(walk, into.options, "table")


def create_table(walk: Walk, node: Message, scope: Scope) -> None:
    """CREATE TABLE with its columns, constraints, parents and partitions."""
    walk.ledger.raise_to(Effect.DEFINE, f"Makes the table {node.relation.relname}.")
    new_relation(walk, node.relation, "table")
    if node.access_method and node.access_method not in builtins().table_methods:
        walk.unknown(f"Uses the table access method {node.access_method}, which is not listed.", "user_method")
    options_are_listed(walk, node.options, "table")
    inside = scope.of((Source(clip(node.relation.relname)),))
    for element in (*node.table_elts, *node.constraints, *node.nnconstraints):
        if kind_of(element) == "table_like_clause":
            read(walk, look_up(walk, element.table_like_clause.relation))
        else:
            walk.push(element, inside)
    for parent in node.inh_relations:
        found = look_up(walk, parent.range_var)
        walk.ledger.touch("table", found.name, "define")
        if found.problem or found.kind == "system":
            walk.unknown(f"Inherits from {found.name}, which the gateway cannot judge.", found.flag or "unresolved")
    if node.HasField("partbound"):
        walk.ledger.flags.add("partition")
        walk.push_all((*node.partbound.listdatums, *node.partbound.lowerdatums, *node.partbound.upperdatums), scope)
    if node.HasField("partspec"):
        for each in node.partspec.part_params:
            part = each.partition_elem
            walk.push(part.expr, inside)
            operator_class(walk, strings(part.opclass))
    if node.HasField("of_typename"):
        walk.push(node.of_typename, scope)


def column_definition(walk: Walk, node: Message, scope: Scope) -> None:
    """A ColumnDef: its type, default and constraints. Also in the column list of a function in FROM."""
    if node.HasField("type_name") and not _is_serial(walk, node.type_name):
        walk.push(node.type_name, scope)
    walk.push(node.raw_default, scope)
    walk.push_all(node.constraints, scope)
    if node.fdwoptions:
        walk.unlisted(node.fdwoptions[0].def_elem)


def _is_serial(walk: Walk, name: Message) -> bool:
    """``serial`` and its kin are no types but words for an integer with a sequence of its own (parse_utilcmd.c)."""
    path, catalogue = strings(name.names), walk.surroundings.catalogue
    if len(path) != 1 or path[0] not in _SERIALS or name.pct_type:
        return False
    return catalogue is None or catalogue.type(None, path[0], walk.surroundings.search_path) is None


def constraint(walk: Walk, node: Message, scope: Scope) -> None:
    """A Constraint of a table that is made, or of a column that is added."""
    if node.contype == _EXCLUSION:
        walk.unknown("Makes an exclusion constraint, which runs operators behind changes.", "user_method")
    if node.HasField("pktable"):
        found = look_up(walk, node.pktable)
        walk.ledger.touch("table", found.name, "read")
        if found.problem or found.kind == "system":
            walk.unknown(f"Refers to {found.name}, which the gateway cannot judge.", found.flag or "unresolved")
    walk.push(node.raw_expr, scope)
    walk.push(node.where_clause, scope)
    options = [each for each in node.options if node.contype in (_PRIMARY, _UNIQUE)]
    options_are_listed(walk, options, "index")


def table_as(walk: Walk, node: Message, scope: Scope) -> None:
    """CREATE TABLE AS and CREATE MATERIALIZED VIEW."""
    if node.objtype == _MATVIEW:
        walk.ledger.raise_to(
            Effect.ADMINISTER,
            f"Makes the materialised view {node.into.rel.relname}, a copy of its query's rows under another name that "
            "is refreshed with its owner's rights.",
            "derived_copy",
            "materialized_view",
        )
        new_relation(walk, node.into.rel, "materialized view")
    else:
        define_from_query(walk, node.into, "create table as")
    from blastwall.sql.sessions import carried

    carried(walk, node.query, scope)


def view(walk: Walk, node: Message, scope: Scope) -> None:
    """CREATE VIEW: it reads with its owner's rights, whoever asks, under names of its own."""
    walk.ledger.raise_to(
        Effect.ADMINISTER,
        f"Makes the view {node.view.relname}, which reads with its owner's rights and under names of its own.",
        "derived_copy",
        "view",
    )
    if node.replace:
        walk.ledger.flags.add("replaces")
    new_relation(walk, node.view, "view")
    walk.push(node.query, Scope(scope))


def index(walk: Walk, node: Message, scope: Scope) -> None:
    """CREATE INDEX on plain columns. An expression is computed over all rows, and its errors print values."""
    found = look_up(walk, node.relation)
    walk.ledger.raise_to(Effect.DEFINE, f"Makes an index on {found.name}.")
    walk.ledger.touch("table", found.name, "define")
    if found.problem or found.kind not in ("table", "materialized view", "temporary", "made"):
        walk.unknown(f"Makes an index on {found.name}, which the gateway cannot judge.", found.flag or "unresolved")
    if node.access_method and node.access_method not in builtins().index_methods:
        walk.unknown(f"Uses the index method {node.access_method}, which is not listed.", "user_method")
    if node.unique:
        walk.ledger.flags.add("validates_rows")
    options_are_listed(walk, node.options, "index")
    for each in (*node.index_params, *node.index_including_params):
        walk.push(each, scope)
    if kind_of(node.where_clause):
        over_rows(walk, node.where_clause, "an index condition")
        walk.push(node.where_clause, scope.of((Source(clip(node.relation.relname), found.columns),)))


def index_element(walk: Walk, node: Message, scope: Scope) -> None:
    """One column of an index."""
    if kind_of(node.expr):
        walk.ledger.raise_to(
            Effect.ADMINISTER,
            "Makes an index on an expression, which is computed over all rows and whose errors print values.",
            "expression_ddl",
        )
        walk.push(node.expr, scope)
    operator_class(walk, strings(node.opclass))


def operator_class(walk: Walk, path: list[str]) -> None:
    """The operator class of an index column or partition key."""
    if path and (path[-1] not in builtins().operator_classes or path[:-1] not in ([], [SYSTEM_SCHEMA])):
        walk.unknown(f"Uses the operator class {'.'.join(path)}, which is not listed.", "user_method")


def over_rows(walk: Walk, condition: Message, what: str) -> None:
    """An expression that the server evaluates over stored rows must not compute what could fail on a value and print
    it.
    """
    for each in everything_within(condition):
        if type(each).__name__ not in _HARMLESS and not _is_cast_of_literal(each):
            walk.ledger.raise_to(
                Effect.ADMINISTER,
                f"Computes {what} over all rows, and its errors print their values.",
                "expression_ddl",
            )
            return


def _is_cast_of_literal(node: Message) -> bool:
    return type(node).__name__ == "TypeName" or (type(node).__name__ == "TypeCast" and constant(node.arg)[0])


def alter_table(walk: Walk, node: Message, scope: Scope) -> None:
    """ALTER TABLE, each subcommand by statements.toml."""
    found = look_up(walk, node.relation)
    ledger = walk.ledger
    ledger.touch("table", found.name, "define")
    if found.problem:
        walk.unknown(f"The statement {found.problem}.", found.flag)
    if node.objtype != _TABLE or found.kind in ("system", "view", "sequence"):
        ledger.raise_to(Effect.ADMINISTER, f"Changes {found.name}, which is not an ordinary table.")
    kinds = statement_table()["alter_table"]
    for each in node.cmds:
        command = each.alter_table_cmd
        name = _enumerated(command, "subtype")
        effect = Effect(kinds.get(name, "administer"))
        shown = name.removeprefix("AT_")
        ledger.raise_to(effect, f"Changes the table {found.name} ({shown}).")
        if effect is Effect.DESTROY:
            ledger.touch("table", found.name, "destroy")
        if effect in (Effect.DEFINE, Effect.DESTROY):  # a USING expression runs for every row
            _altered(walk, command, found, scope)


def _altered(walk: Walk, command: Message, found: Found, scope: Scope) -> None:
    inner = getattr(command, "def")  # a keyword: it has no other spelling
    which = kind_of(inner)
    inside = scope.of((Source(found.name.rpartition(".")[2], found.columns),))
    if which == "constraint":
        _added_constraint(walk, inner.constraint)
    elif which == "column_def":
        for each in inner.column_def.constraints:
            if each.constraint.contype == _GENERATED:
                walk.ledger.raise_to(
                    Effect.ADMINISTER,
                    "Adds a generated column, which copies values of other columns.",
                    "expression_ddl",
                    "derived_copy",
                )
            _added_constraint(walk, each.constraint)
    walk.push(inner, inside)


def _added_constraint(walk: Walk, node: Message) -> None:
    if node.skip_validation:
        return
    if node.contype in (_PRIMARY, _UNIQUE, _FOREIGN, _CHECK):
        walk.ledger.flags.add("validates_rows")
    if kind_of(node.raw_expr) and node.contype == _CHECK:
        over_rows(walk, node.raw_expr, "a check")


def _enumerated(message: Message, name: str) -> str:
    spec = message.DESCRIPTOR.fields_by_name[name]
    return str(spec.enum_type.values_by_number[getattr(message, name)].name)


def drop(walk: Walk, node: Message, scope: Scope) -> None:
    """DROP of anything."""
    name = _enumerated(node, "remove_type")
    kind = statement_table()["drop"].get(name)
    shown = name.removeprefix("OBJECT_").lower().replace("_", " ")
    walk.ledger.verb = f"drop {kind or shown}"
    names = [_dropped(each) for each in node.objects]
    for each in names:
        walk.ledger.touch(kind or shown, each, "destroy")
    what = ", ".join(names[:3])
    if kind is not None:
        walk.ledger.raise_to(Effect.DESTROY, f"Drops the {kind} {what}.")
    else:
        walk.ledger.raise_to(Effect.ADMINISTER, f"Drops the {shown} {what}.")


def _dropped(node: Message) -> str:
    which = kind_of(node)
    if which == "list":
        return ".".join(strings(node.list.items))
    if which == "type_name":
        return ".".join(strings(node.type_name.names))
    if which == "object_with_args":
        return ".".join(strings(node.object_with_args.objname))
    return str(node.string.sval) if which == "string" else "?"


def truncate(walk: Walk, node: Message, scope: Scope) -> None:
    """TRUNCATE."""
    for each in node.relations:
        found = look_up(walk, each.range_var)
        walk.ledger.touch("table", found.name, "destroy")
        walk.ledger.raise_to(Effect.DESTROY, f"Empties the table {found.name}.")
    walk.ledger.bounded = False
    walk.ledger.flags.add("unbounded_write")


def comment(walk: Walk, node: Message, scope: Scope) -> None:
    """COMMENT ON."""
    shown = _enumerated(node, "objtype").removeprefix("OBJECT_").lower().replace("_", " ")
    which = kind_of(node.object)
    name = ".".join(strings(node.object.list.items)) if which == "list" else _dropped(node.object)
    walk.ledger.touch(shown, name, "define")
    walk.ledger.raise_to(Effect.DEFINE, f"Comments on the {shown} {name}.")


def refresh(walk: Walk, node: Message, scope: Scope) -> None:
    """REFRESH MATERIALIZED VIEW: runs a query the owner wrote."""
    found = look_up(walk, node.relation)
    walk.ledger.touch("materialized view", found.name, "write")
    walk.ledger.raise_to(Effect.WRITE, f"Refreshes the materialised view {found.name}.", "materialized_view")
    if found.problem or (found.relation is not None and found.kind != "materialized view"):
        walk.unknown(f"Refreshes {found.name}, which is not a materialised view the gateway can judge.", "unresolved")


def create_schema(walk: Walk, node: Message, scope: Scope) -> None:
    """CREATE SCHEMA without anything in it, outside the search path."""
    walk.ledger.touch("schema", node.schemaname, "define")
    walk.ledger.raise_to(Effect.DEFINE, f"Makes the schema {node.schemaname}.")
    if node.HasField("authrole"):
        walk.ledger.raise_to(Effect.ADMINISTER, "Makes a schema for another role.", "privileges")
    if node.schema_elts:
        walk.unknown("Makes a schema together with what is in it; send the statements one by one.", "unlisted")
    if clip(node.schemaname) in (walk.surroundings.database_user, *walk.surroundings.search_path):
        walk.unknown(f"Makes the schema {node.schemaname}, which would be searched before others.", "shadows")


def create_sequence(walk: Walk, node: Message, scope: Scope) -> None:
    """CREATE SEQUENCE."""
    walk.ledger.raise_to(Effect.DEFINE, f"Makes the sequence {node.sequence.relname}.")
    new_relation(walk, node.sequence, "sequence")
    options_are_listed(walk, node.options, "sequence")


def create_enum(walk: Walk, node: Message, scope: Scope) -> None:
    """CREATE TYPE ... AS ENUM."""
    path = strings(node.type_name)
    walk.ledger.touch("type", ".".join(path), "define")
    walk.ledger.raise_to(Effect.DEFINE, f"Makes the enumeration {'.'.join(path)}.")
    if path[-1] in builtins().types or (len(path) == 2 and path[0].startswith("pg_")):
        walk.unknown(f"Makes a type {path[-1]} beside PostgreSQL's own.", "shadows")


def definition_item(walk: Walk, node: Message, scope: Scope) -> None:
    """A DefElem that no rule has looked at."""
    walk.unlisted(node)


DEFINITION_RULES: Mapping[str, Rule] = {
    "ColumnDef": column_definition,
    "Constraint": constraint,
    "DefElem": definition_item,
    "IndexElem": index_element,
}

DEFINITION_STATEMENTS: Mapping[str, Rule] = {
    "AlterTableStmt": alter_table,
    "CommentStmt": comment,
    "CreateEnumStmt": create_enum,
    "CreateSchemaStmt": create_schema,
    "CreateSeqStmt": create_sequence,
    "CreateStmt": create_table,
    "CreateTableAsStmt": table_as,
    "DropStmt": drop,
    "IndexStmt": index,
    "RefreshMatViewStmt": refresh,
    "TruncateStmt": truncate,
    "ViewStmt": view,
}
