"""Both legs of a PostgreSQL connection: staging and sending towards the server, runs to chunks towards the client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Final

from blastwall.errors import ClientFault, UpstreamFault
from blastwall.model import Chunk, Direction, Masked, Sheet
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.answers import COMPLETE, COPY_DATA, ERROR, NOTICE, ROW, Answers, Expected, Step
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.reply import Reply
from blastwall.protocols.postgres.skim import CHUNK_BYTES, skim
from blastwall.protocols.postgres.upstream import Run, Upstream
from blastwall.wire.wire import Signal, Wire

if TYPE_CHECKING:
    from blastwall.protocols.postgres.keeping import Keeper

#: The statement and portal of the gateway's own questions.
ASKING = b"blastwall_asks"
_ASK = b"".join(
    (
        messages.bind(ASKING, ASKING),
        messages.execute(ASKING),
        messages.close(b"P", ASKING),
        messages.close(b"S", ASKING),
        messages.SYNC,
    )
)
#: No PostgreSQL parses this: the server's transaction fails with it. It says who did it, for the database's own log.
POISON: Final = b"blastwall: refused a statement of this transaction"
POISON_NAME: Final = b"blastwall_refused"
#: Bytes of rows that answer one of the gateway's own questions: the catalogue of tens of thousands of tables has 20 MB.
MOST_ASKED: Final = 256 * 1024 * 1024
_TO_AGENT: Final = Direction.TO_AGENT
#: A client that takes nothing for this long while it is owed bytes has gone (seconds).
STALL_SECONDS: Final = 900.0


Note = Callable[[str, Mapping[str, object]], None]


def _silent(name: str, fields: Mapping[str, object]) -> None:
    """Before there is a recording nobody listens."""


class ClientGone(ClientFault):
    """The client closed its connection."""


class Legs:
    """Both wires of a connection with their engines: staging, sending, and turning runs into chunks."""

    def __init__(
        self, down: Downstream, down_wire: Wire, up: Upstream, up_wire: Wire, signal: Signal, answers: Answers
    ) -> None:
        self.down = down
        self.down_wire = down_wire
        self.up = up
        self.up_wire = up_wire
        self.signal = signal
        self.answers = answers
        self.local: list[Chunk] = []  # one or two: a queue of its own kind costs more to look at
        self.cancelled = False
        self.waiting = False  # the client's statement is held for a person
        self.asking = False  # the gateway asks about the database: nothing of the client's runs
        self.unsettled = False  # of an open batch something was asked to run that may change what texts mean
        self.guarded: AsyncIterator[Chunk] | None = None  # what the next exchange has instead of its results
        self.note: Note = _silent
        self.keeper: Keeper | None = None  # None: what approved changes touch is not kept
        self.signature = b""  # a comment behind each statement, for the database's log
        self.copy_event: Callable[[], None] | None = None
        self._staged = b""  # one piece is what most sends have
        self._further: list[bytes] = []
        self._held: Run | None = None

    # -- towards the server

    def stage(self, data: bytes) -> None:
        """Put a message into the next send."""
        if len(self._staged) == 0:
            self._staged = data
        else:
            self._further.append(data)

    @property
    def staged(self) -> bool:
        return len(self._staged) > 0

    def send(self) -> None:
        """Send what is staged, as one write."""
        data = self._staged
        if len(data) == 0:
            return
        self._staged = b""
        if len(self._further) > 0:
            self._further.insert(0, data)
            data = b"".join(self._further)
            self._further = []
        self.up_wire.write(data)

    # -- towards the client

    @property
    def outgoing(self) -> bool:
        """Is there anything for the client?"""
        return self.up.ready or self._held is not None or len(self.local) > 0

    def results(self, until_ready: bool) -> Results:
        """Chunks as they come; with ``until_ready`` until no ReadyForQuery is owed, else those at hand."""
        return Results(self, until_ready)

    def settled(self, until_ready: bool) -> bool:
        """Is the exchange over, now that nothing is at hand? Raises when what it waits for cannot come any more."""
        answers = self.answers
        if not until_ready or not answers.ready_owed or answers.fatal:
            return True
        if self.down_wire.closed and not (answers.copying_in and self.down.ready):
            raise ClientGone("the client closed its connection while it was owed an answer")
        return False

    def check(self) -> None:
        """Raise when a leg is gone and nothing of it is left to read."""
        down, up = self.down_wire, self.up_wire
        if down.error is not None:
            raise down.error
        if up.error is not None:
            raise up.error
        if up.closed and not self.up.ready:
            raise UpstreamFault("the database closed the connection", code="08006")
        if down.closed and not self.down.ready:
            raise ClientGone("the client closed its connection")

    def collect(self) -> Chunk | None:
        """Digest the runs at hand into one chunk of about CHUNK_BYTES that answers one statement."""
        if len(self.local) > 0:
            return self.local.pop(0)
        up = self.up
        answers = self.answers
        if self._held is None:
            if up.silent:
                return None
            skimmed = skim(up, answers)
            if skimmed is not None:
                self.up_wire.consumed()
                return skimmed
        masks = answers.net is not None
        sheet: Sheet | None = None
        parts: list[bytes] = []
        size = rows = number = 0
        tag = error = ""
        while size < CHUNK_BYTES:
            run = self._held
            if run is not None:
                self._held = None
            else:
                event = up.next_event()
                if event is None:
                    break
                assert isinstance(event, Run)
                run = event
            kind = run.type
            if kind in (ROW, COMPLETE, ERROR, NOTICE, COPY_DATA):
                owner = answers.number
                # A chunk tells of one completion, or the trail would know of a text's last statement only.
                if (number and owner != number) or (tag and parts and kind in (COMPLETE, ERROR)):
                    self._held = run
                    break
                number = owner
            if masks and kind in (ROW, COPY_DATA):
                own = answers.sheet
                if own is not None:
                    if sheet is not None and sheet is not own:
                        self._held = run
                        break
                    sheet = own
            data = answers.digest(run)
            if answers.refused:
                error = self._refused()
            if kind in (ROW, COPY_DATA):
                rows += run.count
            elif kind == COMPLETE:
                tag = answers.tag
            elif kind == ERROR:
                error = answers.error
                if answers.skipping:
                    self.down.skip_to_sync()
            if data:
                parts.append(data)
                size += len(data)
        self.up_wire.consumed()
        if not parts:
            return None
        if masks and sheet is None and answers.net is not None:
            sheet = answers.net.talk
        return Chunk(parts[0] if len(parts) == 1 else b"".join(parts), number, rows, tag, error, sheet=sheet)

    def _refused(self) -> str:
        """The client was told that a result is withheld: its batch ends there, and the server's must too."""
        answers = self.answers
        answers.refused = False
        if answers.skipping:
            self.stage(messages.parse(POISON_NAME, POISON, ()))
            answers.expect(Expected(Step.POISON, hidden=True))
            self.down.skip_to_sync()
        return answers.error

    async def relay(self, masked: Masked) -> None:
        """Send a masked chunk where it belongs and wait while that side takes no more."""
        wire = self.pass_on(masked)
        if wire is not None:
            await self.unchoked(wire)

    def pass_on(self, masked: Masked) -> Wire | None:
        """Send a masked chunk where it belongs; the wire that takes no more then, if so: wait for :meth:`unchoked`."""
        if masked.direction is _TO_AGENT:
            wire = self.down_wire
            wire.write(masked.data)
        else:
            wire = self.up_wire
            wire.write(messages.copy_data(masked.data))
        return wire if wire.choked else None

    async def unchoked(self, wire: Wire) -> None:
        """Wait until the wire takes bytes again. Raises when a leg is gone, TimeoutError after STALL_SECONDS."""
        while wire.choked:
            self.check()
            await self.signal.wait_for(STALL_SECONDS)

    def notify(self, message: str, detail: str) -> None:
        """A NOTICE outside the results; only while the client waits for its answer."""
        self.down_wire.write(messages.notice_response("NOTICE", "00000", message, detail=detail or None))

    async def gone(self) -> str:
        """Wait until the client no longer waits for its held statement."""
        self.waiting = True
        try:
            return await self._gone()
        finally:
            self.waiting = False

    async def _gone(self) -> str:
        searched = 0  # nothing is read meanwhile, and there may be 100,000 messages
        while True:
            if self.cancelled:
                self.cancelled = False
                return "cancelled"
            searched = self.down.search(b"X", searched)
            if self.down_wire.closed or searched < 0:
                return "disconnected"
            if self.up_wire.closed:
                return "the database closed the connection"
            await self.signal.wait()

    # -- the gateway's own questions

    async def ask(self, sql: str) -> list[tuple[bytes | None, ...]]:
        """Run the gateway's own query on the session's connection; the client sees nothing of it.

        Under names of its own: a simple query would destroy the client's unnamed statement. Only while nothing is owed
        and no batch is open. Raises UpstreamFault when the server answers with an error, or with more than MOST_ASKED.
        """
        assert self.answers.at_rest and not self._staged, "the gateway asks between exchanges"
        reply = Reply(MOST_ASKED)
        problem: UpstreamFault | None = None
        for step in (Step.CLOSE, Step.PARSE, Step.BIND, Step.EXECUTE, Step.CLOSE, Step.CLOSE, Step.SYNC):
            self.answers.expect(Expected(step, hidden=True))
        # Closed first: one that was cancelled has left it behind.
        self.up_wire.write(messages.close(b"S", ASKING) + messages.parse(ASKING, sql.encode()) + _ASK)
        while not self.answers.quiescent:
            run = self.up.next_event()
            if run is None:
                self.up_wire.consumed()
                self.check()
                await self.signal.wait()
                continue
            assert isinstance(run, Run)
            if run.type == ROW:
                reply.take(run)
            elif run.type == ERROR:
                fields = replies.error_fields(run.data)
                problem = UpstreamFault(
                    f"the database refused the gateway's own query: {fields.get('M', '')}", code=fields.get("C", "")
                )
            spoken = self.answers.digest(run)
            if spoken:
                self.local.append(Chunk(spoken))
        if problem is not None:
            raise problem
        if reply.too_much:
            raise UpstreamFault(f"the database answers the gateway's own query with more than {MOST_ASKED} bytes")
        return reply.rows


class Results:
    """What :meth:`Legs.results` yields: an iterator of its own, because generators that await cannot be compiled."""

    def __init__(self, legs: Legs, until_ready: bool) -> None:
        self._legs = legs
        self._until_ready = until_ready

    def __aiter__(self) -> Results:
        return self

    async def __anext__(self) -> Chunk:
        legs = self._legs
        while True:
            chunk = legs.collect()
            if chunk is not None:
                return chunk
            if legs.settled(self._until_ready):
                raise StopAsyncIteration
            if legs.answers.copying_in and legs.down.ready and legs.copy_event is not None:
                legs.copy_event()
                continue
            legs.check()
            await legs.signal.wait()
