"""Foreseeing what changes rows: DELETE, UPDATE, MERGE, INSERT and whatever stores the rows of a query."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from blastwall.blast import MOST_COUNTED, Blast, Count, Lock, Rows
from blastwall.sql import grammar
from blastwall.sql.blast import scans
from blastwall.sql.blast.asking import (
    Answer,
    Failed,
    Foreseeing,
    Question,
    Situation,
    Unforeseen,
    agents,
    check_statement,
    check_steady,
    oids,
    row,
)
from blastwall.sql.blast.flow import ALL_CARRIED, ALL_NAMED, MIGHT, PREFIX, START, Flow, Node, Start, flow
from blastwall.sql.blast.scans import Scan, Watched, alias_of, assigned
from blastwall.sql.blast.terrain import (
    BEFORE,
    DELETE,
    INSERT,
    INSTEAD,
    ROW,
    UPDATE,
    Key,
    Terrain,
    Trigger,
    around,
    read,
)
from blastwall.sql.catalogue import Relation
from blastwall.sql.tree import Message, kind_of

#: What MERGE inserts, beside the start.
MORE: Final = f"{PREFIX}more"
ALL_INSERTED: Final = -3
_CANCELLED: Final = "57014"  # query_canceled, by statement_timeout

TRIGGERS_RUN: Final = "Triggers run code that nobody looked into: what they change is not counted."
UNCOMMITTED: Final = "Its transaction has changed something already that no other connection sees: counted without it."
SECURED: Final = "Row security may leave it fewer rows than this role can see."
STOPPED: Final = "Triggers before the change may leave rows out."

_EVENTS: Final[Mapping[str, int]] = {"delete": DELETE, "update": UPDATE, "insert": INSERT}


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


def foresee_change(statement: Message, situation: Situation) -> Foreseeing:
    """Of a DeleteStmt, UpdateStmt or MergeStmt."""
    check_statement(statement, situation)
    target = situation.relation(statement.relation)
    relations = _holding(target, situation)
    terrain = read(row((yield Question(around(oids((target, *relations))), own=True))))
    plan = _planned(statement, target, relations, terrain, situation)
    check_steady(plan.scan.select, situation)
    if plan.scan.more is not None:
        check_steady(plan.scan.more, situation)
    followed = flow(plan.start, terrain)
    plan.unknown += followed.unfollowed
    plan.unknown += _unseen(followed, terrain)
    counts = yield from _count(plan, followed, statement, situation)
    return _told(plan, followed, counts)


def _holding(target: Relation, situation: Situation) -> tuple[Relation, ...]:
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


def _planned(
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
    concerned = [] if viewed else [key for key in keys if lists and _sets(key, sets, situation)]
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
    if _moves(plan) and (keys or any(key.child in {each.oid for each in named} for key in terrain.keys)):
        plan.unknown.append("It may move rows to other partitions; what foreign keys make of that is not followed.")
    for event in _events(plan):
        fired = [each for root in roots for each in terrain.fired(root, event, sets)]
        if any(each.type & BEFORE and each.type & ROW for each in fired):
            if event == UPDATE and any(key.on_update in "cnd" for key in keys):
                plan.unknown.append("Triggers before the change may change columns that foreign keys refer to.")
            elif STOPPED not in plan.loose:
                plan.loose.append(STOPPED)
    if situation.changed:
        plan.unknown.append(UNCOMMITTED)
    return plan


def _events(plan: Plan) -> Iterable[int]:
    moves = _moves(plan)
    if plan.start.deletes or moves:
        yield DELETE
    if plan.start.sets:
        yield UPDATE
    if plan.inserts or moves:
        yield INSERT


def _moves(plan: Plan) -> bool:
    """Whether it sets what a row's partition is found by: then the row may be deleted here and inserted there."""
    splits = {column for table in plan.terrain.named for column in table.splits}
    return bool(plan.start.sets) and bool(splits & {*plan.start.sets, "*"})


def _sets(key: Key, sets: frozenset[str], situation: Situation) -> bool:
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


def _unseen(followed: Flow, terrain: Terrain) -> Iterable[str]:
    """Tables that foreign keys lead to, which act for their owner, but that this role sees in part or not at all."""
    for number in dict.fromkeys(node.child for node in followed.nodes):
        table = terrain.tables[number]
        if not table.readable:
            yield f"The session's role may not read {table.title}, so what happens there is not counted."
        elif table.secured:
            yield f"Row security hides rows of {table.title} from the session's role, so not all of them are counted."
        elif table.kind not in ("r", "p"):
            yield f"{table.title} is no table of this server."


# -- counting


@dataclass(frozen=True, slots=True)
class Counts:
    """By number of the answer's rows; ``complete``: the keys were followed, too. ``estimate``: only the planner's."""

    found: Mapping[int, int]
    complete: bool = True
    estimate: bool = False
    reasons: tuple[str, ...] = ()


def _count(plan: Plan, followed: Flow, statement: Message, situation: Situation) -> Generator[Question, Answer, Counts]:
    """Everything if the time suffices, else the statement's own rows, else the planner's estimate of those."""
    reasons: list[str] = []
    simple = Start((), plan.start.deletes, placeless=plan.start.placeless)
    for attempt, seconds in ((followed, 0.45), (flow(simple, plan.terrain), 0.2)):
        if attempt is followed and any("may not read" in reason for reason in plan.unknown):
            continue
        if attempt is not followed and not followed.nodes and reasons:
            continue
        answer = yield agents(_text(plan, attempt), statement, situation, seconds)
        if not isinstance(answer, Failed):
            return Counts(_numbers(answer), attempt is followed, reasons=tuple(reasons))
        reasons.append(
            "Counting it takes too long." if answer.code == _CANCELLED else f"Counting it failed: {answer.reason}"
        )
    explain = grammar.decode(grammar.parse(b"EXPLAIN (FORMAT JSON) SELECT 1"))
    explain.stmts[0].stmt.explain_stmt.query.CopyFrom(plan.scan.select)
    answer = yield agents(explain, statement, situation, 0.1)
    if isinstance(answer, Failed):
        return Counts({}, False, reasons=(*reasons, f"Estimating it failed: {answer.reason}"))
    return Counts({ALL_NAMED: planned_rows(row(answer))}, False, True, tuple(reasons))


def _text(plan: Plan, attempt: Flow) -> Message:
    text = attempt.text
    places = {START: plan.scan.select}
    if plan.scan.more is not None:
        head, _, tail = text.partition("\nSELECT ")
        text = (
            f"{head}, {MORE} AS (SELECT FROM (SELECT) AS i LIMIT {MOST_COUNTED + 1})\nSELECT {tail}"  # noqa: S608
            f"\nUNION ALL SELECT {ALL_INSERTED}, pg_catalog.count(*) FROM {MORE}"
        )
        places[MORE] = plan.scan.more
    return scans.graft(text, places)


def _numbers(answer: Sequence[tuple[bytes | None, ...]]) -> Mapping[int, int]:
    try:
        return {int(number or b""): int(count or b"") for number, count in answer}
    except ValueError:
        raise Unforeseen("The database did not answer as PostgreSQL does.") from None


# -- telling


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
        triggers += [each for root in _roots(plan) for event in _events(plan) for each in _fired(plan, root, event)]
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


def _roots(plan: Plan) -> tuple[int, ...]:
    """The families whose triggers fire: also behind a view."""
    return plan.start.roots or tuple(plan.terrain.root(each.oid) for each in plan.relations)


def _fired(plan: Plan, root: int, event: int) -> tuple[Trigger, ...]:
    return plan.terrain.fired(root, event, plan.start.sets if event == UPDATE else None)


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


def planned_rows(text: str) -> int:
    """The planner's estimate at the top of EXPLAIN (FORMAT JSON). Raises Unforeseen when there is none."""
    import json

    try:
        return int(json.loads(text)[0]["Plan"]["Plan Rows"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise Unforeseen("The planner's answer is not what PostgreSQL gives.") from None


# -- what stores rows


def foresee_insert(statement: Message, situation: Situation) -> Foreseeing:
    """Of an InsertStmt: the rows that VALUES lists, or that its query gives."""
    check_statement(statement, situation)
    target = situation.relation(statement.relation)
    relations = _holding(target, situation)
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
    if any(_sets(key, sets, situation) for root in roots for key in terrain.onto(root)) and sets:
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


def _given(statement: Message, situation: Situation) -> Generator[Question, Answer, tuple[int, Count, tuple[str, ...]]]:
    """How many rows an INSERT is given."""
    if not statement.HasField("select_stmt"):
        return 1, Count.EXACT, ()  # DEFAULT VALUES
    query = statement.select_stmt
    select = query.select_stmt if kind_of(query) == "select_stmt" else None
    if select is not None and select.values_lists and not select.HasField("limit_count") and select.op == 1:
        return len(select.values_lists), Count.EXACT, ()
    return (yield from count_query(query, statement, situation))


def count_query(
    query: Message, statement: Message, situation: Situation, *, nested: bool = False
) -> Generator[Question, Answer, tuple[int, Count, tuple[str, ...]]]:
    """How many rows a query (a Node) gives, and what qualifies the number. ``nested``: its WITH is its own."""
    made = scans.stored(query, None if nested else statement)
    check_steady(made, situation)
    places = {START: made}
    text = (
        f"WITH {START} AS (SELECT FROM (SELECT) AS i LIMIT {MOST_COUNTED + 1}) "  # noqa: S608  # names of our own
        f"SELECT {ALL_NAMED}, pg_catalog.count(*) FROM {START}"
    )
    answer = yield agents(scans.graft(text, places), statement, situation, 0.45)
    extra = (UNCOMMITTED,) if situation.changed else ()
    if not isinstance(answer, Failed):
        rows = _numbers(answer)[ALL_NAMED]
        return rows, Count.AT_LEAST if rows > MOST_COUNTED else Count.EXACT, extra
    explain = grammar.decode(grammar.parse(b"EXPLAIN (FORMAT JSON) SELECT 1"))
    explain.stmts[0].stmt.explain_stmt.query.CopyFrom(made)
    why = "Counting it takes too long." if answer.code == _CANCELLED else f"Counting it failed: {answer.reason}"
    answer = yield agents(explain, statement, situation, 0.1)
    if isinstance(answer, Failed):
        return 0, Count.UNKNOWN, (why, *extra)
    return planned_rows(row(answer)), Count.ESTIMATE, (why, *extra)


__all__ = ["Counts", "Plan", "alias_of", "count_query", "foresee_change", "foresee_insert", "planned_rows"]
