"""A client and a server that say anything in any order: nothing goes up unjudged or unrecorded, nobody waits for ever.

Both streams are cut anywhere. The server answers as PostgreSQL does, or now and then something else. What each play must
keep to is at its end (:func:`_hold_to_account`): the recording holds what the client got and what the server was asked,
and the audit trail's lines are those of its records, one by one.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Sequence
from typing import Any

import pytest

from blastwall.audit.lines import Lines
from blastwall.audit.project import project_all
from blastwall.audit.sink import day, line
from blastwall.conversation import Exchange, Waiting
from blastwall.errors import ClientFault, UpstreamFault
from blastwall.masking.detectors import detectors
from blastwall.masking.mask import mask
from blastwall.masking.plan import Plan
from blastwall.model import Chunk, Denial, Direction, Masked, Permit, Principal, Session, Target
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.legs import POISON
from blastwall.protocols.postgres.net import Net
from blastwall.recording.reader import Reader
from blastwall.recording.records import Intent, Record, Relayed
from blastwall.recording.redact import Redactor
from blastwall.recording.writer import Writer
from tests.blastwall.protocols.postgres.playbook import UNASKED, Playbook, frames, written

SESSION = Session("s-1", Principal("https://idp", "a-1", "agent"), "t", 0.0, 1e10)
TARGET = Target("t", "postgres", "127.0.0.1", 5432)
LAYOUT = messages.row_description([("n", 0, 0, 23, 4, -1, 0)])
ROW = messages.data_row((b"1",))
NAMES = (b"", b"a", b"b")
TEXTS = (b"SELECT 1", b"INSERT x", b"DENY", b"", b"BEGIN", b"COPY t FROM STDIN", b"\xff")
BROKEN = (
    b"F\0\0\0\4",
    b"Q\0\0\0\5x",
    b"?\0\0\0\4",
    b"B\0\0\0\6\0\0",
    b"Q\0\0\0\3",
    b"P\xff\xff\xff\xff",
    b"S\0\0\0\5x",
)
#: What nobody asked for, or what is none.
ODD = (
    *UNASKED,
    ROW,
    messages.command_complete("SELECT 1"),
    messages.ready_for_query(b"T"),
    messages.frame(b"A", b"\0\0\0\1c\0p\0"),
    messages.data_row((b"y" * 300_000,)),
    *(b"Z\0\0\0\6I", b"D\0\0\0\5", b"D\0\0\0\2", b"?\0\0\0\4", b"W\0\0\0\4", b"\xff" * 7),
)


class Memory:
    """Where the recording goes."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, parts: Sequence[bytes], length: int) -> None:
        self.data += b"".join(parts)

    def settle(self) -> None: ...

    def room(self) -> None: ...

    def check(self) -> None: ...

    def seal(self, manifest: bytes) -> None: ...

    def close(self) -> None: ...


class Recorded(Playbook):
    """The road as it is, but for who decides: judge, record, commit; mask, record, relay."""

    def __init__(self, chance: random.Random) -> None:
        masked = chance.random() < 0.4
        super().__init__(net=Net(detectors(), lambda mask, text: text, Plan) if masked else None)
        self.chance = chance
        self.slow = chance.random() < 0.4
        self.sink = Memory()
        self.ticks = 0
        self.writer = Writer(
            "r-1", SESSION, TARGET, "c-1", {}, self.sink, ticks=self._tick, now=lambda: 1e9, redactor=Redactor()
        )

    def _tick(self) -> int:
        self.ticks += 1000
        return self.ticks

    def admit(self, exchange: Exchange) -> Permit | Denial | Waiting | None:
        statement = exchange.statement
        decision = None if statement is None else self.decision(statement)
        if statement is not None and decision is not None:
            if statement.number in self.reader.spoiled:
                decision = self.decision(statement._replace(text="DENY"))
            self.writer.intent(statement, self.reader.find(statement.text).facts, decision)
        if not (exchange.more and isinstance(decision, Permit)):
            self.writer.commit()
        return self._perhaps(decision)

    def pass_on(self, chunk: Chunk) -> Masked | Waiting:
        masked = mask(chunk)
        self.writer.relayed(masked)
        return self._perhaps(masked)

    def _perhaps(self, result: Any) -> Any:
        return Waiting(self._later(result)) if self.slow and self.chance.random() < 0.3 else result


class Server:
    """PostgreSQL's side of the protocol. ``texts`` are those that it was given, ``odd`` how often it says what it may
    not.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.odd = chance.choice((0.0, 0.0, 0.05, 0.2))
        self.texts: list[bytes] = []
        self.copying = ""  # the message that began it
        self._unread = b""
        self._skipping = False

    def answer(self, data: bytes) -> bytes:
        self._unread += data
        told = b""
        while len(self._unread) >= 5:
            size = 1 + int.from_bytes(self._unread[1:5], "big")
            if len(self._unread) < size:
                break
            frame, self._unread = self._unread[:size], self._unread[size:]
            told += self._one(chr(frame[0]), frame[5:])
            if self.chance.random() < self.odd:
                told += self.chance.choice(ODD)
        return told

    def _one(self, kind: str, body: bytes) -> bytes:
        if kind in "QP":
            self.texts += body.split(b"\0")[kind == "P" :][:1]
        if self.copying:
            return self._copied(kind)
        if kind == "S":
            self._skipping = False
            return messages.ready_for_query(b"I")
        if self._skipping or kind in "HdcfX":
            return b""
        ready = messages.ready_for_query(b"I") if kind == "Q" else b""
        if POISON in body or (kind != "Q" and self.chance.random() < 0.05):
            self._skipping = kind != "Q"
            return messages.error_response("ERROR", "42601", "syntax error") + ready
        told = self._done(kind, body)
        if told.startswith(b"G"):
            self.copying = kind
            return told
        return told + ready

    def _done(self, kind: str, body: bytes) -> bytes:
        done = messages.command_complete
        copied = messages.copy_response(b"H", 0, (0,)) + messages.copy_data(b"x\n") * 2 + messages.COPY_DONE
        runs = [ROW * 2 + done("SELECT 2"), done("INSERT 0 1"), messages.EMPTY_QUERY_RESPONSE, copied + done("COPY 2")]
        if kind in "QE" and self.chance.random() < 0.15:
            return messages.copy_response(b"G", 0, (0,))
        if kind == "Q":
            failed = messages.error_response("ERROR", "22012", "division by zero")
            return self.chance.choice([LAYOUT + runs[0], done("DELETE 5") + LAYOUT + runs[0], done("X 1") + failed])
        if kind == "E":
            return self.chance.choice([*runs, ROW + messages.frame(b"s", b"")])
        if kind == "D":
            described = self.chance.choice([LAYOUT, messages.NO_DATA])
            return messages.parameter_description(()) + described if body[:1] == b"S" else described
        return {"P": messages.PARSE_COMPLETE, "B": messages.BIND_COMPLETE, "C": messages.CLOSE_COMPLETE}[kind]

    def _copied(self, kind: str) -> bytes:
        if kind in "dSH":
            return b""
        began, self.copying = self.copying, ""
        if kind == "c":
            return messages.command_complete("COPY 1") + (messages.ready_for_query(b"I") if began == "Q" else b"")
        self._skipping = began != "Q" or kind != "f"
        failed = messages.error_response("ERROR", "57014", "COPY from stdin failed")
        return failed if self._skipping else failed + messages.ready_for_query(b"I")


def conversation(chance: random.Random) -> bytes:
    """What the client says, in no order that makes sense."""
    name, text = (lambda: chance.choice(NAMES)), (lambda: chance.choice(TEXTS))
    sayings = {
        "P": lambda: messages.parse(name(), text()),
        "B": lambda: messages.bind(name(), name()),
        "E": lambda: messages.execute(name(), chance.choice((0, 0, 1))),
        "D": lambda: messages.describe(chance.choice((b"S", b"P")), name()),
        "C": lambda: messages.close(chance.choice((b"S", b"P")), name()),
        "S": lambda: messages.SYNC,
        "H": lambda: messages.FLUSH,
        "Q": lambda: messages.query(text()),
        "d": lambda: messages.copy_data(b"row\n" * chance.randrange(3)),
        "c": lambda: messages.COPY_DONE,
        "f": lambda: messages.copy_fail(b"no"),
        "X": lambda: messages.TERMINATE if chance.random() < 0.2 else messages.SYNC,
        "?": lambda: chance.choice(BROKEN) if chance.random() < 0.4 else messages.FLUSH,
    }
    return b"".join(sayings[kind]() for kind in chance.choices("PPBBBEEEDCSSSSHQQQdcfX?", k=chance.randrange(1, 22)))


@pytest.mark.parametrize("first", range(0, 400, 50))
async def test_whatever_both_sides_say_all_is_judged_recorded_and_answered(first: int) -> None:
    for seed in range(first, first + 50):
        await _play(seed)


async def _play(seed: int) -> None:
    chance = random.Random(seed)
    said, server = conversation(chance), Server(chance)
    async with Recorded(chance) as play:
        heard = waiting = b""
        at = quiet = 0
        while quiet < 6 and not play.task.done():
            if at < len(said) and chance.random() < 0.7:
                size = chance.choice((1, 3, 7, 20, 200, len(said)))
                play.down.receive(said[at : at + size])
                at += size
            asked = written(play.up_wire)
            waiting += server.answer(asked)
            if waiting and chance.random() < 0.8:
                size = chance.choice((1, 4, 9, 50, 400, len(waiting)))
                play.up.receive(waiting[:size])
                waiting = waiting[size:]
            play.signal.set()
            for _ in range(chance.randrange(1, 4)):
                await asyncio.sleep(0)
            heard += written(play.down_wire)
            quiet = 0 if asked or waiting or at < len(said) else quiet + 1
        await play.settle()
        heard += written(play.down_wire)
        if not play.task.done() and not server.odd and not server.copying:
            assert not play.down.ready, f"seed {seed}: a message of the client is not read"
            assert not play.answers.ready_owed, f"seed {seed}: the gateway waits for what the server does not owe"
            assert not play.legs.staged, f"seed {seed}: what is staged is not sent"
        play.down_wire.closed = play.up_wire.closed = True
        play.signal.set()
        await play.settle()
        heard += written(play.down_wire)
        assert play.task.done(), f"seed {seed}: it goes on with both sides gone"
        assert play.fault is None or isinstance(play.fault, (ClientFault, UpstreamFault)), (seed, play.fault)
        play.writer.close("over")
        _hold_to_account(seed, play.sink.data, heard, server.texts)


def _hold_to_account(seed: int, recording: bytes, heard: bytes, texts: Sequence[bytes]) -> None:
    reader = Reader(io.BytesIO(recording))
    records: list[Record] = list(reader.records())
    assert reader.problem is None
    relayed = [each for each in records if isinstance(each, Relayed) and each.direction is Direction.TO_AGENT]
    assert b"".join(each.data for each in relayed) == heard, f"seed {seed}: the client got something else"
    for each in relayed:
        completions = [frame for frame in frames_of(each.data) if frame[:1] == b"C"]
        assert len(completions) <= 1, f"seed {seed}: one record tells of several completions"
    permitted = {each.text.encode() for each in records if isinstance(each, Intent) and _passed(each)}
    assert set(texts) - {POISON} <= permitted, f"seed {seed}: the server was given what nobody permitted"
    wanted = [(day(event), line(event)) for event in project_all(Reader(io.BytesIO(recording)).records())]
    assert _lines(recording) == wanted, f"seed {seed}: the audit trail says something else than the recording"


def frames_of(data: bytes) -> list[bytes]:
    """Its frames; none of a chunk that is a piece of one."""
    try:
        return frames(data)
    except AssertionError:
        return []


def _passed(intent: Intent) -> bool:
    return intent.decision["verdict"] == "permit"


def _lines(recording: bytes) -> list[tuple[str, str]]:
    lines = Lines(Reader(io.BytesIO(recording)))
    found: list[tuple[str, str]] = []
    more = True
    while more:
        more = lines.gather(0)
        if lines.count:
            of_day, text = lines.take()
            found += [(of_day, each) for each in text.decode().splitlines()]
    return found
