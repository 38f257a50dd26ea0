"""One statement of a PostgreSQL connection, or none: housekeeping, and what the server says unasked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from blastwall.masking.plan import Plan
from blastwall.model import Chunk, Denial, Masked, Parameter, Permit, Statement
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.names import Prepared
from blastwall.road import Asked

if TYPE_CHECKING:
    from blastwall.protocols.postgres.classify import Finding


#: Longer texts are read beside the event loop first, so that other sessions do not wait for them (characters).
LONG_TEXT: Final = 1024
#: What costs as much as so many characters of text that stays as it is, where a mask is put into every column.
_STAR_COLUMN: Final = 10
_COLUMN: Final = 60
_RELATION: Final = 100
_CONDITION: Final = 40
_WIDE: Final = 10  # columns: a star stands for so many at least


def is_long(text: bytes, widest: int) -> bool:
    """Does it take long to say what a text does? By its length, and where columns are masked (``widest``: how many a
    table has at most, else 0) by what it repeats: a hundred stars in RETURNING, or names in FROM, take 80 ms.
    """
    size = len(text)
    if size > LONG_TEXT:
        return True
    if not widest:
        return False
    size += _STAR_COLUMN * max(widest, _WIDE) * text.count(b"*") + _COLUMN * text.count(b",")
    if size <= LONG_TEXT // 4:
        return False
    words = text.lower()
    relations = _RELATION * words.count(b"join") + _COLUMN * words.count(b"from")
    return size + relations + _CONDITION * words.count(b"and") > LONG_TEXT


class Cold(Exception):
    """A text is to be read beside the event loop before the message at hand is handled."""

    def __init__(self, text: str, values: tuple[Parameter, ...]) -> None:
        super().__init__()
        self.text = text
        self.values = values


class Detour(Exception):
    """``Legs.guarded`` is to be followed before the next message is read."""


class Unsettled(Exception):
    """What was asked in this batch may change what the message at hand means: it is handled once that is known."""


class Nothing:
    """An iterator over no chunks: what a staged statement yields."""

    def __aiter__(self) -> Nothing:
        return self

    async def __anext__(self) -> Chunk:
        raise StopAsyncIteration


NOTHING: Final = Nothing()


class PostgresExchange(Asked):
    """One statement (or none: housekeeping) of a PostgreSQL channel. The kinds of statements are subclasses.

    ``more``: the client's next message is at hand, so what is staged waits for it. ``until_ready``: follow it to
    ReadyForQuery. ``send`` is ``forward`` without the answers, for the channel that drives itself; ``ended`` tells then
    that the rest of the batch was staged with it, Sync included.
    """

    __slots__ = ("_leg", "_patience", "_until_ready", "ended")

    def __init__(self, leg: Legs, statement: Statement | None, more: bool = False, until_ready: bool = False) -> None:
        super().__init__(statement, more)
        self._leg = leg
        self.ended = False
        self._until_ready = until_ready
        self._patience = -1.0

    def stage(self, permit: Permit | None, ending: bool) -> bool:
        """Stage its messages upstream; returns whether to follow them to ReadyForQuery. ``ending``: with the rest of
        its batch, if that is at hand.
        """
        return self._until_ready

    def turn_down(self, denial: Denial) -> None:
        """Refuse, as far as the client is concerned: nothing is waited for."""
        raise AssertionError("only statements are refused")

    def settle(self) -> float:
        """For how many seconds a person may be waited for now."""
        return 0.0

    def weigh(self) -> None:
        """Settle for how long a person may be waited for: what the client sends from now on changes nothing there."""
        if self._patience < 0:
            self._patience = self.settle()

    @property
    def patience(self) -> float:
        self.weigh()
        return self._patience

    @property
    def interactive(self) -> bool:
        return self.patience > 0

    def send(self, permit: Permit | None, ending: bool) -> bool:
        """Stage, and unless more is at hand send all that is staged; whether to follow it to ReadyForQuery."""
        assert (permit is None) == (self.statement is None), "a statement goes nowhere without its permit"
        until_ready = self.stage(permit, ending)
        if self.more:
            return False
        self._leg.send()
        return until_ready

    def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        until_ready = self.send(permit, False)
        guarded = self._leg.guarded
        if guarded is not None:
            self._leg.guarded = None
            return guarded
        return NOTHING if self.more else self._leg.results(until_ready)

    async def relay(self, masked: Masked) -> None:
        await self._leg.relay(masked)

    async def refuse(self, denial: Denial) -> None:
        self.turn_down(denial)

    async def notify(self, message: str, detail: str = "") -> None:
        self._leg.notify(message, detail)

    async def gone(self) -> str:
        return await self._leg.gone()


@mypyc_attr(allow_interpreted_subclasses=True)  # those of tests
class Reader:
    """What the channel asks about texts; the conversation answers with the session's surroundings. No Protocol:
    compiled, a call of one costs ten times as much.
    """

    @property
    def stale(self) -> bool:
        raise AssertionError("whoever has it says what it does")

    @property
    def plan(self) -> Plan:
        raise AssertionError("whoever has it says what it does")

    @property
    def patience(self) -> float:
        raise AssertionError("whoever has it says what it does")

    def surroundings(self, text: str) -> str:
        raise AssertionError("whoever has it says what it does")

    def meet(self, words: str, text: bytes) -> None:
        """A text that is asked about next, with its bytes as the client sent them. Whoever can makes use of it."""

    def find(self, text: str) -> Finding:
        raise AssertionError("whoever has it says what it does")

    def spoil(self, number: int, reason: str) -> None:
        raise AssertionError("whoever has it says what it does")

    def declared(self, text: str, type_ids: tuple[int, ...]) -> str:
        raise AssertionError("whoever has it says what it does")

    def bound(self, number: int, prepared: Prepared) -> None:
        raise AssertionError("whoever has it says what it does")

    def minted(self, number: int) -> Mapping[str, str]:
        raise AssertionError("whoever has it says what it does")

    def effects(
        self, text: str, permit: Permit, number: int, minted: Mapping[str, str]
    ) -> tuple[Callable[[], None] | None, ...]:
        raise AssertionError("whoever has it says what it does")

    def cold(self, text: str, values: tuple[Parameter, ...], type_ids: tuple[int, ...]) -> bool:
        """Would it take long to say what this text does? For texts above LONG_TEXT, which :meth:`warm` reads then;
        with the values it is about to run with, or the types it is about to be prepared with.
        """
        raise AssertionError("whoever has it says what it does")

    async def warm(self, text: str, values: tuple[Parameter, ...], type_ids: tuple[int, ...]) -> None:
        """Read it beside the event loop. It may be cold again when the session has changed meanwhile."""
        raise AssertionError("whoever has it says what it does")

    async def refresh(self) -> None:
        raise AssertionError("whoever has it says what it does")

    async def catch_up(self) -> None:
        """In the midst of a batch of which all was answered: look at what its statements changed, if they did."""
        raise AssertionError("whoever has it says what it does")
