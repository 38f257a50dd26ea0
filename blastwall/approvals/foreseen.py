"""A blast radius for people to read: a small tree, the same in terminal, page and messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from blastwall.approvals.visible import visible
from blastwall.blast import Blast, Count, Lock, Rows, from_document

UNCERTAIN = "NOT ALL OF IT IS KNOWN; what is missing is said below."
NO_WAY_BACK = "CANNOT BE UNDONE."
GUESS = "the planner's estimate, which errs 3 to 5 times"
#: More of a kind are summed up: a person reads no list of hundreds. The document has them all.
MOST = 40


def lines(document: Mapping[str, Any]) -> list[str] | None:
    """The tree, line by line, safe to print; None: the document is no blast radius."""
    try:
        blast = from_document(_safe(document))
    except (KeyError, TypeError, ValueError):
        return None
    return list(_lines(blast))


def _safe(value: Any) -> Any:  # noqa: ANN401  JSON
    """The same with names made visible: the branches of the tree are drawn later, and are ours."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {name: _safe(below) for name, below in value.items()}
    return [_safe(below) for below in value] if isinstance(value, (list, tuple)) else value


def _lines(blast: Blast) -> Iterator[str]:
    if not blast.known:
        yield UNCERTAIN
    if blast.irreversible and blast.known:
        yield NO_WAY_BACK
    if not blast.tables:
        yield "changes no rows" if blast.known else "rows not counted"
    for place, each in enumerate(blast.tables[:MOST]):
        last = place == min(len(blast.tables), MOST) - 1
        branch = "" if place == 0 else "└─ " if last else "├─ "
        guess = f" ({GUESS})" if each.count is Count.ESTIMATE else ""
        yield f"{branch}{each.by} of {_rows(each)} of {each.table}{guess}" + (f" (by {each.via})" if each.via else "")
    yield from _more(len(blast.tables))
    if blast.cascaded_rows:
        yield f"together {_many(blast.cascaded_rows)} besides those it names"
    for title, names in (("runs triggers", blast.triggers), ("takes along", blast.dependents)):
        if names:
            yield title
            yield from (f"  {name}" for name in names[:MOST])
            yield from _more(len(names))
    yield from (f"locks {_lock(each)}" for each in blast.locks[:MOST])
    yield from _more(len(blast.locks))
    yield from (f"! {reason}" for reason in blast.blocked[:MOST])
    yield from _more(len(blast.blocked))
    yield from (f"· {reason}" for reason in blast.reasons)


def _more(count: int) -> Iterator[str]:
    if count > MOST:
        yield f"  and {count - MOST} more"


def _rows(rows: Rows) -> str:
    if rows.count is Count.UNKNOWN:
        return "rows that were not counted"
    return f"{rows.count} {_many(rows.rows)}"


def _many(count: int) -> str:
    return f"{count:,} row" + ("" if count == 1 else "s")


def _lock(lock: Lock) -> str:
    size = [f"about {_many(lock.rows)}"] if lock.rows > 0 else []
    size += [_bytes(lock.size)] if lock.size >= 0 else []
    return f"{lock.table}, {lock.mode}" + (f" ({', '.join(size)})" if size else "")


def _bytes(size: int) -> str:
    unit = "bytes"
    value = float(size)
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}"
