"""The figures as a table, on the terminal and in docs/benchmarks.md."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import BLASTWALL, DIRECT, PGBOUNCER, Measure, Spread, differences, ratios
from bench.pgbench import BenchFault
from bench.run import QUICK

GOALS = Path(__file__).with_name("goals.toml")
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
HEADINGS = (
    "measure",
    "unit",
    "direct",
    "peer",
    "Blastwall",
    "Blastwall / peer",
    "Blastwall / direct",
    "must",
)

Compare = Callable[[Sequence[float], Sequence[float]], Spread | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a ratio against ``against``, or on the difference when ``added``. Neither bound: only reported."""

    against: str
    least: float | None = None
    most: float | None = None
    added: bool = False


def load_goals(path: Path = GOALS) -> Mapping[str, Goal]:
    """goals.toml. Raises BenchFault for an entry that means nothing."""
    goals: dict[str, Goal] = {}
    for id, entry in tomllib.loads(path.read_text("utf-8")).items():
        try:
            goal = Goal(**entry)
        except TypeError as fault:
            raise BenchFault(f"{path.name}: [{id}]: {fault}") from None
        if goal.against not in (DIRECT, PGBOUNCER) or (goal.least is not None and goal.most is not None):
            raise BenchFault(f"{path.name}: [{id}]: against is direct or pgbouncer, and one bound is enough")
        goals[id] = goal
    return goals


def met(goal: Goal, measure: Measure) -> bool | None:
    """Whether the median over the rounds keeps the bound; None when there is no bound or nothing to compare."""
    compare: Compare = differences if goal.added else ratios
    spread = _against(measure, goal.against, compare)
    if spread is None or (goal.least is None and goal.most is None):
        return None
    if goal.least is not None:
        return spread.middle >= goal.least
    return goal.most is not None and spread.middle <= goal.most


def table(measures: Sequence[Measure], goals: Mapping[str, Goal]) -> str:
    """A Markdown table, aligned for a terminal too. Ratios as median (lowest to highest round)."""
    return aligned([HEADINGS, *(_row(measure, goals.get(measure.id)) for measure in measures)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up; the first row is its heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(measure: Measure, goal: Goal | None) -> tuple[str, ...]:
    figures = [
        "" if (middle := measure.median(route)) is None else f"{middle:,.{measure.decimals}f}"
        for route in (DIRECT, PGBOUNCER, BLASTWALL)
    ]
    added = goal is not None and goal.added
    compare, decimals = (differences, 0) if added else (ratios, 2)
    compared = [
        "" if (spread := _against(measure, peer, compare)) is None else _show(spread, decimals, signed=added)
        for peer in (PGBOUNCER, DIRECT)
    ]
    return (measure.name, measure.unit, *figures, *compared, _verdict(measure, goal))


def _against(measure: Measure, peer: str, compare: Compare) -> Spread | None:
    ours, theirs = measure.samples.get(BLASTWALL), measure.samples.get(peer)
    return compare(ours, theirs) if ours and theirs else None


def _show(spread: Spread, decimals: int, *, signed: bool) -> str:
    sign = "+" if signed else ""
    return f"{spread.middle:{sign}.{decimals}f} ({spread.low:{sign}.{decimals}f} to {spread.high:{sign}.{decimals}f})"


def _verdict(measure: Measure, goal: Goal | None) -> str:
    if goal is None:
        return ""
    kept = met(goal, measure)
    if kept is None:
        return ""
    bound = f">= {goal.least:g}" if goal.least is not None else f"<= {goal.most:g}"
    unit = f" {measure.unit}" if goal.added else ""
    return f"{'met' if kept else 'MISSED'} ({bound}{unit}, {goal.against})"


def place(document: str, text: str, first: str = BEGIN, last: str = END) -> str:
    """The document with ``text`` between its markers. Raises BenchFault when it does not have each of them once."""
    head, begin, rest = document.partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end or first in rest or last in tail:
        raise BenchFault(f"the document must hold {first} and, after it, {last}, once each")
    return f"{head}{first}\n{text.strip()}\n{last}{tail}"


def compose(
    sections: Sequence[tuple[str, Sequence[Measure]]],
    goals: Mapping[str, Goal],
    *,
    command: str,
    day: datetime.date,
    machine: str,
    versions: Sequence[str],
    revision: str,
    quick: bool = False,
) -> str:
    """What stands between the markers: how it was made, then a table for each section."""
    lines = [
        f"`{command}`, {day.isoformat()}, revision {revision}; {machine}; {', '.join(versions)}.",
        "Ratios are taken within each round and shown as their median with the lowest and the highest round.",
    ]
    lines += [QUICK] if quick else []
    for title, measures in sections:
        lines += ["", f"### {title}", "", table(measures, goals)]
    return "\n".join(lines)
