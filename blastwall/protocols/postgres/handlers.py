"""What each message of a client becomes: an exchange for the road, or something staged for the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from blastwall.errors import ProtocolViolation
from blastwall.masking.plan import UNTOUCHED
from blastwall.model import Chunk, Effect, Permit, Statement, StatementKind
from blastwall.protocols.postgres import inflow, messages, requests
from blastwall.protocols.postgres.answers import IDLE, IN_TRANSACTION, Expected, Step
from blastwall.protocols.postgres.bound import Bounds
from blastwall.protocols.postgres.brief import briefs
from blastwall.protocols.postgres.exchange import LONG_TEXT, Cold, Detour, PostgresExchange, Reader, Unsettled
from blastwall.protocols.postgres.failing import Failing
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.names import Portal, Prepared, TooMany, Unmade
from blastwall.protocols.postgres.net import Marking
from blastwall.protocols.postgres.recent import Recent
from blastwall.protocols.postgres.requests import Bind, Describe, Execute, Parse, Query, Sync
from blastwall.protocols.postgres.statements import (
    NONE_WITHHELD,
    BindExchange,
    ParseExchange,
    QueryExchange,
    SyncExchange,
    parameters,
)

Handler = Callable[["Handlers", Any], PostgresExchange | None]

# By names of this module's own: through an enum or another module each costs a look-up.
_EXECUTE: Final = StatementKind.EXECUTE
_PREPARE: Final = StatementKind.PREPARE
_READ: Final = Effect.READ
_SESSION: Final = Effect.SESSION
_UNTOUCHED: Final = UNTOUCHED
_END: Final = messages.END
_END_DESCRIBED: Final = messages.END_DESCRIBED
#: Messages of an end of a batch that asks for the columns first: see ``Downstream.take_end``.
DESCRIBED: Final = 3


class Handlers:
    """Reads the client's messages of one connection and knows what each asks for. ``ended``: it will send no more."""

    def __init__(self, legs: Legs, reader: Reader) -> None:
        self._legs = legs
        self._reader = reader
        self._names = legs.answers.names
        self._number = 0
        self.wrote = False  # its open transaction may have changed what no other connection sees yet
        self.ended = False
        self.patient = True  # long texts may be read beside the event loop first
        self._guarding = False  # the query that is being staged runs under its guard already
        self._sync_exchange = SyncExchange(legs)
        self._recent = Recent()
        self.failing = Failing(legs, reader.find)
        self._bounds = Bounds(legs, reader.find, self.failing.answer_query, self.failing.fail)
        legs.copy_event = self.copy_event

    def handle(self, event: requests.Event) -> PostgresExchange | None:
        """What the message asks for, None: staged or answered. Raises ProtocolViolation, Detour, Cold, Unsettled."""
        # The frequent ones without the table, and by their own names: through their module each costs a look-up.
        if type(event) is Query:
            return self._query(event)
        if type(event) is Bind:
            return self._bind(event)
        if type(event) is Sync:
            return self._sync(event)
        if type(event) is Parse:
            return self._parse(event)
        if type(event) is Describe:
            self._describe(event)
            return None
        if type(event) is Execute:
            self._execute(event)
            return None
        return HANDLERS[type(event)](self, event)

    def next_event(self) -> requests.Event | None:
        """The client's next message, None when none is complete. Raises ProtocolViolation: the connection ends."""
        legs = self._legs
        try:
            event = legs.down.next_event()
        except requests.MessageViolation as violation:
            # An error in its place would wait until the copy is over, and so would the client; and a Sync that is none
            # leaves open whether the batch that is under way has ended.
            if legs.answers.copying_in or (violation.kind == b"S" and self._in_batch):
                raise ProtocolViolation(str(violation), code=violation.code) from None
            error = messages.error_response("ERROR", violation.code, str(violation))
            if violation.extended:
                self.failing.fail(error, 0)
            else:
                self.failing.answer_query(error, 0)
            return None
        legs.down_wire.consumed()
        if self.wrote and legs.answers.at_rest and legs.answers.status == IDLE:
            self.wrote = False  # the locks went with the transaction, which may have been an implicit one
        if event is not None and legs.answers.copying_in:
            inflow.judge(event)
        return event

    @property
    def _in_batch(self) -> bool:
        """Has an extended batch begun whose Sync is still to come?"""
        answers = self._legs.answers
        return answers.skipping or not answers.at_rest

    # -- statements

    def _spoiled(self, text: bytes) -> str:
        """What is written down for bytes that are no text: the statement that comes next is refused for them."""
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as fault:
            self._reader.spoil(self._number + 1, f"the text is not valid UTF-8 (byte {fault.start}): send UTF-8")
        return text.decode("utf-8", "backslashreplace")

    def _settle(self) -> None:
        """Raises Unsettled while the batch is open whose statements may change what the next one means."""
        if not self._legs.answers.at_rest:
            raise Unsettled
        self._legs.unsettled = False

    def _statement(self, words: str, kind: StatementKind, name: str) -> Statement:
        if self._legs.unsettled:
            self._settle()
        self._number += 1
        return Statement(words, kind, (), self._reader.surroundings(words), self._number, name)

    def _query(self, event: requests.Query) -> PostgresExchange:
        text = event.text
        words = self._recent.words(text)
        if words is None:
            return QueryExchange(self, self._legs, self._statement(self._spoiled(text), _EXECUTE, ""), b"")
        self._reader.meet(words, text)
        return QueryExchange(self, self._legs, self._statement(words, _EXECUTE, ""), event.frame)

    def stage_query(self, statement: Statement, permit: Permit, exchange: QueryExchange) -> bool:
        """Put a simple query into the next send; returns whether to follow it to ReadyForQuery."""
        legs = self._legs
        if permit.guard is not None and not self._guarding:
            self._guard_query(statement, permit, exchange)
            return True
        text = statement.text
        number = statement.number
        self._names.unprepare("")
        self._names.close("")
        found = self._reader.find(text)
        self._note_writes(found.facts.effect)
        minted = self._reader.minted(number)
        effects = self._reader.effects(text, permit, number, minted)
        upstream = permit.upstream_text
        rewritten = upstream is not text and upstream != text
        signature = legs.signature
        frame = exchange.frame
        if rewritten or len(signature) > 0 or len(frame) == 0:
            words = upstream.encode()
            frame = messages.query(words + signature if len(signature) > 0 else words)
        legs.stage(frame)
        marking = None
        if legs.answers.net is not None:
            marking = Marking(briefs(found, text))
        legs.answers.ask(Step.QUERY, number, effects, None, rewritten, marking)
        return True

    def _guard_query(self, statement: Statement, permit: Permit, exchange: QueryExchange) -> None:
        self._legs.guarded = self._bounds.query(
            statement, permit, lambda: self._stage_guarded(statement, permit, exchange)
        )

    def _stage_guarded(self, statement: Statement, permit: Permit, exchange: QueryExchange) -> None:
        """Stage a query whose guard is on its way: this once, whatever comes of it."""
        self._guarding = True
        try:
            self.stage_query(statement, permit, exchange)
        finally:
            self._guarding = False

    def _parse(self, event: requests.Parse) -> PostgresExchange | None:
        name = event.name.decode("utf-8", "backslashreplace") if event.name else ""
        if name and name in self._names.prepared:
            self.failing.fail_with("42P05", f'prepared statement "{name}" already exists')
            return None
        words = self._recent.words(event.text)
        if words is None:
            words = self._spoiled(event.text)
        else:
            self._reader.meet(words, event.text)
        statement = self._statement(words, _PREPARE, name)
        type_ids = event.type_ids
        if type_ids and (reason := self._reader.declared(statement.text, type_ids)):
            self._reader.spoil(statement.number, reason)
        return ParseExchange(self, self._legs, statement, type_ids)

    def stage_parse(self, statement: Statement, type_ids: tuple[int, ...], permit: Permit) -> None:
        """Put a Parse into the next send. Raises ProtocolViolation when the connection holds too many names."""
        legs = self._legs
        text = statement.text
        name = statement.name
        found = self._reader.find(text)
        upstream = self._names.mint(name)
        prepared = Prepared(name, upstream, text, found.facts, type_ids, permit.upstream_text)
        prepared.masked = found.masked
        prepared.treatment = found.treatment
        marking = None
        if legs.answers.net is not None:
            prepared.own = next(iter(briefs(found, text)), None)
            marking = Marking((prepared.brief,))
        prepared.minted = self._reader.minted(statement.number)
        try:
            self._names.prepare(prepared)
        except TooMany as fault:
            raise ProtocolViolation(str(fault), code="53400") from None
        legs.stage(self._recent.parse(upstream, permit.upstream_text, type_ids, legs.signature))
        failed = Unmade(self._names, prepared)
        legs.answers.ask(Step.PARSE, statement.number, (), failed, prepared.rewritten, marking)

    def _bind(self, event: requests.Bind) -> PostgresExchange | None:
        names = self._names
        prepared = names.named(event.statement)
        if prepared is None:
            source = event.statement.decode("utf-8", "backslashreplace")
            self.failing.fail_with("26000", f'prepared statement "{source}" does not exist')
            return None
        client = event.portal.decode("utf-8", "backslashreplace") if event.portal else ""
        if client and client in names.portals:
            self.failing.fail_with("42P03", f'cursor "{client}" already exists')
            return None
        if self._legs.unsettled:
            self._settle()
        reader = self._reader
        text = prepared.text
        treatment = prepared.treatment
        withheld = NONE_WITHHELD if treatment is _UNTOUCHED else treatment.parameters
        values = parameters(event, prepared.type_ids, withheld)
        if len(text) > LONG_TEXT and self.patient and reader.cold(text, values, ()):
            raise Cold(text, values)
        self._number += 1
        number = self._number
        around = reader.surroundings(text)
        formats = bytes(event.result_formats) if event.result_formats else b""
        statement = Statement(text, _EXECUTE, values, around, number, prepared.client, formats)
        reader.bound(number, prepared)
        return BindExchange(self, self._legs, statement, event, prepared, client)

    def stage_bind(
        self, statement: Statement, event: requests.Bind, prepared: Prepared, client: str, permit: Permit, ending: bool
    ) -> bool:
        """Put a Bind into the next send, and with ``ending`` the rest of its batch, if that is at hand: returns
        whether it was. Raises ProtocolViolation when the transaction holds too many portals.
        """
        legs = self._legs
        answers = legs.answers
        names = self._names
        number = statement.number
        text = statement.text
        facts = self._reader.find(text).facts
        self._note_writes(facts.effect)
        effects = self._reader.effects(text, permit, number, prepared.minted)
        keeping = not client and len(prepared.client) > 0 and permit.guard is None and answers.at_rest
        kept = prepared.kept if keeping else None
        if kept is not None:
            portal = kept
            portal.renew(facts, permit, number, effects, event.result_formats)
        else:
            portal = Portal(client, names.mint(client), facts, permit, number, effects, prepared.treatment)
            portal.brief = prepared.brief
            portal.prepared = prepared
            portal.formats = event.result_formats
            if permit.guard is not None:
                portal.asked = statement
            if keeping:
                prepared.keep(portal, Unmade(names, portal))
        try:
            names.open(portal)
        except TooMany as fault:
            raise ProtocolViolation(str(fault), code="53400") from None
        marking = Marking((portal.brief,)) if answers.net is not None else None
        failed = portal.unmade
        if failed is None:
            failed = Unmade(names, portal)
        answers.ask(Step.BIND, number, (), failed, prepared.rewritten, marking)
        if client:
            legs.stage(messages.rebind(portal.upstream.encode(), prepared.upstream.encode(), event.raw))
            return False
        end = legs.down.take_end() if ending and permit.guard is None else 0
        if not end or answers.net is not None:
            legs.stage(messages.renamed(prepared.wire_names, event.raw, b""))
        if not end:
            return False
        # What _describe, _execute and _sync do, one after the other.
        legs.down_wire.consumed()
        if answers.net is not None:
            if end == DESCRIBED:
                self._ask_columns(portal, hidden=False)
            self._stage_execute(portal, 0)
            self._sync_exchange.number = number
            self._sync_exchange.stage(None, False)
            return True
        legs.stage(messages.renamed(prepared.wire_names, event.raw, _END_DESCRIBED if end == DESCRIBED else _END))
        if end == DESCRIBED:
            answers.ask(Step.DESCRIBE_PORTAL, number, (), None, False, None)
            portal.described = True
        answers.ask(Step.EXECUTE, number, effects, None, prepared.rewritten, None)
        answers.ask(Step.SYNC, number, (), None, False, None)
        return True

    # -- housekeeping: messages about names that exist only because a permit made them

    def _describe(self, event: requests.Describe) -> None:
        name = event.name.decode("utf-8", "backslashreplace")
        legs = self._legs
        if event.kind == b"S":
            prepared = self._names.prepared.get(name)
            if prepared is None:
                self.failing.fail_with("26000", f'prepared statement "{name}" does not exist')
            else:
                legs.stage(messages.describe(b"S", prepared.upstream.encode()))
                marking = Marking((prepared.brief,), prepared=prepared) if legs.answers.net is not None else None
                legs.answers.ask(Step.DESCRIBE_STATEMENT, 0, (), None, prepared.rewritten, marking)
            return
        portal = self._names.portal(name)
        if portal is None:
            self.failing.fail_with("34000", f'portal "{name}" does not exist')
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
        portal = self._names.portal(name)
        if portal is None:
            self.failing.fail_with("34000", f'portal "{name}" does not exist')
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
        legs.unsettled = legs.unsettled or len(portal.effects) > 0
        legs.stage(messages.execute(portal.upstream.encode(), max_rows))
        rewritten = portal.prepared is not None and portal.prepared.rewritten
        legs.answers.ask(Step.EXECUTE, portal.number, portal.effects, None, rewritten, marking)

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
            portal = names.portal(name)
            if portal is not None:
                upstream = portal.upstream.encode()
                names.close(name)
                failed = lambda: names.open(portal)  # noqa: E731 - as above
        legs.stage(messages.close(event.kind, upstream))
        legs.answers.expect(Expected(Step.CLOSE, failed=failed))

    def _sync(self, event: requests.Sync) -> PostgresExchange | None:
        answers = self._legs.answers
        if answers.copying_in:
            return None  # as the server does
        self._sync_exchange.number = 0 if answers.at_rest else self._number
        return self._sync_exchange

    def _flush(self, event: requests.Flush) -> None:
        answers = self._legs.answers
        if not answers.copying_in and not answers.at_rest:  # what is staged keeps the gateway from asking anything
            self._legs.stage(messages.FLUSH)

    def copy_event(self) -> None:
        """Read one client message while the server waits for COPY data."""
        try:
            event = self.next_event()
            if event is not None:
                self.handle(event)
        except ProtocolViolation as violation:
            self.end_with(violation)

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

    def patience(self) -> float:
        """For how long this statement may wait for a person (seconds; 0: not at all).

        Only a single, unpipelined one may, and only while its transaction has locked nothing.
        """
        answers = self._legs.answers
        if self.wrote or answers.status not in (IDLE, IN_TRANSACTION):
            return 0.0
        if not answers.preparing_only or self._legs.down.holds(STATEMENTS):
            return 0.0
        return self._reader.patience

    def _note_writes(self, effect: Effect) -> None:
        if effect is not _READ and effect is not _SESSION:
            self.wrote = True


#: Message types that ask for something more: Query, Parse, Bind, FunctionCall.
STATEMENTS: Final = b"QPBF"

HANDLERS: Final[Mapping[type, Handler]] = {
    requests.Close: Handlers._close,
    requests.Flush: Handlers._flush,
    requests.CopyData: lambda handlers, event: inflow.data(handlers._legs, event),
    requests.CopyDone: lambda handlers, event: inflow.done(handlers._legs),
    requests.CopyFail: lambda handlers, event: inflow.fail(handlers._legs, event),
    requests.Terminate: Handlers._terminate,
    requests.FunctionCall: Handlers._function_call,
}
