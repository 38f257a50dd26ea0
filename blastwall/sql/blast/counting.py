"""Counting the rows a statement names and those it leads to, within a time; failing that, asking the planner."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from blastwall.blast import MOST_COUNTED, Count
from blastwall.sql import grammar
from blastwall.sql.blast import scans
from blastwall.sql.blast.asking import Answer, Failed, Question, Situation, Unforeseen, agents, check_steady, row
from blastwall.sql.blast.flow import ALL_NAMED, PREFIX, START, Flow, Start, flow
from blastwall.sql.blast.plans import UNCOMMITTED, Plan
from blastwall.sql.tree import Message

#: What MERGE inserts, beside the start.
MORE: Final = f"{PREFIX}more"
ALL_INSERTED: Final = -3
#: What share of the time each attempt may take: everything, the statement's own rows alone, the planner's estimate.
ALL_SHARE, OWN_SHARE, PLAN_SHARE = 0.45, 0.2, 0.1
_CANCELLED: Final = "57014"  # query_canceled, by statement_timeout


@dataclass(frozen=True, slots=True)
class Counts:
    """By number of the answer's rows; ``complete``: the keys were followed, too. ``estimate``: only the planner's."""

    found: Mapping[int, int]
    complete: bool = True
    estimate: bool = False
    reasons: tuple[str, ...] = ()


def count(plan: Plan, followed: Flow, statement: Message, situation: Situation) -> Generator[Question, Answer, Counts]:
    """Everything if the time suffices, else the statement's own rows, else the planner's estimate of those."""
    reasons: list[str] = []
    simple = Start((), plan.start.deletes, placeless=plan.start.placeless)
    for attempt, share in ((followed, ALL_SHARE), (flow(simple, plan.terrain), OWN_SHARE)):
        if attempt is followed and any("may not read" in reason for reason in plan.unknown):
            continue
        if attempt is not followed and not followed.nodes and reasons:
            continue
        answer = yield agents(_text(plan, attempt), statement, situation, share)
        if not isinstance(answer, Failed):
            return Counts(_numbers(answer), attempt is followed, reasons=tuple(reasons))
        reasons.append(
            "Counting it takes too long." if answer.code == _CANCELLED else f"Counting it failed: {answer.reason}"
        )
    explain = grammar.decode(grammar.parse(b"EXPLAIN (FORMAT JSON) SELECT 1"))
    explain.stmts[0].stmt.explain_stmt.query.CopyFrom(plan.scan.select)
    answer = yield agents(explain, statement, situation, PLAN_SHARE)
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


def planned_rows(text: str) -> int:
    """The planner's estimate at the top of EXPLAIN (FORMAT JSON). Raises Unforeseen when there is none."""
    try:
        return int(json.loads(text)[0]["Plan"]["Plan Rows"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise Unforeseen("The planner's answer is not what PostgreSQL gives.") from None


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
    answer = yield agents(scans.graft(text, places), statement, situation, ALL_SHARE)
    extra = (UNCOMMITTED,) if situation.changed else ()
    if not isinstance(answer, Failed):
        rows = _numbers(answer)[ALL_NAMED]
        return rows, Count.AT_LEAST if rows > MOST_COUNTED else Count.EXACT, extra
    explain = grammar.decode(grammar.parse(b"EXPLAIN (FORMAT JSON) SELECT 1"))
    explain.stmts[0].stmt.explain_stmt.query.CopyFrom(made)
    why = "Counting it takes too long." if answer.code == _CANCELLED else f"Counting it failed: {answer.reason}"
    answer = yield agents(explain, statement, situation, PLAN_SHARE)
    if isinstance(answer, Failed):
        return 0, Count.UNKNOWN, (why, *extra)
    return planned_rows(row(answer)), Count.ESTIMATE, (why, *extra)
