"""Foreseeing what changes the shape of tables, or locks them: ALTER TABLE, CREATE INDEX, LOCK and the like."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Final

from blastwall.blast import Blast, Count, Lock, Rows
from blastwall.sql.blast.asking import Foreseeing, Question, Situation, Unforeseen, row
from blastwall.sql.blast.counting import count_query
from blastwall.sql.blast.plans import UNCOMMITTED
from blastwall.sql.blast.removals import NO_WAY_BACK, count_tables, foresee_gone, relation_start
from blastwall.sql.blast.terrain import Table, around, read
from blastwall.sql.catalogue import Relation
from blastwall.sql.tree import Message, kind_of, pb

_CASCADE: Final = pb.DropBehavior.Value("DROP_CASCADE")
_FOREIGN: Final = pb.ConstrType.Value("CONSTR_FOREIGN")
_REFERS: Final = "share row exclusive"  # what adding a foreign key takes, on both tables


@dataclass(frozen=True, slots=True)
class Shape:
    """One subcommand of ALTER TABLE: see ``shapes.toml``."""

    lock: str = "access exclusive"
    scans: bool = False
    rewrites: bool = False
    takes: bool = False


@dataclass(frozen=True, slots=True)
class Shapes:
    """``shapes.toml``. ``modes`` are weakest first."""

    light: frozenset[str]
    alter: dict[str, Shape]
    modes: tuple[str, ...]

    def strongest(self, locks: list[str]) -> str:
        """The one that all others give way to."""
        return max(locks, key=self.modes.index)


@cache
def shapes() -> Shapes:
    """The table."""
    raw = tomllib.loads(files("blastwall.sql.blast").joinpath("shapes.toml").read_text("utf-8"))
    alter = {name: Shape(**entry) for name, entry in raw["alter"].items()}
    return Shapes(frozenset(raw["light"]["names"]), alter, tuple(raw["locks"]["modes"]))


def foresee_alter(statement: Message, situation: Situation) -> Foreseeing:
    """Of an AlterTableStmt: lock, rows that are written anew or lose something, and what depends on what goes."""
    try:
        relation = situation.relation(statement.relation)
    except Unforeseen:
        if statement.missing_ok:
            return Blast(True, rows_exact=True, reasons=("What it would alter is not there.",))
        raise
    found = [_shape(each.alter_table_cmd) for each in statement.cmds]
    terrain = read(row((yield Question(around((relation.oid,)), own=True))))
    holding = [each for each in terrain.named if each.kind in ("r", "m")]
    lock = shapes().strongest([each.lock for each in found])
    counts: list[int] = [0] * len(holding)
    reasons: list[str] = []
    if any(each.rewrites or each.takes for each in found):
        counts, reasons = yield from count_tables([each.source for each in holding])
        reasons += [f"Row security hides rows of {each.title}." for each in holding if each.secured]
    gone = Blast(True)
    starts = list(_dropped(statement, relation))
    if starts:
        cascading = any(each.alter_table_cmd.behavior == _CASCADE for each in statement.cmds)
        gone = yield from foresee_gone(starts, cascading, "alter", situation)
    unknown = [*reasons, *([UNCOMMITTED] if situation.changed else ())]
    if any(each.rewrites for each in found):
        told = "Every row is written anew while nobody else can use the table."
    elif any(each.scans for each in found):
        told = "Every row is read while the lock is held."
    else:
        told = ""
    takes = any(each.takes for each in found)
    others = [Lock(each, _REFERS) for each in _referred(statement, situation)]
    count = Count.UNKNOWN if reasons else Count.EXACT
    return Blast(
        known=not unknown and gone.known,
        rows=sum(counts),
        rows_exact=not unknown,
        tables=tuple(
            Rows(each.title, number, "alter table", count)
            for each, number in zip(holding, counts, strict=True)
            if number or reasons
        ),
        locks=(*(_lock(each, lock) for each in _tops(terrain.named, relation)), *others),
        dependents=gone.dependents,
        blocked=gone.blocked,
        irreversible=takes,
        reasons=(*unknown, *([told] if told else ()), *([NO_WAY_BACK] if takes else ())),
    )


def _shape(command: Message) -> Shape:
    name = pb.AlterTableType.Name(command.subtype)
    found = shapes().alter.get(name)
    if found is None:
        raise Unforeseen(f"What this way to alter a table does is on no list ({name}).")
    definition = command.__getattribute__("def")
    if name == "AT_AddColumn":
        return replace(found, rewrites=_computes(definition))
    if name == "AT_AddConstraint" and kind_of(definition) == "constraint":
        constraint = definition.constraint
        lock = _REFERS if constraint.contype == _FOREIGN else found.lock
        return replace(found, lock=lock, scans=not constraint.skip_validation)
    return found


def _computes(definition: Message) -> bool:
    """Whether a new column has values that the server must write into every row: all but none and a plain constant."""
    for each in definition.column_def.constraints:
        constraint = each.constraint
        kind = pb.ConstrType.Name(constraint.contype)
        if kind in ("CONSTR_IDENTITY", "CONSTR_GENERATED"):
            return True
        if kind == "CONSTR_DEFAULT" and kind_of(constraint.raw_expr) != "a_const":
            return True
    return False


def _dropped(statement: Message, relation: Relation) -> Iterator[str]:
    for each in statement.cmds:
        command = each.alter_table_cmd
        if pb.AlterTableType.Name(command.subtype) in ("AT_DropColumn", "AT_AlterColumnType"):
            column = relation.column(command.name)
            if column is not None:
                yield relation_start(relation.oid, column.number)


def _referred(statement: Message, situation: Situation) -> Iterator[str]:
    """The tables that new foreign keys refer to."""
    for each in statement.cmds:
        definition = each.alter_table_cmd.__getattribute__("def")
        if kind_of(definition) == "constraint" and definition.constraint.contype == _FOREIGN:
            found = situation.relation(definition.constraint.pktable)
            yield f"{found.schema}.{found.name}"


def _tops(named: tuple[Table, ...], relation: Relation) -> list[Table]:
    return [each for each in named if each.oid == relation.oid]


def _lock(table: Table, mode: str) -> Lock:
    return Lock(table.title, mode, table.rows, table.size)


def foresee_lock(statement: Message, situation: Situation) -> Foreseeing:
    """Of whatever takes a lock and changes no row: IndexStmt, LockStmt, VacuumStmt, RenameStmt ..."""
    names, mode = _taken(statement)
    relations = [situation.relation(each) for each in names]
    if not relations:
        return Blast(True, rows_exact=True)
    terrain = read(row((yield Question(around(each.oid for each in relations), own=True))))
    wanted = {each.oid for each in relations}
    locks = tuple(_lock(each, mode) for each in terrain.named if each.oid in wanted)
    return Blast(True, rows_exact=True, locks=locks)


def _taken(statement: Message) -> tuple[list[Message], str]:
    """The relations, and the lock."""
    name = type(statement).__name__
    if name == "IndexStmt":
        return [statement.relation], "share update exclusive" if statement.concurrent else "share"
    if name == "LockStmt":
        return [each.range_var for each in statement.relations], shapes().modes[max(1, min(statement.mode, 8)) - 1]
    if name == "RefreshMatViewStmt":
        return [statement.relation], "exclusive" if statement.concurrent else "access exclusive"
    if name == "VacuumStmt":
        full = any(each.def_elem.defname == "full" for each in statement.options)
        relations = [each.vacuum_relation.relation for each in statement.rels]
        return relations, "access exclusive" if full else "share update exclusive"
    return [statement.relation] if statement.HasField("relation") else [], "access exclusive"


def foresee_stored(statement: Message, situation: Situation) -> Foreseeing:
    """Of a CreateTableAsStmt, or a SelectStmt with INTO: how many rows it stores in what it makes."""
    if type(statement).__name__ == "CreateTableAsStmt":
        if kind_of(statement.query) != "select_stmt":
            raise Unforeseen("It stores what a prepared statement gives.")
        query, name = statement.query, statement.into.rel.relname
    else:
        raise Unforeseen("It stores the rows of a query (SELECT INTO), which were not counted.")
    rows, count, reasons = yield from count_query(query, query.select_stmt, situation, nested=True)
    return Blast(
        known=not reasons,
        rows=rows,
        rows_exact=count is Count.EXACT,
        tables=(Rows(name, rows, "create table as", count),),
        reasons=reasons,
    )
