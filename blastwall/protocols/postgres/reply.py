"""The rows that answer a question of the gateway's own, collected up to a limit."""

from __future__ import annotations

from blastwall.protocols.postgres import replies
from blastwall.protocols.postgres.upstream import Run

Row = tuple[bytes | None, ...]


class Reply:
    """Rows as the server sends them, in text form, up to ``most`` bytes. ``too_much``: there are more; none is kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._pending = b""  # of a row that has not come to its end
        self.rows: list[Row] = []
        self.too_much = False

    def take(self, run: Run) -> None:
        """A run of DataRow messages, or a part of one. Raises UpstreamFault when they are none."""
        self._size += len(run.data)
        if self._size > self._most:
            self.too_much, self._pending = True, b""
            self.rows.clear()
        if self.too_much:
            return
        self._pending += run.data
        if not run.partial:
            self.rows.extend(replies.data_rows(self._pending))
            self._pending = b""
