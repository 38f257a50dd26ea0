"""Wake whoever waits for a row that another process changes.

One small query per process every 50 ms, and only while somebody waits: ``PRAGMA data_version`` reads a counter in the
shared memory of the write-ahead log (some microseconds, no disk). A datagram socket would be faster still, but every
writer would have to know every listener, and one that crashed leaves its socket behind; the file needs no such list and
cannot be told wrong.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INTERVAL = 0.05  # seconds

_log = logging.getLogger(__name__)


class Watcher:
    """Events for ids announced in the store's ``news`` table by any process, this one included.

    It has its own connection, because SQLite counts only other connections' changes; it never waits for a lock.
    """

    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0, isolation_level=None)
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self._version = -1
        self._seen = 0

    @contextmanager
    def listening(self, id: str) -> Iterator[asyncio.Event]:
        """An event that is set after every change of ``id`` from now on. Clear it, then read the row, then wait."""
        if self._task is None or self._task.done():
            self._catch_up()
            self._task = asyncio.get_running_loop().create_task(self._poll(), name="store watcher")
        event = asyncio.Event()
        self._listeners.setdefault(id, set()).add(event)
        try:
            yield event
        finally:
            self._listeners[id].discard(event)
            if not self._listeners[id]:
                del self._listeners[id]

    def close(self) -> None:
        """Stop watching; whoever still listens is woken a last time."""
        if self._task is not None:
            self._task.cancel()
        self._wake_all()
        self._db.close()

    async def _poll(self) -> None:
        while self._listeners:
            try:
                self._look()
            except sqlite3.OperationalError as fault:
                # Busy (another process checkpoints or closes): the next look sees it. If the file is gone, the
                # listeners find out by reading through the store.
                _log.debug("store watcher: %s", fault)
                if "locked" not in str(fault) and "busy" not in str(fault):
                    self._wake_all()
            await asyncio.sleep(INTERVAL)

    def _look(self) -> None:
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        rows = self._db.execute("SELECT seq, id FROM news WHERE seq > ? ORDER BY seq", (self._seen,)).fetchall()
        self._version = version
        if not rows:
            return
        if rows[0][0] != self._seen + 1:  # older news were pruned before we looked
            self._wake_all()
        self._seen = rows[-1][0]
        for _, id in rows:
            for event in self._listeners.get(id, ()):
                event.set()

    def _catch_up(self) -> None:
        try:
            self._seen = self._db.execute("SELECT ifnull(max(seq), 0) FROM news").fetchone()[0]
        except sqlite3.OperationalError as fault:
            _log.debug("store watcher: %s", fault)  # an old mark only wakes a listener once too often

    def _wake_all(self) -> None:
        for events in self._listeners.values():
            for event in events:
                event.set()
