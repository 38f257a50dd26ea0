"""Playback of PostgreSQL recordings: the server's bytes as tables, notices, errors and completion tags.

The bytes are as hostile as the server and the agent that made them: frames are checked, rows are counted beyond what is
kept, and what does not read is said to be so instead of guessed at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from blastwall.errors import UpstreamFault
from blastwall.model import Direction
from blastwall.protocols.postgres import replies
from blastwall.protocols.postgres.frames import (
    CONTROL,
    COPY_DATA,
    DATA_ROW,
    HEADER_SIZE,
    STARTUP,
    STREAMED,
    read_header,
    scan_run,
)
from blastwall.protocols.postgres.values import show
from blastwall.recording.records import Event, Intent, Record, Relayed
from blastwall.recording.shown import Done, Opaque, Said, Shown, Table, tell

MAX_FRAME = 1 << 20  # bytes of a frame that is looked into; longer ones are counted and passed over
MAX_NAMES = 256  # prepared names whose columns are remembered
MAX_INTENTS = 1024  # statements whose answers may still come
ASTERISKS = "******"  # as content detectors overwrite what they find, whose shortest values have as many characters

_KNOWN = frozenset(CONTROL) | frozenset(STREAMED) | frozenset(STARTUP)
Fields = tuple[replies.Field, ...]


def decode(records: Iterable[Record], *, rows: int = 20) -> Iterator[Shown]:
    """Yield what the records show, in order; of each result at most ``rows`` rows."""
    decoder = _Decoder(rows)
    for record in records:
        if isinstance(record, Relayed) and record.direction is Direction.TO_AGENT:
            yield from decoder.feed(record)
            continue
        if isinstance(record, Intent):
            decoder.expect(record)
        if isinstance(record, Event) and record.name == "masked":
            decoder.mask(record)
        yield from tell(record)


class _Decoder:
    """The server's half of one connection. Frames may begin in one record and end in another."""

    def __init__(self, rows: int) -> None:
        self._limit = rows
        self._held = b""
        self._statement = 0
        self._skip = 0  # bytes of that statement's answer still to pass over
        self._intents: dict[int, Intent] = {}
        self._described: dict[str, Fields] = {}
        self._fields: Fields | None = None
        self._prepared = ""  # the name in the last intent to prepare
        self._naming: str | None = None  # the name whose description comes next
        self._exact = True  # the fields tell each column's format; those of a prepared statement do not
        self._formats: bytes | None = None  # what was asked for instead, if the recording tells
        self._rows: list[tuple[str | None, ...]] = []
        self._count = 0
        self._copying = False
        self._hidden: dict[int, Mapping[int, str]] = {}  # statement -> masked columns and their rules
        self._masked: list[tuple[int, ...]] = []  # of the rows that are kept
        self._replaced = 0
        self._looking = False  # were values replaced in the record at hand?

    def expect(self, intent: Intent) -> None:
        """Know a statement before its answers come."""
        if len(self._intents) >= MAX_INTENTS:
            del self._intents[next(iter(self._intents))]
        self._intents[intent.statement] = intent
        if intent.kind == "prepare":
            self._prepared = intent.name

    def mask(self, event: Event) -> None:
        """Know which columns of a statement's result show masks."""
        columns, statement = event.fields.get("columns"), event.fields.get("statement")
        if not isinstance(columns, dict) or not isinstance(statement, int):
            return
        if len(self._hidden) >= MAX_INTENTS:
            del self._hidden[next(iter(self._hidden))]
        self._hidden[statement] = {int(place) - 1: str(rule) for place, rule in columns.items() if place.isdecimal()}

    def feed(self, record: Relayed) -> Iterator[Shown]:
        """Yield what one record's bytes complete."""
        data = record.data
        self._replaced += record.cells
        self._looking = record.cells > 0
        if record.statement != self._statement:
            self._skip = 0  # a frame that claims to reach into another statement's answer lied about its length
            self._statement = record.statement
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        data = self._held + data
        self._held = b""
        position, end = 0, len(data)
        while end - position >= HEADER_SIZE:
            kind, length = read_header(data, position)
            if kind not in _KNOWN or length < 4 or (length > MAX_FRAME and kind not in STREAMED):
                self._forget()
                yield Opaque(record.at, record.statement, end - position, "not a message of the PostgreSQL protocol")
                return
            stop = position + 1 + length
            if length > MAX_FRAME:
                yield from self._pass_over(record, kind, length)
                self._skip = max(stop - end, 0)
                position = min(stop, end)
                continue
            if stop > end:
                break
            if kind == DATA_ROW and length >= STREAMED[DATA_ROW] and len(self._rows) >= self._limit:
                position, count = scan_run(data, position, DATA_ROW, STREAMED[DATA_ROW], MAX_FRAME)
                self._count += count
                continue
            yield from self._frame(record, kind, data[position:stop])
            position = stop
        self._held = data[position:]

    def _forget(self) -> None:
        self._held = b""
        self._skip = 0
        self._fields = None
        self._drop()

    def _drop(self) -> None:
        self._rows = []
        self._masked = []
        self._count = 0
        self._replaced = 0

    def _pass_over(self, record: Relayed, kind: int, length: int) -> Iterator[Shown]:
        if kind in (DATA_ROW, COPY_DATA):
            self._count += 1
        yield Opaque(record.at, record.statement, length + 1, "a message too large to show")

    def _frame(self, record: Relayed, kind: int, frame: bytes) -> Iterator[Shown]:
        try:
            yield from self._message(record, chr(kind), frame)
        except UpstreamFault:
            yield Opaque(record.at, record.statement, len(frame), f"a malformed message of type {chr(kind)!r}")

    def _message(self, record: Relayed, kind: str, frame: bytes) -> Iterator[Shown]:
        at, statement = record.at, record.statement
        match kind:
            case "D":
                self._row(statement, frame)
            case "d":
                self._count += 1
                if len(self._rows) < self._limit:
                    self._keep(statement, (show(frame[HEADER_SIZE:].rstrip(b"\n"), 25, 0),), ())
            case "t":
                self._naming = self._named(statement)
            case "T":
                self._describe(statement, replies.row_description(frame))
            case "n":
                self._naming = None
            case "H":
                self._copying = True
            case "C":
                yield from self._table(record)
                yield Done(at, statement, replies.command_tag(frame))
            case "s":
                yield from self._table(record)
                yield Done(at, statement, "suspended: the client has not fetched the rest")
            case "I":
                yield Done(at, statement, "empty query")
            case "E" | "N":
                if kind == "E":
                    yield from self._table(record)
                yield _said(record, replies.error_fields(frame), kind == "E")
            case "A":
                heard = replies.notification(frame)
                yield Said(at, statement, "NOTIFY", f"{heard.channel}: {heard.payload}")
            case "Z":
                if self._count:
                    yield from self._table(record)
                self._fields = None
                self._copying = False

    def _describe(self, statement: int, fields: Fields) -> None:
        """A description after its parameters' belongs to a prepared name; any other to the rows that follow it."""
        name, self._naming = self._naming, None
        if name is not None:
            if len(self._described) >= MAX_NAMES:
                self._described.clear()
            self._described[name] = fields
            return
        self._fields = fields
        self._exact = True

    def _named(self, statement: int) -> str:
        """Whose parameters are described: the statement's own name, or the one that was prepared last."""
        intent = self._intents.get(statement)
        return intent.name if intent is not None and intent.kind == "prepare" else self._prepared

    def _row(self, statement: int, frame: bytes) -> None:
        self._count += 1
        if len(self._rows) >= self._limit:
            return
        values = replies.data_row(frame)
        fields = self._columns(statement, len(values))
        if fields is None:
            row = tuple(None if value is None else show(value, 0, None) for value in values)
            self._keep(statement, row, self._hidden.get(statement, ()))
            return
        formats = [field.format for field in fields] if self._exact else _formats(self._formats, len(fields))
        row = tuple(
            None if value is None else show(value, field.type_id, format_)
            for value, field, format_ in zip(values, fields, formats, strict=True)
        )
        self._keep(statement, row, self._hidden.get(statement, ()))

    def _keep(self, statement: int, row: tuple[str | None, ...], hidden: Collection[int]) -> None:
        """A row, and where in it the agent saw masks: where a rule says so, and where the gateway wrote asterisks."""
        self._rows.append(row)
        found = (
            place
            for place, value in enumerate(row)
            if value is not None and (place in hidden or (self._looking and ASTERISKS in value))
        )
        self._masked.append(tuple(found))

    def _columns(self, statement: int, width: int) -> Fields | None:
        """The columns of the rows that come now: described with them, or when their statement was prepared."""
        if self._fields is None:
            intent = self._intents.get(statement)
            self._fields = self._described.get(intent.name) if intent is not None else None
            self._formats = intent.results if intent is not None else None
            self._exact = False
        if self._fields is not None and len(self._fields) != width:
            self._fields = None
        return self._fields

    def _table(self, record: Relayed) -> Iterator[Shown]:
        """Show the rows since the last table; a result without rows is shown when its columns are known."""
        if self._count or (self._fields is not None and self._exact):
            if self._fields is not None:
                columns = tuple(field.name for field in self._fields)
            elif self._copying:
                columns = ("copied line",)
            else:
                columns = tuple(f"column {number}" for number in range(1, len(self._rows[0]) + 1)) if self._rows else ()
            yield Table(
                record.at,
                record.statement,
                columns,
                tuple(self._rows),
                self._count - len(self._rows),
                tuple(self._masked) if any(self._masked) else (),
                tuple(self._hidden.get(record.statement, {}).values()),
                self._replaced,
            )
        self._drop()
        self._fields = None
        self._copying = False


def _formats(asked: bytes | None, width: int) -> Sequence[int | None]:
    """Each column's format as Bind asked for it: none means text, one goes for all. None: it has to be guessed."""
    if asked is None or len(asked) not in (0, 1, width):
        return [None] * width
    return list(asked) if len(asked) == width else [asked[0] if asked else 0] * width


def _said(record: Relayed, fields: dict[str, str], failed: bool) -> Said:
    return Said(
        record.at,
        record.statement,
        severity=fields.get("V") or fields.get("S") or ("ERROR" if failed else "NOTICE"),
        message=fields.get("M", ""),
        code=fields.get("C", ""),
        detail=fields.get("D", ""),
        hint=fields.get("H", ""),
        failed=failed,
    )
