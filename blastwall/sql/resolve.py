"""Relation names to relations, and what touching one means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from blastwall.model import Effect
from blastwall.sql.additions import additions
from blastwall.sql.builtins import SYSTEM_PREFIX, system_relations
from blastwall.sql.catalogue import SYSTEM_SCHEMA, TEMP_SCHEMA, Catalogue, Relation, clip
from blastwall.sql.functions import function_table
from blastwall.sql.limits import LIMITS
from blastwall.sql.parser import Unparsed, parse
from blastwall.sql.scope import SYSTEM_COLUMNS, Columns, Scope, Source, renamed
from blastwall.sql.tree import Message, strings, unwrap
from blastwall.sql.walk import Walk

INFORMATION_SCHEMA = "information_schema"
_TABLES = frozenset("rp")
_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "S": "sequence", "f": "foreign table"}
_VIEWS = frozenset("vm")
_VIEW_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Found:
    """A relation a statement names. ``problem`` is why it cannot be judged ("": it can), with its flag.

    ``sensitive`` says why reading it needs an administrator ("": it does not).
    """

    kind: str  # table, view, materialized view, foreign table, sequence, system, temporary, made
    name: str  # qualified where that is known
    schema: str
    relation: Relation | None = None
    problem: str = ""
    flag: str = ""
    sensitive: str = ""

    @property
    def columns(self) -> Columns:
        """Column names in order, None when there is no catalogue to tell."""
        return tuple(column.name for column in self.relation.columns) if self.relation is not None else None


def look_up(walk: Walk, name: Message) -> Found:
    """What a RangeVar means, WITH queries apart; without a catalogue an ordinary name is taken to be a table."""
    key = (name.catalogname, name.schemaname, name.relname)
    found = walk.found.get(key)
    if found is None:
        found = walk.found[key] = _look_up(walk, *key)
    return cast("Found", found)


def _look_up(walk: Walk, database: str, schema: str, name: str) -> Found:
    schema, name = clip(schema), clip(name)
    catalogue = walk.surroundings.catalogue
    shown = f"{schema}.{name}" if schema else name
    if database and (catalogue is None or database != catalogue.database):
        return Found("table", shown, schema, problem=f"names another database ({database})", flag="unresolved")
    if name in walk.temp and schema in ("", TEMP_SCHEMA):
        own = catalogue.relation(TEMP_SCHEMA, name, ()) if catalogue is not None else None
        problem, flag, why = _view_body(walk, own) if own is not None and own.kind in _VIEWS else ("", "", "")
        return Found("temporary", f"{TEMP_SCHEMA}.{name}", TEMP_SCHEMA, own, problem, flag, why)
    if schema.startswith((TEMP_SCHEMA, "pg_toast")):
        return Found(
            "table", shown, schema, problem=f"names {shown}, which this session did not make", flag="unresolved"
        )
    relation = (
        catalogue.relation(schema or None, name, walk.surroundings.search_path, temp=False) if catalogue else None
    )
    place = relation.schema if relation is not None else schema or _system_schema(walk, name)
    if place in (SYSTEM_SCHEMA, INFORMATION_SCHEMA):
        return _system(place, name, relation)
    if relation is not None:
        return _user(walk, relation)
    if name in walk.made:
        return Found("made", shown, schema)
    if catalogue is not None:
        return Found(
            "table",
            shown,
            schema,
            problem=f"names {shown}, which is not in the catalogue of database {catalogue.database}",
            flag="unresolved",
        )
    why = system_relations().extension.get(name, "")
    walk.ledger.flags.add("no_catalogue")
    return Found("table", shown, schema, sensitive=why)


def _system_schema(walk: Walk, name: str) -> str:
    """The system schema an unqualified name is found in when the catalogue does not tell."""
    if name.startswith(SYSTEM_PREFIX) and system_relations().known(SYSTEM_SCHEMA, name):
        return SYSTEM_SCHEMA
    if INFORMATION_SCHEMA in walk.surroundings.search_path and system_relations().known(INFORMATION_SCHEMA, name):
        return INFORMATION_SCHEMA
    return ""


def _system(schema: str, name: str, relation: Relation | None) -> Found:
    table = system_relations()
    shown = f"{schema}.{name}"
    if name in table.sensitive:
        return Found("system", shown, schema, relation, sensitive=table.sensitive[name])
    if not table.known(schema, name):
        return Found(
            "system", shown, schema, relation, f"names {shown}, which is on no list of system relations", "unlisted"
        )
    return Found("system", shown, schema, relation)


def _user(walk: Walk, relation: Relation) -> Found:
    shown = f"{relation.schema}.{relation.name}"
    why = system_relations().extension.get(relation.name, "")
    kind = _KINDS.get(relation.kind)
    if kind is None:
        problem = f"names {shown}, which is neither a table nor a view"
        return Found("table", shown, relation.schema, relation, problem, "unresolved")
    problem, flag = "", ""
    if kind == "foreign table":
        problem, flag = f"touches the foreign table {shown}, which lives on another server or is a program", "foreign"
    elif relation.kind in _VIEWS:
        problem, flag, within = _view_body(walk, relation)
        why = why or within
    elif relation.kind in _TABLES and walk.surroundings.catalogue is not None:
        foreign = _foreign_part(walk.surroundings.catalogue, relation)
        if foreign is not None:
            problem, flag = f"touches {shown}, whose part {foreign.name} is a foreign table", "foreign"
    return Found(kind, shown, relation.schema, relation, problem, flag, why)


def _foreign_part(catalogue: Catalogue, relation: Relation) -> Relation | None:
    """The relation, or a part of it, that lives on another server."""
    return next((each for each in (relation, *catalogue.children(relation.oid)) if each.kind == "f"), None)


def _view_body(walk: Walk, view: Relation) -> tuple[str, str, str]:
    """(problem, flag, why sensitive) of what a view's query calls and reads, through views on views.

    What a materialised view holds was read and called when it was filled.
    """
    catalogue = walk.surroundings.catalogue
    sensitive = ""
    waiting, seen = [view], {view.oid}
    while waiting:
        body = waiting.pop()
        shown = f"{view.schema}.{view.name}"
        for schema, name in body.calls if body.kind == "v" else ():
            problem, flag = _call_in_view(walk, schema, name)
            if problem:
                return f"reads the view {shown}, which {problem}", flag, sensitive
        for oid, _ in body.reads:
            relation = catalogue.relation_by_oid(oid) if catalogue is not None else None
            if relation is None or oid in seen:
                continue
            seen.add(oid)
            foreign = _foreign_part(catalogue, relation) if body.kind == "v" and catalogue is not None else None
            if foreign is not None:
                return f"reads the view {shown}, which reads the foreign table {foreign.name}", "foreign", sensitive
            if relation.schema in (SYSTEM_SCHEMA, INFORMATION_SCHEMA):
                why = system_relations().sensitive.get(relation.name)
                sensitive = sensitive or (f"reads {relation.name}, which {why}" if why else "")
            elif relation.kind in _VIEWS:
                if len(seen) > _VIEW_DEPTH * 20:
                    return f"reads the view {shown}, which is made of too many views", "unresolved", sensitive
                waiting.append(relation)
            if relation.schema not in (SYSTEM_SCHEMA, INFORMATION_SCHEMA) and relation.kind in _KINDS:
                # A rule about a table means it also where a view stands in between.
                _touch(walk, Found(_KINDS[relation.kind], f"{relation.schema}.{relation.name}", "", relation), "read")
    return "", "", sensitive


def _call_in_view(walk: Walk, schema: str, name: str) -> tuple[str, str]:
    if schema == SYSTEM_SCHEMA:
        builtin = function_table().find(name, walk.major)
        if builtin is None:
            return f"calls {schema}.{name}, which is on no list", "unknown_function"
        if builtin.category.effect is not Effect.READ:
            return f"calls {name}, which {builtin.category.says}", builtin.category.flag
        return "", ""
    if schema == INFORMATION_SCHEMA or walk.surroundings.allows(schema, name):
        return "", ""
    return f"calls the function {schema}.{name}, which the target's owner did not list", "user_function"


def read(walk: Walk, found: Found) -> None:
    """Record that the statement reads the relation."""
    ledger = walk.ledger
    _touch(walk, found, "read")
    _mark(walk, found)
    if found.problem:
        walk.unknown(f"The statement {found.problem}.", found.flag)
    if found.sensitive:
        ledger.raise_to(Effect.ADMINISTER, f"Reads {found.name}, which {found.sensitive}.", "sensitive_catalogue")


def _touch(walk: Walk, found: Found, access: str) -> None:
    """Note the relation, and those whose rows its rows are as well: a rule about a table means its parts too."""
    walk.ledger.touch("table" if found.kind in ("temporary", "made") else found.kind, found.name, access)
    catalogue = walk.surroundings.catalogue
    if found.relation is not None and catalogue is not None:
        for parent in catalogue.parents(found.relation.oid):
            walk.ledger.touch(_KINDS.get(parent.kind, "table"), f"{parent.schema}.{parent.name}", access)


def write(walk: Walk, found: Found) -> None:
    """Record that the statement changes rows of the relation."""
    ledger = walk.ledger
    _touch(walk, found, "write")
    _mark(walk, found)
    if found.kind == "system":
        ledger.raise_to(Effect.ADMINISTER, f"Writes to {found.name}, which is the database's own catalogue.")
    if found.problem:
        walk.unknown(f"The statement {found.problem}.", found.flag)
    if found.kind in ("sequence", "materialized view"):
        walk.unknown(f"Writes to the {found.kind} {found.name}, which takes no rows.", "unlisted")
    catalogue = walk.surroundings.catalogue
    if found.relation is None or catalogue is None:
        return
    changed = (found.relation, *beneath(catalogue, found.relation))
    for each in changed[1:]:
        ledger.touch(_KINDS[each.kind], f"{each.schema}.{each.name}", "write")
    family = [(each, *catalogue.children(each.oid)) for each in changed]
    for each, *parts in family:
        if any(part.has_rules for part in (each, *parts)):
            walk.unknown(f"Writes to {each.schema}.{each.name}, whose rules turn the statement into others.", "rules")
    if any(part.has_triggers for parts in family for part in parts):
        ledger.flags.add("triggers")


def beneath(catalogue: Catalogue, relation: Relation) -> tuple[Relation, ...]:
    """The relations whose rows change where those of a view are changed: what the view is on, through views on views.

    Where its query does not tell which that is, all that it reads.
    """
    found: dict[int, Relation] = {}
    waiting = [relation]
    while waiting:
        view = waiting.pop()
        if view.kind != "v":
            continue
        for oid in {oid for oid, _ in view.reads}:
            each = catalogue.relation_by_oid(oid)
            only = _only_table(view.definition)
            if each is None or each.oid in found or each.kind not in _KINDS or (only and only != each.name):
                continue
            if each.schema not in (SYSTEM_SCHEMA, INFORMATION_SCHEMA):
                found[each.oid] = each
                waiting.append(each)
    return tuple(found.values())


@lru_cache(maxsize=256)
def _only_table(definition: str) -> str:
    """The name of the only relation in the FROM of a view's query; "" when there are others, or it cannot be told."""
    if not definition or len(definition) > LIMITS.parse_inline_bytes:
        return ""
    try:
        statement = unwrap(parse(definition).statements[0].stmt)
    except (Unparsed, IndexError):
        return ""
    if (
        statement is None
        or type(statement).__name__ != "SelectStmt"
        or statement.op > 1
        or len(statement.from_clause) != 1
    ):
        return ""
    item = unwrap(statement.from_clause[0])
    return clip(item.relname) if item is not None and type(item).__name__ == "RangeVar" else ""


def _mark(walk: Walk, found: Found) -> None:
    flags = walk.ledger.flags
    if found.kind == "system":
        flags.add("system_catalogue")
    elif found.kind in ("view", "sequence", "temporary"):
        flags.add(found.kind)
    elif found.kind == "materialized view":
        flags.add("materialized_view")
    if found.relation is not None and found.kind != "system":
        _note_types(walk, found.relation)


def _note_types(walk: Walk, relation: Relation) -> None:
    """Remember the types a statement can get hold of through a relation that are not PostgreSQL's own."""
    catalogue = walk.surroundings.catalogue
    if catalogue is not None:
        walk.type_oids |= additions(catalogue).types_within(catalogue, relation)


def source_of(walk: Walk, name: Message, scope: Scope) -> tuple[Source, Found | None]:
    """The FROM item of a RangeVar, and the relation unless a WITH query is meant."""
    alias = name.alias.aliasname if name.HasField("alias") else ""
    if not name.schemaname and not name.catalogname:
        query = scope.query(name.relname)
        if query is not None:
            return query.source(alias or name.relname), None
    found = look_up(walk, name)
    aliases = [clip(each) for each in strings(name.alias.colnames)] if alias else []
    columns = renamed(found.columns, aliases)
    also = frozenset(aliases) if found.kind == "view" else SYSTEM_COLUMNS.union(aliases)
    if found.kind == "system":
        also |= system_relations().function_like_columns if columns is None else frozenset()
    source = Source(
        clip(alias or name.relname),
        columns,
        schema="" if alias else found.schema,
        name=found.name,
        relation=found.relation,
        also=also,
    )
    return source, found
