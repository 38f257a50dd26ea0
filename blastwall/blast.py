"""What running a statement would do, found out before anybody is asked: a value, and the forms in which it travels.

A :class:`Blast` goes into the stored request, for people, as JSON (:meth:`Blast.document`), and to policy
(:meth:`Blast.context`). It never goes to the agent: numbers tell what masks hide.

Counts are honest about themselves (:class:`Count`). To policy only what is certain is a number: everything else is
:data:`UNCOUNTED`, which is above every threshold: a rule like ``blast.rows <= 100`` is false for what nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

#: Stands for a number that is not known: the largest that policy's language holds.
UNCOUNTED: Final = 2**63 - 1
#: Rows are counted up to here. More are "at least one more than this".
MOST_COUNTED: Final = 1_000_000
#: Tables, triggers, locks or dependents that are listed: a stored request has its limits.
MOST_LISTED: Final = 200


class Count(StrEnum):
    """How a number of rows is meant."""

    EXACT = "exactly"
    AT_MOST = "at most"
    AT_LEAST = "at least"  # counting stopped at MOST_COUNTED
    ESTIMATE = "an estimated"
    UNKNOWN = "not counted"


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows of a table something happens to. ``by`` says what: "delete", "on delete cascade" ...

    ``via`` names the foreign key that carries it there, "" for what the statement itself names.
    """

    table: str
    rows: int
    by: str
    count: Count = Count.EXACT
    via: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held until the transaction ends; ``rows`` (an estimate, -1: unknown) and ``size`` (bytes) tell how
    large the table is.
    """

    table: str
    mode: str
    rows: int = -1
    size: int = -1


@dataclass(frozen=True, slots=True)
class Blast:
    """What one statement would do.

    ``rows`` it touches itself, ``cascaded_rows`` foreign keys carry it to. ``known``: both are exact or an upper bound,
    and nothing that matters was left out. ``triggers`` ("table.name") run code nobody looked into. ``dependents`` go
    or break with what is dropped. ``blocked``: foreign keys that would refuse it as things stand. ``irreversible``: no
    row or statement of the database brings back what it takes. ``reasons`` are sentences that qualify all this.
    """

    known: bool
    rows: int = 0
    rows_exact: bool = False
    cascaded_rows: int = 0
    tables: tuple[Rows, ...] = ()
    triggers: tuple[str, ...] = ()
    locks: tuple[Lock, ...] = ()
    dependents: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    irreversible: bool = False
    reasons: tuple[str, ...] = ()

    def bounded(self) -> Blast:
        """The same with lists of at most :data:`MOST_LISTED`; a reason says how much more there was.

        What rules read of must be whole: where it is cut, nothing is known.
        """
        cut = {
            name: len(found) - MOST_LISTED
            for name, found in (
                ("tables", self.tables),
                ("triggers", self.triggers),
                ("locks", self.locks),
                ("dependents", self.dependents),
                ("blocked", self.blocked),
            )
            if len(found) > MOST_LISTED
        }
        if not cut:
            return self
        return replace(
            self,
            known=self.known and set(cut) <= {"blocked"},
            tables=self.tables[:MOST_LISTED],
            triggers=self.triggers[:MOST_LISTED],
            locks=self.locks[:MOST_LISTED],
            dependents=self.dependents[:MOST_LISTED],
            blocked=self.blocked[:MOST_LISTED],
            reasons=(*self.reasons, *(f"{more:,} more {name} are not listed." for name, more in cut.items())),
        )

    def document(self) -> dict[str, Any]:
        """As JSON values, for ``ApprovalRequest.blast`` and the recording."""
        return {
            "known": self.known,
            "rows": self.rows,
            "rows_exact": self.rows_exact,
            "cascaded_rows": self.cascaded_rows,
            "tables": [
                {"table": each.table, "rows": each.rows, "by": each.by, "count": str(each.count), "via": each.via}
                for each in self.tables
            ],
            "triggers": list(self.triggers),
            "locks": [
                {"table": each.table, "mode": each.mode, "rows": each.rows, "size": each.size} for each in self.locks
            ],
            "dependents": list(self.dependents),
            "blocked": list(self.blocked),
            "irreversible": self.irreversible,
            "reasons": list(self.reasons),
        }

    def context(self) -> dict[str, object]:
        """As policy sees it (``Blast`` of schema.cedarschema): what is not known is the worst it can be."""
        counted = self.known and all(each.count is not Count.AT_LEAST for each in self.tables)
        return {
            "known": self.known,
            "rows": self.rows if counted else UNCOUNTED,
            "rows_exact": self.known and self.rows_exact,
            "cascaded_rows": self.cascaded_rows if counted else UNCOUNTED,
            "tables": sorted({each.table for each in self.tables}),
            "triggers": sorted(set(self.triggers)),
            "locks": sorted({f"{each.mode} {each.table}" for each in self.locks}),
            "dependents": sorted(set(self.dependents)),
            "blocked": bool(self.blocked),
            "irreversible": self.irreversible or not self.known,
        }


def unknown(reason: str) -> Blast:
    """Nothing was found out, because of ``reason`` (a sentence)."""
    return Blast(False, irreversible=True, reasons=(reason,))


#: The least a statement can do. A text that is only being named is judged as if running it would do no more.
NOTHING: Final = Blast(True, rows_exact=True)


def from_document(document: Mapping[str, Any]) -> Blast:
    """The inverse of :meth:`Blast.document`. Raises KeyError, TypeError or ValueError for anything else."""
    return Blast(
        known=bool(document["known"]),
        rows=int(document["rows"]),
        rows_exact=bool(document["rows_exact"]),
        cascaded_rows=int(document["cascaded_rows"]),
        tables=tuple(
            Rows(each["table"], int(each["rows"]), each["by"], Count(each["count"]), each["via"])
            for each in document["tables"]
        ),
        triggers=tuple(document["triggers"]),
        locks=tuple(
            Lock(each["table"], each["mode"], int(each["rows"]), int(each["size"])) for each in document["locks"]
        ),
        dependents=tuple(document["dependents"]),
        blocked=tuple(document["blocked"]),
        irreversible=bool(document["irreversible"]),
        reasons=tuple(document["reasons"]),
    )
