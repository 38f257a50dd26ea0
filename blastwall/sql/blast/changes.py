"""Foreseeing what changes rows: DELETE, UPDATE, MERGE and INSERT."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from blastwall.blast import MOST_COUNTED, Blast, Count, Lock, Rows
from blastwall.sql.blast.asking import (
    Answer,
    Foreseeing,
    Question,
    Situation,
    Unforeseen,
    check_statement,
    check_steady,
    oids,
    row,
)
from blastwall.sql.blast.counting import ALL_INSERTED, Counts, count, count_query
from blastwall.sql.blast.flow import ALL_CARRIED, ALL_NAMED, MIGHT, Flow, Node, flow
from blastwall.sql.blast.plans import (
    STOPPED,
    UNCOMMITTED,
    Plan,
    events,
    families,
    fired,
    holding,
    planned,
    reaches,
    unseen,
)
from blastwall.sql.blast.scans import assigned
from blastwall.sql.blast.terrain import BEFORE, DELETE, INSERT, INSTEAD, ROW, UPDATE, Trigger, around, read
from blastwall.sql.tree import Message, kind_of

TRIGGERS_RUN: Final = "Triggers run code that nobody looked into: what they change is not counted."


def foresee_change(statement: Message, situation: Situation) -> Foreseeing:
    """Of a DeleteStmt, UpdateStmt or MergeStmt."""
    check_statement(statement, situation)
    target = situation.relation(statement.relation)
    relations = holding(target, situation)
    terrain = read(row((yield Question(around(oids((target, *relations))), own=True))))
    plan = planned(statement, target, relations, terrain, situation)
    check_steady(plan.scan.select, situation)
    if plan.scan.more is not None:
        check_steady(plan.scan.more, situation)
    followed = flow(plan.start, terrain, lambda key, columns: reaches(key, columns, situation))
    plan.unknown += followed.unfollowed
    plan.unknown += unseen(followed, terrain)
    counts = yield from count(plan, followed, statement, situation)
    return _told(plan, followed, counts)


def _told(plan: Plan, followed: Flow, counts: Counts) -> Blast:
    terrain = plan.terrain
    title = f"{plan.target.schema}.{plan.target.name}"
    named = counts.found.get(ALL_NAMED)
    inserted = counts.found.get(ALL_INSERTED, 0)
    unknown = [*plan.unknown, *counts.reasons]
    own = _own_count(plan, counts, named)
    tables = [Rows(title, (named or 0) + inserted, plan.verb, own)]
    triggers: list[Trigger] = []
    touched = [plan.terrain.tables[plan.target.oid], *(terrain.tables[each.oid] for each in plan.relations)]
    if named != 0 or inserted:
        triggers += [each for root in families(plan) for event in events(plan) for each in fired(plan, root, event)]
    blocked: list[str] = []
    for node in followed.nodes:
        count = counts.found.get(node.number, 0)
        table = terrain.tables[node.child]
        if node.kind == "block":
            might = counts.found.get(MIGHT - node.number, 0)
            if count or might:
                word = "is refused" if count and node.by == "on delete" else "may be refused"
                blocked.append(f"It {word} by {node.via}: {_many(count or might)} of {table.title} refer to it.")
            continue
        if not counts.complete:
            tables.append(Rows(table.title, 0, node.by, Count.UNKNOWN, node.via))
            continue
        tables.append(Rows(table.title, count, node.by, _count_of(node, plan, followed, own), node.via))
        event = DELETE if node.kind == "delete" else UPDATE
        if count:
            touched.append(table)
            triggers += terrain.fired(node.root, event, node.columns or None)
    titles = sorted({each.title for each in triggers})
    reasons = [*unknown, *plan.loose, *(followed.loose if followed.nodes else ())]
    if titles:
        reasons.append(TRIGGERS_RUN)
    carried = [each for each in tables[1:] if each.count is Count.UNKNOWN]
    return Blast(
        known=not unknown and not carried and own not in (Count.UNKNOWN, Count.ESTIMATE),
        rows=tables[0].rows,
        rows_exact=own is Count.EXACT,
        cascaded_rows=counts.found.get(ALL_CARRIED, 0),
        tables=tuple(tables),
        triggers=tuple(titles),
        locks=tuple(
            Lock(each.title, "row exclusive", each.rows, each.size)
            for each in {table.oid: table for table in touched}.values()
        ),
        blocked=tuple(blocked),
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _own_count(plan: Plan, counts: Counts, named: int | None) -> Count:
    if named is None:
        return Count.UNKNOWN
    if counts.estimate:
        return Count.ESTIMATE
    if named > MOST_COUNTED or counts.found.get(ALL_INSERTED, 0) > MOST_COUNTED:
        return Count.AT_LEAST
    return Count.AT_MOST if plan.loose else Count.EXACT


def _count_of(node: Node, plan: Plan, followed: Flow, own: Count) -> Count:
    """Of a node whose rows were counted: as good as the start's, and its own tables', count."""
    if own is Count.AT_LEAST:
        return Count.AT_LEAST
    event = DELETE if node.kind == "delete" else UPDATE
    stopped = any(
        each.type & BEFORE and each.type & ROW for each in plan.terrain.fired(node.root, event, node.columns or None)
    )
    loose = plan.loose or followed.loose or stopped or not plan.start.certain
    return Count.AT_MOST if loose else Count.EXACT


def _many(count: int) -> str:
    return f"{count:,} row" + ("" if count == 1 else "s")


def foresee_insert(statement: Message, situation: Situation) -> Foreseeing:
    """Of an InsertStmt: the rows that VALUES lists, or that its query gives."""
    if not _listed(statement):
        check_statement(statement, situation)
    target = situation.relation(statement.relation)
    relations = holding(target, situation)
    terrain = read(row((yield Question(around(oids((target, *relations))), own=True))))
    here = terrain.tables.get(target.oid)
    if here is None or any(table.rules or table.kind == "f" for table in terrain.named):
        raise Unforeseen("Rules of the database, or another server, make something else of it.")
    if target.kind == "v" and (not here.updatable or terrain.fired(here.root, INSTEAD)):
        raise Unforeseen("It changes a view whose changes are code of the database.")
    clause = statement.on_conflict_clause if statement.HasField("on_conflict_clause") else None
    sets = frozenset(assigned(clause.target_list)) if clause is not None else frozenset()
    roots = tuple(dict.fromkeys(terrain.root(each.oid) for each in relations))
    fired = [each for root in roots for each in terrain.fired(root, INSERT)]
    if sets:
        fired += [each for root in roots for each in terrain.fired(root, UPDATE, sets)]
    rows, count, reasons = yield from _given(statement, situation)
    loose = [STOPPED] if any(each.type & BEFORE and each.type & ROW for each in fired) else []
    if clause is not None and (not sets or clause.HasField("where_clause")):
        loose.append("Rows that are there already may be left as they are.")
    unknown = [
        *reasons,
        *([UNCOMMITTED] if situation.changed and statement.HasField("select_stmt") and reasons else ()),
    ]
    if any(reaches(key, sets, situation) for root in roots for key in terrain.onto(root)) and sets:
        unknown.append("On conflict it changes columns that foreign keys refer to; where that leads is not followed.")
    if loose and count is Count.EXACT:
        count = Count.AT_MOST
    titles = sorted({each.title for each in fired})
    return Blast(
        known=not unknown and count not in (Count.UNKNOWN, Count.ESTIMATE),
        rows=rows,
        rows_exact=count is Count.EXACT,
        tables=(Rows(here.title, rows, "insert", count),),
        triggers=tuple(titles),
        locks=(Lock(here.title, "row exclusive", here.rows, here.size),),
        reasons=(*unknown, *loose, *([TRIGGERS_RUN] if titles else ())),
    )


def _listed(statement: Message) -> bool:
    """Whether its rows stand in it, one by one: then nothing needs to be asked, however many they are."""
    if statement.HasField("with_clause") or kind_of(statement.select_stmt) != "select_stmt":
        return False
    select = statement.select_stmt.select_stmt
    return bool(select.values_lists) and not select.HasField("limit_count") and not select.HasField("limit_offset")


def _given(statement: Message, situation: Situation) -> Generator[Question, Answer, tuple[int, Count, tuple[str, ...]]]:
    """How many rows an INSERT is given."""
    if not statement.HasField("select_stmt"):
        return 1, Count.EXACT, ()  # DEFAULT VALUES
    if _listed(statement):
        return len(statement.select_stmt.select_stmt.values_lists), Count.EXACT, ()
    return (yield from count_query(statement.select_stmt, statement, situation))
