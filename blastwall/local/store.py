"""The state directory's SQLite file (``STATE/blastwall.db``), shared by the gateway processes and the command line."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from blastwall.errors import Fault, OurFault
from blastwall.local.watcher import Watcher

T = TypeVar("T")

BUSY = 5.0  # seconds to wait for another process's write
VERSION = 3

_SCHEMA = """
CREATE TABLE approvals (
    id TEXT PRIMARY KEY, binding TEXT NOT NULL, question TEXT NOT NULL, session TEXT NOT NULL, state TEXT NOT NULL,
    requested_at REAL NOT NULL, expires_at REAL NOT NULL, changed_at REAL NOT NULL, decided_by TEXT NOT NULL,
    note TEXT NOT NULL, document TEXT NOT NULL, agent TEXT NOT NULL, shape TEXT NOT NULL, uses INTEGER NOT NULL,
    used INTEGER NOT NULL, same_shape INTEGER NOT NULL, bound INTEGER
) STRICT;
CREATE UNIQUE INDEX approvals_live ON approvals (binding) WHERE state IN ('requested', 'approved');
CREATE INDEX approvals_binding ON approvals (binding);
CREATE INDEX approvals_session ON approvals (session, state);
CREATE INDEX approvals_agent ON approvals (agent, requested_at);
CREATE INDEX approvals_shape ON approvals (shape) WHERE state = 'approved' AND same_shape = 1;
CREATE INDEX approvals_expiry ON approvals (expires_at) WHERE state IN ('requested', 'approved');
CREATE TABLE approval_votes (
    request TEXT NOT NULL REFERENCES approvals (id), approver TEXT NOT NULL, approve INTEGER NOT NULL,
    note TEXT NOT NULL, at REAL NOT NULL, grant_seconds REAL NOT NULL, rows INTEGER
) STRICT;
CREATE INDEX votes_request ON approval_votes (request);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY, token_id TEXT NOT NULL, target TEXT NOT NULL, agent TEXT NOT NULL, principal TEXT NOT NULL,
    break_glass TEXT, started_at REAL NOT NULL, expires_at REAL NOT NULL, linger REAL NOT NULL, idle_since REAL,
    ended_at REAL, ending TEXT, reason TEXT, ended_by TEXT
) STRICT;
CREATE UNIQUE INDEX sessions_live ON sessions (token_id, target, ifnull(break_glass, '')) WHERE ended_at IS NULL;
CREATE INDEX sessions_token ON sessions (token_id, target);
CREATE INDEX sessions_agent ON sessions (agent) WHERE ended_at IS NULL;
CREATE TABLE session_usage (
    session TEXT NOT NULL REFERENCES sessions (id), name TEXT NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (session, name)
) STRICT;
CREATE TABLE connections (
    id TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions (id), process TEXT NOT NULL, since REAL NOT NULL
) STRICT;
CREATE INDEX connections_session ON connections (session);
CREATE TABLE locks (agent TEXT PRIMARY KEY, reason TEXT NOT NULL, by TEXT NOT NULL, at REAL NOT NULL) STRICT;

CREATE TABLE news (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL) STRICT;
"""


class Store:
    """One SQLite file in WAL mode, 0600, made if absent. Use it in one event loop, and :meth:`close` it.

    SQLite runs on one thread of its own, so that waiting for another process's lock never holds up the event loop.
    Raises OurFault when the directory is writable by others or the file is not ours to use.
    """

    def __init__(self, file: Path) -> None:
        self.path = file
        self._closed = False
        _prepare(file)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="blastwall-store")
        try:
            self._db = self._thread.submit(_connect, self.path).result()
            self.watcher = Watcher(self.path)
        except sqlite3.Error as fault:
            self._thread.shutdown()
            raise _fault(self.path, fault) from fault

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` against one consistent view. Raises OurFault when the file fails."""
        return await self._run("BEGIN", work, durable=False)

    async def write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """Run ``work`` alone of all processes; all of it happens, or nothing if it raises.

        ``durable``: on disk before this returns (a used approval must stay used after a power cut); else it survives
        the process, not the machine. Raises OurFault when the file fails or stays locked for five seconds.
        """
        return await self._run("BEGIN IMMEDIATE", work, durable=durable)

    def close(self) -> None:
        """End the watcher and the connection, after the work that was begun."""
        self._closed = True
        self.watcher.close()
        self._thread.submit(self._db.close).result()
        self._thread.shutdown()

    async def _run(self, begin: str, work: Callable[[sqlite3.Connection], T], *, durable: bool) -> T:
        if self._closed:
            raise OurFault(f"the local store {self.path} is closed: this process is ending")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._transact, begin, work, durable)
        except (sqlite3.Error, UnicodeEncodeError) as fault:  # the latter: half a character in a text
            raise _fault(self.path, fault) from fault

    def _transact(self, begin: str, work: Callable[[sqlite3.Connection], T], durable: bool) -> T:
        db = self._db
        db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        db.execute(begin)
        try:
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # a full disk has rolled it back already
                db.execute("ROLLBACK")
            raise
        return result


def announce(db: sqlite3.Connection, id: str) -> None:
    """Tell every process that listens for ``id`` that it has changed, once this transaction is in."""
    seq = db.execute("INSERT INTO news (id) VALUES (?)", (id,)).lastrowid or 0
    db.execute("DELETE FROM news WHERE seq <= ?", (seq - 10_000,))


def _prepare(file: Path) -> None:
    state_dir = file.parent
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if state_dir.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OurFault(
                f"{state_dir} is writable by other users, who could replace what is in it: chmod go-w {state_dir}"
            )
        try:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            # Never opened besides by SQLite: closing it would end all locks that this process has on it (fcntl(2)), and
            # whoever else closes the store then removes the log that this process goes on writing to.
            if file.is_symlink():
                raise
        file.chmod(0o600)  # the statements people are asked about are in it; -wal and -shm inherit the mode
    except OSError as fault:
        raise _fault(file, fault) from fault


def _connect(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=BUSY, isolation_level=None)
    deadline = time.monotonic() + BUSY
    while True:  # two processes that start at once collide here, and SQLite does not wait for this lock by itself
        try:
            db.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    db.execute("PRAGMA foreign_keys = ON")
    if _version(db) != VERSION:  # opening a finished file takes no lock
        db.execute("BEGIN IMMEDIATE")
        if _version(db) == 0:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    version = _version(db)
    if version != VERSION:
        db.close()
        raise OurFault(
            f"{file} was made by another version of Blastwall ({version}, not {VERSION}): use another state directory"
        )
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _fault(file: Path, fault: Exception) -> Fault:
    return OurFault(
        f"the local store {file} fails ({fault}); check that it exists, is writable by you and the disk has room"
    )
