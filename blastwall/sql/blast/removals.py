"""Foreseeing what empties or drops: TRUNCATE and DROP, and what hangs on it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Final

from blastwall.blast import MOST_COUNTED, Blast, Count, Lock, Rows
from blastwall.sql.blast.asking import Answer, Failed, Foreseeing, Question, Situation, Unforeseen, row
from blastwall.sql.blast.changes import TRIGGERS_RUN
from blastwall.sql.blast.plans import UNCOMMITTED
from blastwall.sql.blast.terrain import TRUNCATE, Table, Terrain, around, gone, read, read_gone
from blastwall.sql.tree import Message, pb, strings

#: More tables than this are not counted one by one.
MOST_TABLES: Final = 100
NO_WAY_BACK: Final = "Nothing in the database brings it back; only a backup does."
BODIES: Final = (
    "Functions that speak of it in their text are not among what depends on it: the server does not know them."
)

_CASCADE = pb.DropBehavior.Value("DROP_CASCADE")
_RELATIONS = {
    pb.ObjectType.Value(f"OBJECT_{name}") for name in ("TABLE", "VIEW", "MATVIEW", "SEQUENCE", "INDEX", "FOREIGN_TABLE")
}
_SCHEMA, _TYPE, _DOMAIN = (pb.ObjectType.Value(f"OBJECT_{name}") for name in ("SCHEMA", "TYPE", "DOMAIN"))


def foresee_truncate(statement: Message, situation: Situation) -> Foreseeing:
    """Of a TruncateStmt: all rows of the tables it names, and with CASCADE of all that refer to them."""
    named = [situation.relation(each.range_var) for each in statement.relations]
    terrain = read(row((yield Question(around(each.oid for each in named), own=True))))
    whole = {each.range_var.inh for each in statement.relations} == {True}
    asked = [each for each in terrain.named if whole or each.oid in {one.oid for one in named}]
    roots = list(dict.fromkeys(each.root for each in asked))
    cascading = statement.behavior == _CASCADE
    blocked: list[str] = []
    reached = list(roots)
    for root in reached:
        for key in terrain.onto(root):
            child = terrain.root(key.child)
            if child in reached:
                continue
            if cascading:
                reached.append(child)
            else:
                blocked.append(f"It is refused by {key.name}: {terrain.tables[key.child].title} refers to it.")
    first = [each for each in asked if each.oid == each.root or each.root not in {one.oid for one in asked}]
    carried = [terrain.tables[root] for root in reached if root not in roots]
    sources = [each.source for each in (*first, *carried)]
    counts, reasons = yield from count_tables(sources)
    tables = [
        Rows(table.title, count, "truncate" if number < len(first) else "truncate cascade", _kind(count, reasons))
        for number, (table, count) in enumerate(zip((*first, *carried), counts, strict=True))
    ]
    triggers = sorted({each.title for root in reached for each in terrain.fired(root, TRUNCATE)})
    unknown = [*reasons, *_hidden((*first, *carried)), *([UNCOMMITTED] if situation.changed else ())]
    return Blast(
        known=not unknown,
        rows=sum(each.rows for each in tables[: len(first)]),
        rows_exact=not unknown and all(each.count is Count.EXACT for each in tables[: len(first)]),
        cascaded_rows=sum(each.rows for each in tables[len(first) :]),
        tables=tuple(tables),
        triggers=tuple(triggers),
        locks=_exclusive((*first, *carried)),
        blocked=tuple(blocked),
        irreversible=True,
        reasons=(*unknown, NO_WAY_BACK, *([TRIGGERS_RUN] if triggers else ())),
    )


def foresee_drop(statement: Message, situation: Situation) -> Foreseeing:
    """Of a DropStmt: what goes, with the rows in it, and what depends on it."""
    starts = list(_starts(statement, situation))
    if not starts:
        return Blast(True, rows_exact=True, reasons=("What it would drop is not there.",))
    return (yield from foresee_gone(starts, statement.behavior == _CASCADE, "drop", situation))


def foresee_gone(
    starts: Sequence[str], cascading: bool, by: str, situation: Situation, tables: Sequence[int] = ()
) -> Foreseeing:
    """What goes with objects (rows of SQL, see :func:`terrain.gone`); ``tables`` lose something without going."""
    found = read_gone(row((yield Question(gone(starts), own=True))))
    going = [*found.tables, *tables]
    terrain = Terrain({}, (), ())
    if going:
        terrain = read(row((yield Question(around(going), own=True))))
    holding = [terrain.tables[oid] for oid in going if oid in terrain.tables and terrain.tables[oid].kind in ("r", "m")]
    direct = {int(start.split(",")[1].split(":")[0]) for start in starts if start.startswith(_CLASS)}
    reasons: list[str] = []
    counts: list[int] = [0] * len(holding)
    if len(holding) > MOST_TABLES:
        reasons.append(f"It concerns {len(holding)} tables: their rows were not counted.")
    elif holding:
        counts, reasons = yield from count_tables([each.source for each in holding])
    mine = [terrain.tables[oid].root for oid in direct if oid in terrain.tables]
    rows = [
        Rows(table.title, count, by if table.root in mine else f"{by} cascade", _kind(count, reasons))
        for table, count in zip(holding, counts, strict=True)
    ]
    own = [each for each in rows if each.by == by]
    unknown = [*reasons, *_hidden(holding), *([UNCOMMITTED] if situation.changed else ())]
    blocked = [] if cascading or not found.dependents else ["It is refused: other objects depend on it."]
    return Blast(
        known=not unknown,
        rows=sum(each.rows for each in own),
        rows_exact=not unknown and all(each.count is Count.EXACT for each in own),
        cascaded_rows=sum(each.rows for each in rows) - sum(each.rows for each in own),
        tables=tuple(rows),
        locks=_exclusive(holding),
        dependents=found.dependents,
        blocked=tuple(blocked),
        irreversible=True,
        reasons=(*unknown, NO_WAY_BACK, BODIES),
    )


_CLASS: Final = "('pg_class'::regclass::oid, "


def relation_start(oid: int, column: int = 0) -> str:
    """A relation, or one column of it, as :func:`foresee_gone` wants it."""
    return f"{_CLASS}{int(oid)}::oid, {int(column)})"


def _starts(statement: Message, situation: Situation) -> Iterable[str]:
    """What the statement names itself; what is not there is left out (the server says so, or IF EXISTS allows it)."""
    kind = statement.remove_type
    catalogue, path = situation.catalogue, situation.surroundings.search_path
    for each in statement.objects:
        if kind in _RELATIONS:
            names = strings(each.list.items)
            schema = names[-2] if len(names) > 1 else None
            found = catalogue.relation(schema, names[-1], path)
            if found is None:
                continue
            if found.persistence == "t" or (schema is None and names[-1] in situation.surroundings.temp):
                raise Unforeseen("It drops a temporary object, which only its own session sees.")
            yield relation_start(found.oid)
        elif kind == _SCHEMA:
            found_schema = f"(SELECT oid FROM pg_namespace WHERE nspname = {_literal(each.string.sval)})"  # noqa: S608
            yield f"('pg_namespace'::regclass::oid, {found_schema}, 0)"
        elif kind in (_TYPE, _DOMAIN):
            names = strings(each.type_name.names)
            type_ = catalogue.type(names[-2] if len(names) > 1 else None, names[-1], path)
            if type_ is not None:
                yield f"('pg_type'::regclass::oid, {type_.oid}::oid, 0)"
        else:
            raise Unforeseen(
                "It drops what is neither a relation nor a schema nor a type; what hangs on it was not seen."
            )


def _literal(text: str) -> str:
    if "\0" in text:
        raise Unforeseen("A name holds NUL.")
    return "'" + text.replace("'", "''") + "'"


def count_tables(sources: Sequence[str]) -> Generator[Question, Answer, tuple[list[int], list[str]]]:
    """All rows of each table, in order."""
    if not sources:
        return [], []
    text = " UNION ALL ".join(
        f"SELECT {number}, pg_catalog.count(*) FROM (SELECT FROM {source} LIMIT {MOST_COUNTED + 1}) AS e"  # noqa: S608
        for number, source in enumerate(sources)
    )
    answer = yield Question(text, own=True, share=0.45)
    if isinstance(answer, Failed):
        return [0] * len(sources), [f"Counting the rows failed: {answer.reason}"]
    found = {int(number or b""): int(count or b"") for number, count in answer}
    return [found.get(number, 0) for number in range(len(sources))], []


def _kind(count: int, reasons: Sequence[str]) -> Count:
    if reasons:
        return Count.UNKNOWN
    return Count.AT_LEAST if count > MOST_COUNTED else Count.EXACT


def _hidden(tables: Iterable[Table]) -> Iterable[str]:
    return (f"Row security hides rows of {each.title} from the session's role." for each in tables if each.secured)


def _exclusive(tables: Iterable[Table]) -> tuple[Lock, ...]:
    return tuple(Lock(each.title, "access exclusive", each.rows, each.size) for each in tables)
