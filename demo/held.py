"""A statement that waits for a person: run in a thread, so that somebody can decide meanwhile."""

from __future__ import annotations

import queue
import re
import threading
from dataclasses import dataclass
from typing import Any

import psycopg

NOTICED_SECONDS = 60.0
DECIDED_SECONDS = 90.0


@dataclass(slots=True)
class Outcome:
    """How it ended: ``rows`` changed, or the ``error``'s code and message."""

    rows: int = -1
    code: str = ""
    message: str = ""


class HeldStatement:
    """Sends the statement at once. ``ticket`` is the approval that the gateway says it waits for ("": none)."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], sql: str) -> None:
        self.outcome = Outcome()
        self._connection = connection
        self._sql = sql
        self._notices: queue.Queue[str] = queue.Queue()
        connection.add_notice_handler(lambda notice: self._notices.put(str(notice.message_primary)))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.ticket = self._ticket()

    def finish(self) -> Outcome:
        """Wait for the end."""
        self._thread.join(DECIDED_SECONDS)
        return self.outcome

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.outcome.rows = self._connection.execute(self._sql.encode()).rowcount
        except psycopg.Error as error:
            self.outcome.code = error.sqlstate or ""
            self.outcome.message = str(error)

    def _ticket(self) -> str:
        try:
            notice = self._notices.get(timeout=NOTICED_SECONDS)
        except queue.Empty:
            return ""
        found = re.search(r"held for approval (a-[a-z0-9]+)", notice)
        return found[1] if found else ""
