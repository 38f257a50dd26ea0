"""``ports.Sessions`` on the local store: live sessions shared by all gateway processes of this machine."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from blastwall.errors import AgentLocked, OurFault, TokenFault
from blastwall.local import processes
from blastwall.local.approvals import withdraw_all
from blastwall.local.ends import NEWS, mark_ended
from blastwall.local.store import Store
from blastwall.model import Principal, Session, Target
from blastwall.ports import Clock

# How a session ended. KILLED also closes the door to its token, and LOCKED while the lock stands; after the others the
# token may open a new session (WITHDRAWN, by local/approvals.py: the approval that let it connect was taken back).
KILLED, LOCKED, EXPIRED, IDLE = "killed", "locked", "expired", "idle"

SWEEP_EVERY = 5.0  # seconds between two looks for processes that are gone
FORGET_EVERY = 3600.0  # seconds between two looks for what nobody asks about any more
KEPT_SECONDS = 30 * 86_400.0  # after the end of its time a session is forgotten, and that its token was barred with it
MAX_REASON = 500  # characters of a break-glass reason
LOOK_SECONDS = 15.0  # how often the clock is looked at: it may be set, and a sleeping machine does not count the time
ATTACH_WITHIN = 60.0  # seconds that an opened session waits for its connection, however short it lingers after one


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as an operator sees it. ``ended_at`` None: it lives."""

    session: Session
    connections: tuple[str, ...] = ()
    usage: Mapping[str, int] = field(default_factory=dict)
    ended_at: float | None = None
    reason: str = ""
    ended_by: str = ""


class LocalSessions:
    """Sessions by (token, target). A break-glass session is one of its own: it never joins an ordinary one."""

    def __init__(
        self, store: Store, clock: Clock, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._process = processes.current()
        self._swept_at = self._forgot_at = float("-inf")

    async def open(self, principal: Principal, target: Target, break_glass: str | None = None) -> Session:
        """The live session of this token at this target, or a new one.

        Raises TokenFault when the token has expired, its session here was killed, its agent is locked, or the
        break-glass reason is not readable text of at most 500 characters.
        """
        now = self._clock.now()
        if now >= principal.expires_at:
            raise TokenFault("the token has expired; ask your identity provider for a new token")
        if break_glass is not None and not (0 < len(break_glass) <= MAX_REASON and break_glass.isprintable()):
            raise TokenFault(f"a break-glass session needs a reason in plain text of 1 to {MAX_REASON} characters")
        session = Session(
            id="s-" + base64.b32encode(self._random_bytes(10)).decode("ascii").lower()[:12],
            principal=principal,
            target=target.name,
            started_at=now,
            expires_at=principal.expires_at + target.outlive_token_minutes * 60,
            break_glass=break_glass,
        )
        sweep = self._clock.monotonic() - self._swept_at >= SWEEP_EVERY
        forget = self._clock.monotonic() - self._forgot_at >= FORGET_EVERY

        def work(db: sqlite3.Connection) -> Session:
            if sweep:
                _sweep(db, now)
            if forget:
                _forget(db, now - KEPT_SECONDS)
            _settle(db, now)
            _refuse(db, principal, target.name)
            live = _sessions(
                db,
                "token_id = ? AND target = ? AND ifnull(break_glass, '') = ? AND ended_at IS NULL",
                (principal.token_id, target.name, break_glass or ""),
            )
            linger = target.linger_minutes * 60
            waits_since = now + max(0.0, ATTACH_WITHIN - linger)
            if live:
                db.execute(
                    "UPDATE sessions SET idle_since = max(idle_since, ?) WHERE id = ? AND idle_since IS NOT NULL",
                    (waits_since, live[0].session.id),
                )
                return live[0].session
            _insert(db, session, linger, waits_since)
            _carry_over(db, session)
            return session

        opened = await self._store.write(work)
        if sweep:
            self._swept_at = self._clock.monotonic()
        if forget:
            self._forgot_at = self._clock.monotonic()
        return opened

    async def attach(self, session: Session, connection: str) -> None:
        """Note a connection. Raises TokenFault when the session has ended since it was opened."""
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            _settle(db, now)
            row = _one(db, session.id)
            if row.ended_at is not None:
                raise TokenFault(
                    f"the session has ended ({row.reason}); connect again, with a new token if this repeats"
                )
            db.execute("INSERT INTO connections VALUES (?, ?, ?, ?)", (connection, session.id, self._process, now))
            db.execute("UPDATE sessions SET idle_since = NULL WHERE id = ?", (session.id,))

        await self._store.write(work)

    async def detach(self, session: Session, connection: str, usage: Mapping[str, int]) -> None:
        """A connection ended; ``usage`` is added to the session's. A second time changes nothing."""
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            gone = db.execute("DELETE FROM connections WHERE id = ? AND session = ?", (connection, session.id))
            if gone.rowcount == 0:
                return
            for name, amount in usage.items():
                db.execute(
                    "INSERT INTO session_usage VALUES (?, ?, ?) "
                    "ON CONFLICT (session, name) DO UPDATE SET amount = amount + excluded.amount",
                    (session.id, name, amount),
                )
            _begin_idle(db, now)
            _settle(db, now)  # at once where sessions do not linger

        await self._store.write(work)

    async def usage(self, session: Session) -> Mapping[str, int]:
        """What the session's ended connections used together, by name (rows, bytes, statements)."""
        return await self._store.read(lambda db: _usage(db, session.id))

    def ended(self, session: Session) -> Coroutine[Any, Any, str]:
        """Completes with the reason when the session is killed, its agent is locked, or it expires."""
        return self._ended(session)

    async def _ended(self, session: Session) -> str:
        with self._store.watcher.listening(session.id) as news:
            while True:
                news.clear()
                row = await self._store.read(lambda db: _one(db, session.id))
                if row.ended_at is not None:
                    return row.reason
                left = min(session.expires_at, row.session.expires_at) - self._clock.now()
                if left <= 0:
                    return _REASONS[EXPIRED]
                try:
                    await asyncio.wait_for(news.wait(), min(left, LOOK_SECONDS))
                except TimeoutError:
                    pass

    async def kill(self, id: str, reason: str, by: str) -> bool:
        """End a session in every process; its token opens no new one at that target. False: no such live session."""
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> bool:
            _settle(db, now)
            return _end(db, id, KILLED, now, reason=f"killed by {by}: {reason}", by=by)

        return await self._store.write(work, durable=True)

    async def lock(self, agent: str, reason: str, by: str) -> int:
        """End all sessions of an agent and refuse new ones until :meth:`unlock`. Returns how many ended."""
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> int:
            _settle(db, now)
            db.execute("INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?)", (agent, reason, by, now))
            live = [
                row[0] for row in db.execute("SELECT id FROM sessions WHERE agent = ? AND ended_at IS NULL", (agent,))
            ]
            return sum(_end(db, id, LOCKED, now, reason=f"agent locked by {by}: {reason}", by=by) for id in live)

        return await self._store.write(work, durable=True)

    async def unlock(self, agent: str) -> bool:
        """Let an agent's tokens open sessions again. False: it was not locked."""
        return await self._store.write(
            lambda db: db.execute("DELETE FROM locks WHERE agent = ?", (agent,)).rowcount > 0, durable=True
        )

    async def locks(self) -> Mapping[str, str]:
        """The agents that are locked, and by whom and why in words."""
        rows = await self._store.read(lambda db: db.execute("SELECT agent, by, reason FROM locks").fetchall())
        return {agent: f"by {by}: {reason}" for agent, by, reason in rows}

    async def show(self, id: str) -> SessionRow | None:
        """One session, as it stands now; None if there is none of that id."""
        rows = await self._look("id = ?", (id,))
        return rows[0] if rows else None

    async def ls(self, *, live: bool = True, limit: int = 200) -> Sequence[SessionRow]:
        """The newest sessions first."""
        return await self._look("ended_at IS NULL" if live else "1", (), limit)

    async def changed(self, timeout: float) -> None:
        """Wait until any session ends, in whatever process, or for ``timeout`` seconds."""
        with self._store.watcher.listening(NEWS) as news:
            try:
                await asyncio.wait_for(news.wait(), timeout)
            except TimeoutError:
                pass

    async def sweep(self) -> int:
        """Detach the connections of processes that are gone, and end what has run out. Returns how many went."""
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> int:
            gone = _sweep(db, now)
            _settle(db, now)
            return gone

        return await self._store.write(work)

    async def _look(self, where: str, values: Sequence[object], limit: int = -1) -> list[SessionRow]:
        await self.sweep()
        return await self._store.read(lambda db: _sessions(db, where, values, limit))


_REASONS: Mapping[str, str] = {EXPIRED: "the session's time is up", IDLE: "nobody was connected any more"}


def _refuse(db: sqlite3.Connection, principal: Principal, target: str) -> None:
    lock = db.execute("SELECT reason, by FROM locks WHERE agent = ?", (principal.agent,)).fetchone()
    if lock:
        raise AgentLocked(f"the agent is locked by {lock[1]}: {lock[0]}; ask them to unlock it")
    ended = db.execute(
        "SELECT reason FROM sessions WHERE token_id = ? AND target = ? AND ending = ? ORDER BY rowid DESC LIMIT 1",
        (principal.token_id, target, KILLED),
    ).fetchone()
    if ended:
        raise TokenFault(f"this token's session was ended ({ended[0]}); ask for a new token if you may go on")


def _insert(db: sqlite3.Connection, session: Session, linger: float, waits_since: float) -> None:
    principal = session.principal
    db.execute(
        "INSERT INTO sessions (id, token_id, target, agent, principal, break_glass, started_at, expires_at, linger, "
        "idle_since) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            session.id, principal.token_id, session.target, principal.agent,
            json.dumps(asdict(principal) | {"groups": sorted(principal.groups)}),
            session.break_glass, session.started_at, session.expires_at, linger, waits_since,
        ),
    )  # fmt: skip


def _carry_over(db: sqlite3.Connection, session: Session) -> None:
    """What the token has used there it has used: a session that ended takes no budget along."""
    db.execute(
        "INSERT INTO session_usage SELECT ?, name, amount FROM session_usage WHERE session = ("
        "SELECT id FROM sessions WHERE token_id = ? AND target = ? AND ifnull(break_glass, '') = ? AND id <> ? "
        "ORDER BY rowid DESC LIMIT 1)",
        (session.id, session.principal.token_id, session.target, session.break_glass or "", session.id),
    )


def _end(db: sqlite3.Connection, id: str, ending: str, now: float, *, reason: str, by: str = "") -> bool:
    """End a session: its waiting approvals go with it, and whoever listens is told."""
    if not mark_ended(db, id, ending, now, reason=reason, by=by):
        return False
    withdraw_all(db, id, f"the session ended: {reason}", now)
    return True


def _settle(db: sqlite3.Connection, now: float) -> None:
    """End the sessions whose time is up, and those that lingered long enough without a connection."""
    over = db.execute(
        "SELECT id, expires_at <= ? FROM sessions "
        "WHERE ended_at IS NULL AND (expires_at <= ? OR idle_since + linger <= ?)",
        (now, now, now),
    ).fetchall()
    for id, expired in over:
        ending = EXPIRED if expired else IDLE
        _end(db, id, ending, now, reason=_REASONS[ending])


def _sweep(db: sqlite3.Connection, now: float) -> int:
    gone = 0
    for (process,) in db.execute("SELECT DISTINCT process FROM connections").fetchall():
        if not processes.alive(process):
            gone += db.execute("DELETE FROM connections WHERE process = ?", (process,)).rowcount
    if gone:
        _begin_idle(db, now)
    return gone


def _forget(db: sqlite3.Connection, before: float) -> None:
    """A store that kept everything would grow with every token that ever came."""
    old = (
        "SELECT id FROM sessions WHERE ended_at < ? AND expires_at < ? "
        "AND NOT EXISTS (SELECT 1 FROM connections WHERE session = sessions.id)"
    )
    db.execute(f"DELETE FROM session_usage WHERE session IN ({old})", (before, before))  # noqa: S608  # own words
    db.execute(f"DELETE FROM sessions WHERE id IN ({old})", (before, before))  # noqa: S608  # own words


def _begin_idle(db: sqlite3.Connection, now: float) -> None:
    db.execute(
        "UPDATE sessions SET idle_since = ? WHERE ended_at IS NULL AND idle_since IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM connections WHERE session = sessions.id)",
        (now,),
    )


def _one(db: sqlite3.Connection, id: str) -> SessionRow:
    rows = _sessions(db, "id = ?", (id,))
    if not rows:
        raise OurFault(f"there is no session {id!r} in this state directory")
    return rows[0]


def _sessions(db: sqlite3.Connection, where: str, values: Sequence[object], limit: int = -1) -> list[SessionRow]:
    """Sessions, newest first. ``where`` is one of this file's own conditions; -1: all of them."""
    found = db.execute(
        "SELECT id, principal, target, started_at, expires_at, break_glass, ended_at, reason, ended_by "  # noqa: S608
        f"FROM sessions WHERE {where} ORDER BY rowid DESC LIMIT ?",  # literals of this file only
        (*values, limit),
    ).fetchall()
    rows = []
    for id, principal, target, started_at, expires_at, break_glass, ended_at, reason, ended_by in found:
        members = json.loads(principal)
        session = Session(
            id=id,
            principal=Principal(**(members | {"groups": frozenset(members["groups"])})),
            target=target,
            started_at=started_at,
            expires_at=expires_at,
            break_glass=break_glass,
        )
        held = db.execute("SELECT id FROM connections WHERE session = ? ORDER BY rowid", (id,)).fetchall()
        connections = tuple(connection for (connection,) in held)
        rows.append(SessionRow(session, connections, _usage(db, id), ended_at, reason or "", ended_by or ""))
    return rows


def _usage(db: sqlite3.Connection, id: str) -> dict[str, int]:
    return dict(db.execute("SELECT name, amount FROM session_usage WHERE session = ?", (id,)).fetchall())
