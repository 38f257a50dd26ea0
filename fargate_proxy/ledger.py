"""What a session has used of its budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from blastwall.errors import ClientFault
from blastwall.model import Masked


class BudgetSpent(ClientFault):
    """A result grew past the session's budget while it was on its way."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(
            f"the session's budget of {limit} {name} is used up: ask for less, or start a session with a new token"
        )


class Ledger:
    """Counts rows, bytes and statements of one session; shared by its connections in this process.

    ``lookups`` are statements that compared masked columns; their limit is the masking rules'.

    A budget is exhausted once the count has reached it: policies see its name in ``context.exhausted`` from the next
    statement on. Rows and bytes also stop a result that passes the limit midway, unless nothing ``stops`` here: in
    observe mode, and where the glass is broken, policies let what goes beyond a budget pass.
    """

    def __init__(self, budgets: Mapping[str, int], used: Mapping[str, int], stops: bool = True) -> None:
        self.rows = used.get("rows", 0)
        self.bytes = used.get("bytes", 0)
        self.statements = used.get("statements", 0)
        self.lookups = used.get("lookups", 0)
        self._budgets = dict(budgets)
        self._row_limit = budgets.get("rows") if stops else None
        self._byte_limit = budgets.get("bytes") if stops else None
        self._noted: dict[str, int] = self._used()
        self.connections = 0

    def stop_from_now(self) -> None:
        """A connection has joined that is held to the budgets: all of the session's are, then."""
        self._row_limit = self._budgets.get("rows")
        self._byte_limit = self._budgets.get("bytes")

    def judged(self, count: int = 1) -> None:
        """A text was judged that holds so many statements. Parsing and running it are two; an empty one is one."""
        self.statements += count if count > 1 else 1

    def relayed(self, masked: Masked) -> None:
        """Count a chunk. Raises BudgetSpent when it would take the session past its rows or bytes.

        What holds no row is not stopped for rows used up before: by then policy decides, and refuses in words.
        """
        self.rows += masked.rows
        self.bytes += len(masked.data)
        if self._row_limit is not None and self.rows > self._row_limit and masked.rows:
            raise BudgetSpent("rows", self._row_limit)
        if self._byte_limit is not None and self.bytes > self._byte_limit:
            raise BudgetSpent("bytes", self._byte_limit)

    @property
    def exhausted(self) -> frozenset[str]:
        """Names of the budgets that are used up."""
        if not self._budgets:
            return _NONE
        used = {"rows": self.rows, "bytes": self.bytes, "statements": self.statements}
        return frozenset(name for name, limit in self._budgets.items() if used.get(name, 0) >= limit)

    def unnoted(self) -> Mapping[str, int]:
        """What was used since the last call: for the session store, which adds it up over all processes."""
        used = self._used()
        delta = {name: count - self._noted.get(name, 0) for name, count in used.items()}
        self._noted = used
        return delta

    def put_back(self, used: Mapping[str, int]) -> None:
        """The store did not take what :meth:`unnoted` said."""
        self._noted = {name: count - used.get(name, 0) for name, count in self._noted.items()}

    def _used(self) -> dict[str, int]:
        used = {"rows": self.rows, "bytes": self.bytes, "statements": self.statements}
        return used | {"lookups": self.lookups} if self.lookups else used


_NONE: Final[frozenset[str]] = frozenset()
