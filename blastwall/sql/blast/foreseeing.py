"""What a text would do if it ran now: each of its statements foreseen, and the findings put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from blastwall.blast import MOST_COUNTED, NOTHING, Blast, unknown
from blastwall.sql.blast.asking import Foreseeing, Situation, Unforeseen
from blastwall.sql.blast.changes import foresee_change, foresee_insert
from blastwall.sql.blast.executing import executed
from blastwall.sql.blast.removals import foresee_drop, foresee_truncate
from blastwall.sql.blast.shapes import foresee_alter, foresee_lock, foresee_stored, shapes
from blastwall.sql.grammar import Unparsed
from blastwall.sql.tree import Message, everything_within, unwrap

SEVERAL: Final = "Several of its statements change something: each was looked at as if it came first."

_FORESEEN: Final[Mapping[str, Callable[[Message, Situation], Foreseeing]]] = {
    "DeleteStmt": foresee_change,
    "UpdateStmt": foresee_change,
    "MergeStmt": foresee_change,
    "InsertStmt": foresee_insert,
    "TruncateStmt": foresee_truncate,
    "DropStmt": foresee_drop,
    "AlterTableStmt": foresee_alter,
    "IndexStmt": foresee_lock,
    "LockStmt": foresee_lock,
    "RefreshMatViewStmt": foresee_lock,
    "VacuumStmt": foresee_lock,
    "RenameStmt": foresee_lock,
    "AlterObjectSchemaStmt": foresee_lock,
    "CreateTableAsStmt": foresee_stored,
}
_CHANGES: Final = frozenset({"DeleteStmt", "UpdateStmt", "InsertStmt", "MergeStmt"})


def foresee(situation: Situation) -> Foreseeing:
    """What the text of ``situation`` would do. Never raises :class:`Unforeseen`: what was not found out is unknown."""
    found: list[Blast] = []
    for raw in situation.tree.statements:
        try:
            one = yield from _foresee_one(unwrap(raw.stmt), situation)
        except Unforeseen as why:
            one = unknown(str(why))
        except Unparsed as fault:
            one = unknown(f"The question about it cannot be written: {fault.reason}")
        if one is not NOTHING:
            found.append(one)
    if not found:
        return NOTHING
    return (found[0] if len(found) == 1 else _together(found)).bounded()


def needs_asking(situation: Situation) -> bool:
    """Whether any of its statements does more than those that are light."""
    return any(_kind(unwrap(raw.stmt)) not in ("", *shapes().light) for raw in situation.tree.statements)


def _kind(message: Message | None) -> str:
    """The statement that runs: what EXPLAIN ANALYZE explains; "" for a plain EXPLAIN, which runs nothing."""
    if message is None:
        return ""
    name = type(message).__name__
    if name == "ExplainStmt":
        analyzed = any(each.def_elem.defname == "analyze" for each in message.options)
        return _kind(unwrap(message.query)) if analyzed else ""
    if name == "SelectStmt" and _stores_or_changes(message):
        return "SelectStmt that changes"
    return name


def _stores_or_changes(select: Message) -> bool:
    return any(
        type(each).__name__ in _CHANGES or type(each).__name__ == "IntoClause" for each in everything_within(select)
    )


def _foresee_one(message: Message | None, situation: Situation) -> Foreseeing:
    kind = _kind(message)
    if message is None or kind in ("", *shapes().light):
        return NOTHING
    if type(message).__name__ == "ExplainStmt":
        return (yield from _foresee_one(unwrap(message.query), situation))
    if kind == "SelectStmt that changes":
        raise Unforeseen("It changes or stores rows in a query, which was not counted.")
    if kind == "CopyStmt":
        if not message.is_from:
            return NOTHING
        raise Unforeseen("How many rows a COPY brings is known only when they have come.")
    if kind == "ExecuteStmt":
        return (yield from _foresee_executed(message, situation))
    handler = _FORESEEN.get(kind)
    if handler is None:
        raise Unforeseen(f"What it does to rows and objects is on no list ({kind}).")
    return (yield from handler(message, situation))


def _foresee_executed(message: Message, situation: Situation) -> Foreseeing:
    """What the prepared statement would do; its text is not in the one that people see, so it is said here."""
    statement, inner, text = executed(message, situation)
    try:
        found = yield from _foresee_one(statement, inner)
    except Unforeseen as why:
        found = unknown(str(why))
    return replace(found, reasons=(*found.reasons, f"It runs what was prepared: {text}"))


def _together(found: list[Blast]) -> Blast:
    """Several statements: sums, and nothing is certain, for each may change what the next one meets."""
    return Blast(
        known=False,
        rows=min(sum(each.rows for each in found), MOST_COUNTED + 1),
        cascaded_rows=min(sum(each.cascaded_rows for each in found), MOST_COUNTED + 1),
        tables=tuple(rows for each in found for rows in each.tables),
        triggers=tuple(sorted({name for each in found for name in each.triggers})),
        locks=tuple(dict.fromkeys(lock for each in found for lock in each.locks)),
        dependents=tuple(sorted({name for each in found for name in each.dependents})),
        blocked=tuple(dict.fromkeys(reason for each in found for reason in each.blocked)),
        irreversible=any(each.irreversible for each in found),
        reasons=tuple(dict.fromkeys((SEVERAL, *(reason for each in found for reason in each.reasons)))),
    )
