"""The statements that end a session in the local store; whoever ends one also withdraws what it waits for."""

from __future__ import annotations

import sqlite3

from blastwall.local.store import announce

#: Every end of any session is announced under this as well.
NEWS = "sessions"


def mark_ended(db: sqlite3.Connection, id: str, ending: str, now: float, *, reason: str, by: str = "") -> bool:
    """Write down that a live session has ended, and tell whoever listens. False: it had ended, or never was."""
    ended = db.execute(
        "UPDATE sessions SET ended_at = ?, ending = ?, reason = ?, ended_by = ? WHERE id = ? AND ended_at IS NULL",
        (now, ending, reason, by, id),
    )
    if ended.rowcount == 0:
        return False
    announce(db, id)
    announce(db, NEWS)
    return True


def end_by(db: sqlite3.Connection, id: str, until: float) -> None:
    """A live session ends at ``until`` at the latest."""
    capped = db.execute(
        "UPDATE sessions SET expires_at = ? WHERE id = ? AND ended_at IS NULL AND expires_at > ?", (until, id, until)
    )
    if capped.rowcount:
        announce(db, id)
