"""One statement of a PostgreSQL connection, or none: housekeeping, and what the server says unasked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from blastwall.model import Chunk, Denial, Masked, Permit, Statement
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.names import Prepared

if TYPE_CHECKING:
    from blastwall.protocols.postgres.classify import Finding


class Nothing:
    """An iterator over no chunks: what a staged statement yields."""

    def __aiter__(self) -> Nothing:
        return self

    async def __anext__(self) -> Chunk:
        raise StopAsyncIteration


NOTHING: Final = Nothing()

#: Stages the messages upstream; returns whether to follow them to ReadyForQuery.
Stage = Callable[[Permit | None], bool]
Refuse = Callable[[Denial], None]


class PostgresExchange:
    """One statement (or none: housekeeping) of a PostgreSQL channel."""

    __slots__ = ("_leg", "_refuse", "_stage", "interactive", "more", "patience", "statement")

    def __init__(
        self,
        leg: Legs,
        statement: Statement | None,
        stage: Stage | None = None,
        refuse: Refuse | None = None,
        *,
        more: bool = False,
        patience: float = 0.0,
    ) -> None:
        self._leg = leg
        self.statement = statement
        self._stage = stage
        self._refuse = refuse
        self.more = more
        self.interactive = patience > 0
        self.patience = patience

    def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        assert (permit is None) == (self.statement is None), "a statement goes nowhere without its permit"
        until_ready = self._stage(permit) if self._stage is not None else False
        if self.more:
            return NOTHING
        self._leg.send()
        return self._leg.results(until_ready)

    async def relay(self, masked: Masked) -> None:
        await self._leg.relay(masked)

    async def refuse(self, denial: Denial) -> None:
        assert self._refuse is not None, "only statements are refused"
        self._refuse(denial)

    async def notify(self, message: str, detail: str = "") -> None:
        self._leg.notify(message, detail)

    async def gone(self) -> str:
        return await self._leg.gone()


class Reader(Protocol):
    """What the channel asks about texts; the conversation answers with the session's surroundings."""

    @property
    def stale(self) -> bool: ...

    def surroundings(self, text: str) -> str: ...

    def find(self, text: str) -> Finding: ...

    @property
    def patience(self) -> float: ...

    def spoil(self, number: int, reason: str) -> None: ...

    def bound(self, number: int, prepared: Prepared) -> None: ...

    def minted(self, number: int) -> Mapping[str, str]: ...

    def effects(
        self, text: str, permit: Permit, number: int, minted: Mapping[str, str]
    ) -> tuple[Callable[[], None] | None, ...]: ...

    async def warm(self, text: bytes) -> None: ...

    async def refresh(self) -> None: ...
