"""``Leases`` on the local store: one table, shared by the gateway processes of this machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TypeVar

from blastwall.credentials.lease import CLAIM_SECONDS, Lease, LeaseState, LeaseTaken
from blastwall.errors import TokenFault
from blastwall.local import processes
from blastwall.local.store import Store

T = TypeVar("T")

#: A session's own process ends its leases; if it has not after this long (seconds), any other does.
GRACE_SECONDS = 10.0
#: Closed leases are kept for whoever asks what became of them, then forgotten (seconds).
KEPT_SECONDS = 7 * 24 * 3600.0

_TABLE = """
CREATE TABLE IF NOT EXISTS leases (
    session TEXT NOT NULL, id TEXT NOT NULL, target TEXT NOT NULL, kind TEXT NOT NULL, profile TEXT NOT NULL,
    holder TEXT NOT NULL, made_at REAL NOT NULL, expires_at REAL NOT NULL, state TEXT NOT NULL, note TEXT NOT NULL,
    not_before REAL NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, closed_at REAL,
    PRIMARY KEY (session, id)
) STRICT
"""
_INDEX = "CREATE INDEX IF NOT EXISTS leases_unclosed ON leases (session) WHERE state <> 'closed'"
_COLUMNS = "leases.session, leases.id, leases.target, kind, profile, holder, made_at, leases.expires_at, state, note"


class LocalLeases:
    """Implements :class:`blastwall.credentials.lease.Leases`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made = False

    async def write(self, lease: Lease) -> None:
        """On disk before this returns: what is vended after it is found again whatever happens."""

        def work(db: sqlite3.Connection) -> None:
            ended = db.execute("SELECT reason FROM sessions WHERE id = ? AND ended_at IS NOT NULL", (lease.session,))
            if (row := ended.fetchone()) is not None:
                raise TokenFault(f"the session has ended ({row[0]}); connect again, with a new token if this repeats")
            try:
                db.execute(
                    "INSERT INTO leases (session, id, target, kind, profile, holder, made_at, expires_at, state, note) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    astuple(lease),
                )
            except sqlite3.IntegrityError:
                raise LeaseTaken from None
            db.execute("DELETE FROM leases WHERE closed_at < ?", (lease.made_at - KEPT_SECONDS,))

        await self._write(work, durable=True)

    async def claim(self, lease: Lease, now: float) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            taken = db.execute(
                "UPDATE leases SET state = ?, not_before = ? "
                "WHERE session = ? AND id = ? AND state <> ? AND (state = ? OR not_before <= ?)",
                (
                    LeaseState.ENDING,
                    now + CLAIM_SECONDS,
                    lease.session,
                    lease.id,
                    LeaseState.CLOSED,
                    LeaseState.OPEN,
                    now,
                ),
            )
            return taken.rowcount == 1

        return await self._write(work)

    async def retry(self, lease: Lease, at: float, note: str) -> None:
        await self._write(
            lambda db: db.execute(
                "UPDATE leases SET not_before = ?, note = ?, attempts = attempts + 1 "
                "WHERE session = ? AND id = ? AND state = ?",
                (at, note, lease.session, lease.id, LeaseState.ENDING),
            )
        )

    async def close(self, lease: Lease, at: float, note: str) -> None:
        await self._write(
            lambda db: db.execute(
                "UPDATE leases SET state = ?, note = ?, closed_at = ? WHERE session = ? AND id = ?",
                (LeaseState.CLOSED, note, at, lease.session, lease.id),
            ),
            durable=True,
        )

    async def of(self, session: str) -> Sequence[Lease]:
        return await self._write(lambda db: _found(db, "leases.session = ? AND state <> 'closed'", (session,)))

    async def history(self, session: str) -> Sequence[Lease]:
        """All of the session's leases, closed ones too, for whoever asks what became of them."""
        return await self._write(lambda db: _found(db, "leases.session = ?", (session,)))

    async def attempts(self, lease: Lease) -> int:
        """How often it could not be ended."""
        question = "SELECT attempts FROM leases WHERE session = ? AND id = ?"
        row = await self._write(lambda db: db.execute(question, (lease.session, lease.id)).fetchone())
        return int(row[0]) if row else 0

    async def abandoned(self, holder: str, now: float) -> Sequence[Lease]:
        """Unclosed leases that nobody else looks after.

        Those whose holder is gone, whatever became of the session; those whose session ended, which are the holder's
        own at once and anybody's after ten seconds; and those that could not be ended so far and are due again.
        """

        def work(db: sqlite3.Connection) -> list[Lease]:
            gone = [
                process
                for (process,) in db.execute("SELECT DISTINCT holder FROM leases WHERE state <> 'closed'")
                if process != holder and not processes.alive(process)
            ]
            marks = ", ".join("?" * len(gone))
            return _found(
                db,
                "state <> 'closed' AND not_before <= ? AND (state = 'ending' "  # marks of this function's own
                f"OR holder IN ({marks}) OR sessions.id IS NULL "
                "OR min(ifnull(ended_at, sessions.expires_at), sessions.expires_at) <= iif(holder = ?, ?, ?))",
                (now, *gone, holder, now, now - GRACE_SECONDS),
            )

        return await self._write(work)

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        def made(db: sqlite3.Connection) -> T:
            if not self._made:
                db.execute(_TABLE)
                db.execute(_INDEX)
            return work(db)

        found = await self._store.write(made, durable=durable)
        self._made = True
        return found


def _found(db: sqlite3.Connection, where: str, values: Sequence[object]) -> list[Lease]:
    """Leases, oldest first. ``where`` is one of this file's own conditions."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM leases LEFT JOIN sessions ON sessions.id = leases.session "  # noqa: S608  # own words
        f"WHERE {where} ORDER BY leases.rowid",
        values,
    )
    return [
        Lease(session, id, target, kind, profile, holder, made_at, expires_at, LeaseState(state), note)
        for session, id, target, kind, profile, holder, made_at, expires_at, state, note in rows
    ]
