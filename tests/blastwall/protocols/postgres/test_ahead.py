"""Long texts are read beside the event loop, whatever message brings them, and once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from blastwall.errors import ClientFault
from blastwall.model import Effect, Parameter, Permit, Statement, StatementKind
from blastwall.protocols.postgres import ahead as module
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.ahead import Ahead
from blastwall.protocols.postgres.answers import Answers
from blastwall.protocols.postgres.channel import PATIENCE
from blastwall.protocols.postgres.classify import Classifier, Finding, Surroundings
from blastwall.protocols.postgres.conversation import PINNED
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.exchange import LONG_TEXT
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.names import Names, Prepared
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.reading import KEPT_TEXT, MINTED, SessionReader
from blastwall.protocols.postgres.shelf import Shelf
from blastwall.protocols.postgres.upstream import Upstream
from blastwall.wire.wire import Signal
from tests.blastwall.protocols.postgres.playbook import Playbook, deaf_wire, types

LONG = " /* " + "long " * LONG_TEXT + "*/"


class Spied(Classifier):
    """Says which threads were asked what."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int]] = []

    def classify(self, text: str, surroundings: Surroundings) -> Finding:
        self.asked.append((text, threading.get_ident()))
        return super().classify(text, surroundings)


class Room:
    """A reader in a session of its own, without a database."""

    def __init__(self) -> None:
        self.names = Names()
        self.classifier = Spied()
        signal = Signal(asyncio.get_running_loop())
        answers = Answers(self.names, PINNED)
        legs = Legs(Downstream(), deaf_wire(signal), Upstream(), deaf_wire(signal), signal, answers)
        self.reader = SessionReader(legs, Shelf(), self.classifier, "t", "d", Options())

    def here(self) -> list[str]:
        """The texts that were read on this thread."""
        return [text for text, thread in self.classifier.asked if thread == threading.get_ident()]


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    yield Room()


@pytest.mark.parametrize("size", [LONG_TEXT, 300_000, 900_000])
async def test_a_text_of_any_length_is_read_elsewhere_and_once(room: Room, size: int) -> None:
    text = f"SELECT '{'x' * size}'"
    assert room.reader.cold(text, (), ())
    await room.reader.warm(text, (), ())
    assert not room.reader.cold(text, (), ())
    statement = Statement(text, number=1)
    assert room.reader.classify(statement).effect is Effect.READ
    assert room.reader.rewrite(statement) == text
    assert room.reader.effects(text, Permit(text), 1, {}) == ()
    assert room.here() == [] and len(room.classifier.asked) == 1


async def test_names_of_the_session_are_put_into_a_long_text_elsewhere(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"PREPARE mine AS SELECT '{'x' * LONG_TEXT}'"
    await room.reader.warm(text, (), ())
    monkeypatch.setattr(module, "rename", None)  # here it would be called
    assert not room.reader.cold(text, (), ())
    statement = Statement(text, number=1)
    assert "blastwall_1" in room.reader.rewrite(statement)
    assert room.reader.minted(1) == {"smine": "blastwall_1"}
    assert room.reader.cold(text, (), ()), "a name of the gateway's own is given once"


async def test_names_that_are_others_by_then_are_put_in_anew(room: Room) -> None:
    text = f"DEALLOCATE mine; SELECT '{'x' * LONG_TEXT}'"
    await room.reader.warm(text, (), ())
    with pytest.raises(ClientFault, match="does not exist"):
        room.reader.rewrite(Statement(text, number=1))
    await room.reader.warm(text, (), ())
    room.names.prepare(Prepared("mine", "blastwall_7", "SELECT 1", room.reader.find("SELECT 1").facts))
    assert room.reader.cold(text, (), ())
    await room.reader.warm(text, (), ())
    assert "blastwall_7" in room.reader.rewrite(Statement(text, number=2))


async def test_amounts_are_measured_elsewhere(room: Room) -> None:
    text = f"SELECT * FROM generate_series(1, $1){LONG}"
    values = (Parameter(b"1000000000"),)
    await room.reader.warm(text, (), ())
    assert room.reader.cold(text, values, ())
    await room.reader.warm(text, values, ())
    assert not room.reader.cold(text, values, ()) and room.reader.cold(text, (Parameter(b"1"),), ())
    statement = Statement(text, StatementKind.EXECUTE, values, number=1)
    ahead = room.reader._ahead.measured
    assert ahead is not None and room.reader.classify(statement) is ahead[2]
    assert ahead[2].effect is Effect.UNKNOWN


async def test_types_of_parameters_are_judged_elsewhere(room: Room) -> None:
    text = f"SELECT $1 + 1{LONG}"
    await room.reader.warm(text, (), ())
    assert room.reader.cold(text, (), (99_999,)) and not room.reader.cold(text, (), (23,))
    await room.reader.warm(text, (), (99_999,))
    assert not room.reader.cold(text, (), (99_999,))
    ahead = room.reader._ahead.declared
    assert ahead is not None and room.reader.declared(text, (99_999,)) is ahead[2]


async def test_a_connection_remembers_so_much_of_what_it_said(room: Room) -> None:
    for number in range(10):
        room.reader.find(f"SELECT '{number}{'x' * (KEPT_TEXT // 4)}'")
    assert sum(map(len, room.reader._exact)) <= KEPT_TEXT
    for number in range(5 * MINTED):
        room.reader.rewrite(Statement(f"PREPARE p{number} AS SELECT 1", number=number))
    assert len(room.reader._minted) <= MINTED, "what is refused is never staged"


def test_nothing_is_known_of_another_text() -> None:
    ahead = Ahead()
    ahead.renamed = ("a", 1, {}, "b")
    assert ahead.renames("a", 1) and not ahead.renames("a", 2) and not ahead.renames("b", 1)
    ahead.forget()
    assert not ahead.renames("a", 1)


async def test_a_message_waits_until_its_text_was_read() -> None:
    text = "SELECT 1" + LONG
    async with Playbook() as play:
        play.reader.colds.add(text)
        done = messages.ready_for_query(b"I")
        assert await play.say(messages.query(text.encode())), "it is handled all the same, if it stays cold"
        assert play.reader.warmed == [(text, (), ())] * PATIENCE
        await play.answer(messages.command_complete("SELECT 0") + done)
        play.reader.warmed.clear()
        assert types(await play.say(messages.parse(b"s", text.encode(), (23,)) + messages.SYNC)) == "PS"
        await play.answer(messages.PARSE_COMPLETE + done)
        assert play.reader.warmed == [(text, (), (23,))] * PATIENCE
        play.reader.warmed.clear()
        bind = messages.bind(b"", b"s", (), (b"7",), ())
        assert "B" in types(await play.say(bind + messages.execute(b"") + messages.SYNC))
        assert play.reader.warmed == [(text, (Parameter(b"7", False, 23),), ())] * PATIENCE


async def test_a_flush_with_nothing_to_flush_keeps_the_gateway_from_nothing() -> None:
    async with Playbook() as play:
        assert await play.say(messages.FLUSH * 3) == b""
        assert not play.legs.staged, "the gateway asks for the catalogue only while nothing is staged"
        assert types(await play.say(messages.parse(b"", b"SELECT 1", ()) + messages.FLUSH)) == "PH"
