"""A change before it is counted: whose rows it names, which columns it sets, and what makes numbers uncertain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from blastwall.sql.blast import scans
from blastwall.sql.blast.asking import Situation, Unforeseen
from blastwall.sql.blast.flow import Flow, Start
from blastwall.sql.blast.scans import Scan, Watched, assigned
from blastwall.sql.blast.terrain import BEFORE, DELETE, INSERT, INSTEAD, ROW, UPDATE, Key, Terrain, Trigger
from blastwall.sql.catalogue import Relation
from blastwall.sql.tree import Message

UNCOMMITTED: Final = "Its transaction has changed something already that no other connection sees: counted without it."
SECURED: Final = "Row security may leave it fewer rows than this role can see."
STOPPED: Final = "Triggers before the change may leave rows out."


@dataclass(slots=True)
class Plan:
    """A change, before it is counted. ``target`` is what the statement names, ``relations`` are what holds its rows."""

    verb: str
    target: Relation
    relations: tuple[Relation, ...]
    terrain: Terrain
    start: Start
    scan: Scan
    unknown: list[str] = field(default_factory=list)  # what makes the numbers unknown, though they are shown
    loose: list[str] = field(default_factory=list)  # what makes those of the start upper bounds
    inserts: bool = False


def holding(target: Relation, situation: Situation) -> tuple[Relation, ...]:
    """The tables whose rows a target's are: itself, or those behind a view."""
    if target.kind in ("r", "p"):
        return (target,)
    if target.kind != "v":
        raise Unforeseen("It changes what is no table, such as a foreign one.")
    found = {oid: situation.catalogue.relation_by_oid(oid) for oid, _ in target.reads}
    behind = tuple(relation for relation in found.values() if relation is not None)
    if len(behind) != 1 or behind[0].kind not in ("r", "p"):
        raise Unforeseen("It changes a view over more than one table.")
    return behind


def planned(
    statement: Message, target: Relation, relations: tuple[Relation, ...], terrain: Terrain, situation: Situation
) -> Plan:
    verb = type(statement).__name__.removesuffix("Stmt").lower()
    whole = statement.relation.inh
    named = [table for table in terrain.named if table.kind in ("r", "p") and (whole or table.oid == target.oid)]
    roots = tuple(dict.fromkeys(table.root for table in named))
    here = terrain.tables.get(target.oid)
    if here is None:
        raise Unforeseen("It names a table that is not there.")
    if any(table.rules for table in terrain.named):
        raise Unforeseen("Rules of the database make something else of it.")
    if any(table.kind == "f" for table in terrain.named):
        raise Unforeseen("It changes rows of another server.")
    viewed = target.kind == "v"
    if viewed and (not here.updatable or terrain.fired(here.root, INSTEAD)):
        raise Unforeseen("It changes a view whose changes are code of the database.")
    clauses = [each.merge_when_clause for each in statement.merge_when_clauses] if verb == "merge" else []
    lists = [each.target_list for each in clauses if each.command_type == scans.CMD_UPDATE]
    if verb == "update":
        lists = [statement.target_list]
    sets = frozenset(name for each in lists for name in assigned(each))
    deletes = verb == "delete" or any(each.command_type == scans.CMD_DELETE for each in clauses)
    keys = [key for root in roots for key in terrain.onto(root)]
    concerned = [] if viewed else [key for key in keys if lists and reaches(key, sets, situation)]
    computed = any(not sets.intersection(key.referenced) for key in concerned)
    watched = tuple(_watched(key, f"k{index}", situation) for index, key in enumerate(concerned))
    changing = {key.oid: each.name for key, each in zip(concerned, watched, strict=True)}
    if viewed and verb == "merge":
        raise Unforeseen("It merges into a view.")
    if viewed:
        scan = scans.viewed(statement)
    elif verb == "delete":
        scan = scans.deletion(statement)
    elif verb == "update":
        scan = scans.update(statement, watched, computed)
    else:
        scan = scans.merging(statement, watched)
    start = Start(() if viewed else roots, deletes, sets, changing, scan.certain, placeless=viewed)
    inserts = any(each.command_type == scans.CMD_INSERT for each in clauses)
    plan = Plan(verb, target, relations, terrain, start, scan, inserts=inserts)
    if viewed and keys:
        plan.unknown.append("It changes a view over a table that others refer to; where that leads is not followed.")
    if viewed and not scan.certain:
        plan.loose.append("A row that the join finds several times is counted each time.")
    if any(table.secured for table in terrain.named):
        plan.loose.append(SECURED)
    if moves_rows(plan) and (keys or any(key.child in {each.oid for each in named} for key in terrain.keys)):
        plan.unknown.append("It may move rows to other partitions; what foreign keys make of that is not followed.")
    for event in events(plan):
        fired = [each for root in roots for each in terrain.fired(root, event, sets)]
        if any(each.type & BEFORE and each.type & ROW for each in fired):
            if event == UPDATE and any(key.on_update in "cnd" for key in keys):
                plan.unknown.append("Triggers before the change may change columns that foreign keys refer to.")
            elif STOPPED not in plan.loose:
                plan.loose.append(STOPPED)
    if situation.changed:
        plan.unknown.append(UNCOMMITTED)
    return plan


def events(plan: Plan) -> Iterable[int]:
    moves = moves_rows(plan)
    if plan.start.deletes or moves:
        yield DELETE
    if plan.start.sets:
        yield UPDATE
    if plan.inserts or moves:
        yield INSERT


def moves_rows(plan: Plan) -> bool:
    """Whether it sets what a row's partition is found by: then the row may be deleted here and inserted there."""
    splits = {column for table in plan.terrain.named for column in table.splits}
    return bool(plan.start.sets) and bool(splits & {*plan.start.sets, "*"})


def reaches(key: Key, sets: frozenset[str], situation: Situation) -> bool:
    """Whether setting those columns can change what a key refers to, also by a column that is computed from them."""
    if sets.intersection(key.referenced):
        return True
    relation = situation.catalogue.relation_by_oid(key.parent)
    if relation is None:
        return True
    names = {column.number: column.name for column in relation.columns}
    for name in key.referenced:
        column = relation.column(name)
        if column is None or any(not number or names.get(number) in sets for number in column.computed_from):
            return True
    return False


def _watched(key: Key, name: str, situation: Situation) -> Watched:
    relation = situation.catalogue.relation_by_oid(key.parent)
    found = [relation.column(column) if relation is not None else None for column in key.referenced]
    types = [column.type_text for column in found if column is not None]
    if len(types) != len(key.referenced):
        raise Unforeseen("A foreign key refers to a column that the catalogue does not know.")
    return Watched(name, key.referenced, tuple(types))


def unseen(followed: Flow, terrain: Terrain) -> Iterable[str]:
    """Tables that foreign keys lead to, which act for their owner, but that this role sees in part or not at all."""
    for number in dict.fromkeys(node.child for node in followed.nodes):
        table = terrain.tables[number]
        if not table.readable:
            yield f"The session's role may not read {table.title}, so what happens there is not counted."
        elif table.secured:
            yield f"Row security hides rows of {table.title} from the session's role, so not all of them are counted."
        elif table.kind not in ("r", "p"):
            yield f"{table.title} is no table of this server."


def families(plan: Plan) -> tuple[int, ...]:
    """The families whose triggers fire: also behind a view."""
    return plan.start.roots or tuple(plan.terrain.root(each.oid) for each in plan.relations)


def fired(plan: Plan, root: int, event: int) -> tuple[Trigger, ...]:
    return plan.terrain.fired(root, event, plan.start.sets if event == UPDATE else None)
