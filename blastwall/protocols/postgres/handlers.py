"""What each message of a client becomes: an exchange for the road, or something staged for the server.

After a refusal the server's own transaction must fail too: where one is open, or part of a batch is already on its way,
the gateway sends a message that cannot succeed and puts its refusal in the place of the server's error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any, Final

from blastwall.errors import ProtocolViolation
from blastwall.model import Chunk, Denial, Direction, Effect, Parameter, Permit, Statement, StatementKind
from blastwall.protocols.postgres import messages, requests
from blastwall.protocols.postgres.answers import COPY_DATA, IDLE, IN_TRANSACTION, Expected, Step
from blastwall.protocols.postgres.bound import Bounds
from blastwall.protocols.postgres.brief import briefs
from blastwall.protocols.postgres.exchange import PostgresExchange, Reader, Stage
from blastwall.protocols.postgres.legs import POISON, POISON_NAME, Legs
from blastwall.protocols.postgres.names import Portal, Prepared, TooMany
from blastwall.protocols.postgres.net import Marking
from blastwall.protocols.postgres.refusal import refusal
from blastwall.protocols.postgres.requests import Bind, Query, Sync
from blastwall.protocols.postgres.skim import CHUNK_BYTES

Handler = Callable[["Handlers", Any], PostgresExchange | None]


class Detour(Exception):
    """``Legs.guarded`` is to be followed before the next message is read."""


class Handlers:
    """Reads the client's messages of one connection and knows what each asks for. ``ended``: it will send no more."""

    def __init__(self, legs: Legs, reader: Reader) -> None:
        self._legs = legs
        self._reader = reader
        self._names = legs.answers.names
        self._number = 0
        self._wrote = False
        self.ended = False
        self._guarding = False  # the query that is being staged runs under its guard already
        self._bounds = Bounds(legs, reader.find, self._answer_query, self._fail)
        legs.copy_event = self.copy_event

    @property
    def wrote(self) -> bool:
        """Whether its open transaction may have changed what no other connection sees yet."""
        return self._wrote

    def handle(self, event: requests.Event) -> PostgresExchange | None:
        """What the message asks for, None when it is staged or answered. Raises ProtocolViolation and Detour."""
        # The frequent ones without the table, and by their own names: through their module each costs a look-up.
        if type(event) is Query:
            return self._query(event)
        if type(event) is Bind:
            return self._bind(event)
        if type(event) is Sync:
            return self._sync(event)
        return HANDLERS[type(event)](self, event)

    def next_event(self) -> requests.Event | None:
        """The client's next message, None when none is complete. Raises ProtocolViolation: the connection ends."""
        legs = self._legs
        try:
            event = legs.down.next_event()
        except requests.MessageViolation as violation:
            error = messages.error_response("ERROR", violation.code, str(violation))
            if violation.extended:
                self._fail(error, 0)
            else:
                self._answer_query(error, 0)
            return None
        legs.down_wire.consumed()
        if self._wrote and legs.answers.at_rest and legs.answers.status == IDLE:
            self._wrote = False  # the locks went with the transaction, which may have been an implicit one
        if event is not None and legs.answers.copying_in and type(event) not in COPY_EVENTS:
            raise ProtocolViolation(
                f"unexpected message {type(event).__name__} during COPY from stdin: send CopyDone or CopyFail first",
                code="08P01",
            )
        return event

    # -- statements

    def _statement(self, text: bytes, kind: StatementKind, parameters: tuple[Parameter, ...], name: str) -> Statement:
        self._number += 1
        try:
            words = text.decode("utf-8")
        except UnicodeDecodeError as fault:
            words = text.decode("utf-8", "backslashreplace")
            self._reader.spoil(self._number, f"the text is not valid UTF-8 (byte {fault.start}): send UTF-8")
        return Statement(words, kind, parameters, self._reader.surroundings(words), self._number, name)

    def _query(self, event: requests.Query) -> PostgresExchange:
        statement = self._statement(event.text, StatementKind.EXECUTE, (), "")
        legs = self._legs

        def stage(permit: Permit | None) -> bool:
            assert permit is not None
            if permit.guard is not None and not self._guarding:
                self._guard_query(statement, permit, stage)
                return True
            self._names.unprepare("")
            self._names.close("")
            self._note_writes(statement.text)
            rewritten = permit.upstream_text != statement.text
            minted = self._reader.minted(statement.number)
            effects = self._reader.effects(statement.text, permit, statement.number, minted)
            legs.stage(messages.query(permit.upstream_text.encode() + legs.signature))
            marking = None
            if legs.answers.net is not None:
                found = self._reader.find(statement.text)
                marking = Marking(briefs(found.statements, found.tree))
            legs.answers.expect(Expected(Step.QUERY, statement.number, effects, rewritten=rewritten, marking=marking))
            return True

        def refuse(denial: Denial) -> None:
            self._answer_query(refusal(denial), statement.number)

        return PostgresExchange(legs, statement, stage, refuse, weigh=self._patience)

    def _guard_query(self, statement: Statement, permit: Permit, stage: Stage) -> None:
        self._legs.guarded = self._bounds.query(statement, permit, lambda: self._stage_guarded(stage, permit))

    def _stage_guarded(self, stage: Stage, permit: Permit) -> None:
        """Stage a query whose guard is on its way: this once, whatever comes of it."""
        self._guarding = True
        try:
            stage(permit)
        finally:
            self._guarding = False

    def _parse(self, event: requests.Parse) -> PostgresExchange | None:
        name = event.name.decode("utf-8", "backslashreplace")
        if name and name in self._names.prepared:
            self._fail_with("42P05", f'prepared statement "{name}" already exists')
            return None
        statement = self._statement(event.text, StatementKind.PREPARE, (), name)
        if event.type_ids and (reason := self._reader.declared(statement.text, event.type_ids)):
            self._reader.spoil(statement.number, reason)
        legs = self._legs

        def stage(permit: Permit | None) -> bool:
            assert permit is not None
            found = self._reader.find(statement.text)
            upstream = self._names.mint(name)
            prepared = Prepared(name, upstream, statement.text, found.facts, event.type_ids, permit.upstream_text)
            prepared.masked, prepared.treatment = found.masked, found.treatment
            if legs.answers.net is not None:
                prepared.own = next(iter(briefs(found.statements, found.tree)), None)
            prepared.minted = self._reader.minted(statement.number)
            try:
                self._names.prepare(prepared)
            except TooMany as fault:
                raise ProtocolViolation(str(fault), code="53400") from None

            def failed() -> None:
                if self._names.prepared.get(name) is prepared:
                    self._names.unprepare(name)

            text = permit.upstream_text.encode() + legs.signature
            legs.stage(messages.parse(upstream.encode(), text, event.type_ids))
            rewritten = permit.upstream_text != statement.text
            marking = Marking((prepared.brief,)) if legs.answers.net is not None else None
            legs.answers.expect(
                Expected(Step.PARSE, statement.number, failed=failed, rewritten=rewritten, marking=marking)
            )
            return False

        return self._extended(statement, stage)

    def _bind(self, event: requests.Bind) -> PostgresExchange | None:
        source = event.statement.decode("utf-8", "backslashreplace")
        client = event.portal.decode("utf-8", "backslashreplace")
        prepared = self._names.prepared.get(source)
        if prepared is None:
            self._fail_with("26000", f'prepared statement "{source}" does not exist')
            return None
        if client and client in self._names.portals:
            self._fail_with("42P03", f'cursor "{client}" already exists')
            return None
        self._number += 1
        around = self._reader.surroundings(prepared.text)
        values = parameters(event, prepared.type_ids, prepared.treatment.parameters)
        formats = bytes(event.result_formats)
        statement = Statement(prepared.text, StatementKind.EXECUTE, values, around, self._number, source, formats)
        legs = self._legs
        self._reader.bound(statement.number, prepared)

        def stage(permit: Permit | None) -> bool:
            assert permit is not None
            self._note_writes(statement.text)
            upstream = self._names.mint(client)
            effects = self._reader.effects(statement.text, permit, statement.number, prepared.minted)
            facts = self._reader.find(statement.text).facts
            portal = Portal(client, upstream, facts, permit, statement.number, effects, prepared.treatment)
            portal.brief, portal.prepared, portal.formats = prepared.brief, prepared, event.result_formats
            if permit.guard is not None:
                portal.asked = statement
            try:
                self._names.open(portal)
            except TooMany as fault:
                raise ProtocolViolation(str(fault), code="53400") from None

            def failed() -> None:
                if self._names.portals.get(client) is portal:
                    self._names.close(client)

            legs.stage(messages.rebind(upstream.encode(), prepared.upstream.encode(), event.raw))
            marking = Marking((portal.brief,)) if legs.answers.net is not None else None
            legs.answers.expect(
                Expected(Step.BIND, statement.number, failed=failed, rewritten=prepared.rewritten, marking=marking)
            )
            return False

        return self._extended(statement, stage)

    def _extended(self, statement: Statement, stage: Stage) -> PostgresExchange:
        def refuse(denial: Denial) -> None:
            if statement.kind is StatementKind.PREPARE and not statement.name:
                self._names.unprepare("")  # a failed Parse leaves no unnamed statement behind
            self._fail(refusal(denial), statement.number)

        weigh = self._patience if statement.kind is StatementKind.EXECUTE else None
        return PostgresExchange(self._legs, statement, stage, refuse, more=self._legs.down.ready, weigh=weigh)

    # -- housekeeping: messages about names that exist only because a permit made them

    def _describe(self, event: requests.Describe) -> None:
        name = event.name.decode("utf-8", "backslashreplace")
        legs = self._legs
        if event.kind == b"S":
            prepared = self._names.prepared.get(name)
            if prepared is None:
                self._fail_with("26000", f'prepared statement "{name}" does not exist')
            else:
                legs.stage(messages.describe(b"S", prepared.upstream.encode()))
                marking = Marking((prepared.brief,), prepared=prepared) if legs.answers.net is not None else None
                legs.answers.expect(Expected(Step.DESCRIBE_STATEMENT, rewritten=prepared.rewritten, marking=marking))
            return
        portal = self._names.portals.get(name)
        if portal is None:
            self._fail_with("34000", f'portal "{name}" does not exist')
        else:
            self._ask_columns(portal, hidden=False)

    def _ask_columns(self, portal: Portal, hidden: bool = True) -> None:
        """Describe a portal; ``hidden`` for the gateway's own sake: rows are masked by what the server says."""
        legs = self._legs
        marking = Marking((portal.brief,), portal) if legs.answers.net is not None else None
        legs.stage(messages.describe(b"P", portal.upstream.encode()))
        legs.answers.expect(Expected(Step.DESCRIBE_PORTAL, portal.number, hidden=hidden, marking=marking))
        portal.described = True

    def _execute(self, event: requests.Execute) -> None:
        name = event.portal.decode("utf-8", "backslashreplace")
        portal = self._names.portals.get(name)
        if portal is None:
            self._fail_with("34000", f'portal "{name}" does not exist')
            return
        if portal.permit.guard is not None:
            self._guard_execute(portal, event.max_rows)
            raise Detour
        self._stage_execute(portal, event.max_rows)

    def _guard_execute(self, portal: Portal, max_rows: int) -> None:
        self._legs.guarded = self._bounds.execute(portal, max_rows, lambda most: self._stage_execute(portal, most))

    def _stage_execute(self, portal: Portal, max_rows: int) -> None:
        legs = self._legs
        marking = None
        if legs.answers.net is not None:
            marking = Marking((portal.brief,), portal)
            if not portal.described and (portal.brief.touches or not portal.known):
                self._ask_columns(portal)
        legs.stage(messages.execute(portal.upstream.encode(), max_rows))
        legs.answers.expect(Expected(Step.EXECUTE, portal.number, portal.effects, marking=marking))

    def _close(self, event: requests.Close) -> None:
        name = event.name.decode("utf-8", "backslashreplace")
        legs = self._legs
        names = self._names
        # The server answers CloseComplete for a name it does not know; one that is never minted stands for those.
        upstream = b"blastwall_none"
        failed: Callable[[], None] | None = None
        if event.kind == b"S":
            prepared = names.prepared.get(name)
            if prepared is not None:
                upstream = prepared.upstream.encode()
                names.unprepare(name)
                failed = lambda: names.prepare(prepared)  # noqa: E731 - skipped by the server: it still exists
        else:
            portal = names.portals.get(name)
            if portal is not None:
                upstream = portal.upstream.encode()
                names.close(name)
                failed = lambda: names.open(portal)  # noqa: E731 - as above
        legs.stage(messages.close(event.kind, upstream))
        legs.answers.expect(Expected(Step.CLOSE, failed=failed))

    def _sync(self, event: requests.Sync) -> PostgresExchange | None:
        if self._legs.answers.copying_in:
            return None  # as the server does

        def stage(permit: Permit | None) -> bool:
            self._legs.stage(messages.SYNC)
            self._legs.answers.expect(Expected(Step.SYNC))
            return True

        return PostgresExchange(self._legs, None, stage)

    def _flush(self, event: requests.Flush) -> None:
        if not self._legs.answers.copying_in:
            self._legs.stage(messages.FLUSH)

    def copy_event(self) -> None:
        """Read one client message while the server waits for COPY data."""
        try:
            event = self.next_event()
            if event is not None:
                self.handle(event)
        except ProtocolViolation as violation:
            self.end_with(violation)

    def _copy_data(self, event: requests.CopyData) -> None:
        if self._legs.answers.copying_in:  # elsewhere the server drops it silently, and so do we
            number = self._legs.answers.number
            pieces = [event.data]
            size = len(event.data)
            while size < CHUNK_BYTES and self._legs.down.next_is(COPY_DATA):
                more = self._legs.down.next_event()
                assert isinstance(more, requests.CopyData)
                pieces.append(more.data)
                size += len(more.data)
            self._legs.local.append(Chunk(b"".join(pieces), number, direction=Direction.TO_TARGET))

    def _copy_done(self, event: requests.CopyDone) -> None:
        if self._legs.answers.copying_in:
            self._legs.answers.copying_in = False
            self._legs.up_wire.write(messages.COPY_DONE)

    def _copy_fail(self, event: requests.CopyFail) -> None:
        if self._legs.answers.copying_in:
            self._legs.answers.copying_in = False
            self._legs.up_wire.write(messages.copy_fail(event.message))

    def _terminate(self, event: requests.Terminate) -> None:
        self.ended = self._legs.answers.fatal = True

    def end_with(self, violation: ProtocolViolation) -> None:
        """The client's stream makes no sense any more: say so and end."""
        error = messages.error_response("FATAL", violation.code, str(violation))
        self._legs.local.append(Chunk(error, error=violation.code))
        self.ended = self._legs.answers.fatal = True

    def _function_call(self, event: requests.FunctionCall) -> None:
        raise ProtocolViolation(
            f"blastwall: calls by function number ({event.function_id}) are not permitted: use SELECT", code="42501"
        )

    # -- refusals

    def _fail_with(self, code: str, message: str) -> None:
        self._fail(messages.error_response("ERROR", code, message), 0)

    def _fail(self, error: bytes, number: int) -> None:
        """An error inside an extended batch: the client is to send Sync, and everything before it is discarded."""
        legs = self._legs
        if legs.answers.status == IDLE and legs.answers.at_rest:
            legs.local.append(Chunk(error, number, error="refused"))
            legs.answers.skipping = True
        else:
            legs.stage(messages.parse(POISON_NAME, POISON, ()))
            legs.answers.expect(Expected(Step.POISON, number, replacement=error))
        legs.down.skip_to_sync()

    def _answer_query(self, error: bytes, number: int) -> None:
        """An error in the place of a simple query's answer."""
        legs = self._legs
        self._names.unprepare("")
        if legs.answers.status == IDLE and legs.answers.at_rest:
            legs.local.append(Chunk(error + messages.ready_for_query(b"I"), number, error="refused"))
        else:
            legs.stage(messages.query(POISON))
            legs.answers.expect(Expected(Step.QUERY, number, replacement=error))

    def _patience(self) -> float:
        """For how long this statement may wait for a person (seconds; 0: not at all).

        Only a single, unpipelined one may, and only while its transaction has locked nothing.
        """
        answers = self._legs.answers
        if self._wrote or answers.status not in (IDLE, IN_TRANSACTION):
            return 0.0
        if not answers.preparing_only or self._legs.down.holds(STATEMENTS):
            return 0.0
        return self._reader.patience

    def _note_writes(self, text: str) -> None:
        if self._reader.find(text).facts.effect not in (Effect.SESSION, Effect.READ):
            self._wrote = True


def parameters(event: requests.Bind, type_ids: tuple[int, ...], withheld: Set[int]) -> tuple[Parameter, ...]:
    """Bind's values with their formats and the types that Parse named (0 where it named none); ``withheld`` are the
    numbers (from 1) of those that no recording holds.
    """
    values = event.parameters
    if not values:
        return ()
    formats = event.formats
    each = len(formats) == len(values)
    binary = not each and len(formats) > 0 and formats[0] == 1
    known = len(type_ids)
    found: list[Parameter] = []
    for number in range(len(values)):  # zip and a generator cost more than all the rest when compiled
        if each:
            binary = formats[number] == 1
        type_id = type_ids[number] if number < known else 0
        found.append(Parameter(values[number], binary, type_id, bool(withheld) and number + 1 in withheld))
    return tuple(found)


#: Message types that ask for something more: Query, Parse, Bind, FunctionCall.
STATEMENTS: Final = b"QPBF"

#: What a client may send while the server waits for its COPY data; the server ignores Flush and Sync there.
COPY_EVENTS: Final = frozenset(
    {requests.CopyData, requests.CopyDone, requests.CopyFail, requests.Flush, requests.Sync, requests.Terminate}
)

HANDLERS: Final[Mapping[type, Handler]] = {
    requests.Query: Handlers._query,
    requests.Parse: Handlers._parse,
    requests.Bind: Handlers._bind,
    requests.Describe: Handlers._describe,
    requests.Execute: Handlers._execute,
    requests.Close: Handlers._close,
    requests.Sync: Handlers._sync,
    requests.Flush: Handlers._flush,
    requests.CopyData: Handlers._copy_data,
    requests.CopyDone: Handlers._copy_done,
    requests.CopyFail: Handlers._copy_fail,
    requests.Terminate: Handlers._terminate,
    requests.FunctionCall: Handlers._function_call,
}
