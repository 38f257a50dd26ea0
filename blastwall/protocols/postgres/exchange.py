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
#: For how many seconds a person may be waited for.
Weigh = Callable[[], float]


class PostgresExchange:
    """One statement (or none: housekeeping) of a PostgreSQL channel.

    ``send`` is ``forward`` without the answers, for the channel that drives itself.
    """

    __slots__ = ("_leg", "_patience", "_refuse", "_stage", "_weigh", "more", "statement")

    def __init__(
        self,
        leg: Legs,
        statement: Statement | None,
        stage: Stage | None = None,
        refuse: Refuse | None = None,
        *,
        more: bool = False,
        weigh: Weigh | None = None,
    ) -> None:
        self._leg = leg
        self.statement = statement
        self._stage = stage
        self._refuse = refuse
        self.more = more
        self._weigh = weigh
        self._patience = -1.0

    def weigh(self) -> None:
        """Settle for how long a person may be waited for: what the client sends from now on changes nothing there."""
        if self._patience < 0:
            self._patience = self._weigh() if self._weigh is not None else 0.0

    @property
    def patience(self) -> float:
        self.weigh()
        return self._patience

    @property
    def interactive(self) -> bool:
        return self.patience > 0

    def send(self, permit: Permit | None) -> bool:
        """Stage, and unless more is at hand send all that is staged; whether to follow it to ReadyForQuery."""
        assert (permit is None) == (self.statement is None), "a statement goes nowhere without its permit"
        until_ready = self._stage(permit) if self._stage is not None else False
        if self.more:
            return False
        self._leg.send()
        return until_ready

    def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        until_ready = self.send(permit)
        guarded = self._leg.guarded
        if guarded is not None:
            self._leg.guarded = None
            return guarded
        return NOTHING if self.more else self._leg.results(until_ready)

    async def relay(self, masked: Masked) -> None:
        await self._leg.relay(masked)

    async def refuse(self, denial: Denial) -> None:
        self.turn_down(denial)

    def turn_down(self, denial: Denial) -> None:
        """Refuse, as far as the client is concerned: nothing is waited for."""
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

    def declared(self, text: str, type_ids: tuple[int, ...]) -> str: ...

    def bound(self, number: int, prepared: Prepared) -> None: ...

    def minted(self, number: int) -> Mapping[str, str]: ...

    def effects(
        self, text: str, permit: Permit, number: int, minted: Mapping[str, str]
    ) -> tuple[Callable[[], None] | None, ...]: ...

    async def warm(self, text: bytes) -> None: ...

    async def refresh(self) -> None: ...
