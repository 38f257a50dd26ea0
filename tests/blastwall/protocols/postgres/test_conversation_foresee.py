"""Looking ahead from a conversation: no second connection for what changes nothing, and reasons where there is none."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

from blastwall.blast import NOTHING, Blast
from blastwall.conversation import Foresighted, Host
from blastwall.model import Effect, Statement
from blastwall.protocols.postgres.classify import Finding, Surroundings, classify
from blastwall.protocols.postgres.conversation import PostgresConversation
from blastwall.protocols.postgres.names import Names, Prepared
from blastwall.sql.blast import LONGEST, Situation


class Reader:
    """Reads texts without a catalogue; ``masked`` is what masking makes of each."""

    masked: str | None = None

    def find(self, text: str) -> Finding:
        found = classify(text, Surroundings())
        return Finding(found.facts, found.tree, found.statements, masked=self.masked)

    def place(self) -> tuple[Surroundings, str, tuple[str, ...]]:
        return Surroundings(), "agent", ("public",)


class Side:
    """Notes the situations it was asked about."""

    def __init__(self) -> None:
        self.seen: list[Situation] = []

    async def foresee(
        self, situation: Situation, user: str, path: tuple[str, ...], reported: Any
    ) -> tuple[Blast, list[str]]:
        self.seen.append(situation)
        return Blast(True, 3, rows_exact=True), ["SELECT 1"]

    def close(self) -> None:
        pass


class Desk:
    def __init__(self, side: Side | None) -> None:
        ours, theirs = socket.socketpair()
        theirs.close()
        self.notes: list[tuple[str, Any]] = []
        self.reader = Reader()
        self.conversation = PostgresConversation(ours, Host(None, True, {}))
        hidden = cast(Any, self.conversation)
        hidden._reader, hidden._side = self.reader, side
        self.names = Names()
        hidden._legs = SimpleNamespace(answers=SimpleNamespace(reported={}, net=None, quiescent=True, names=self.names))
        hidden._note = lambda name, fields: self.notes.append((name, fields))

    async def see(self, text: str) -> Blast:
        facts = self.reader.find(text).facts
        return await self.conversation.foresee(Statement(text, number=7), facts)


def test_the_gateway_recognises_it() -> None:
    assert isinstance(Desk(None).conversation, Foresighted)


async def test_what_changes_nothing_asks_nothing_and_is_no_event() -> None:
    side = Side()
    desk = Desk(side)
    assert await desk.see("SELECT 1") is NOTHING
    assert await desk.see("BEGIN") is NOTHING
    assert (side.seen, desk.notes) == ([], [])


async def test_what_was_asked_and_found_is_an_event() -> None:
    side = Side()
    desk = Desk(side)
    found = await desk.see("TRUNCATE carts")
    ((name, fields),) = desk.notes
    assert (name, fields["statement"], fields["questions"]) == ("looked_ahead", 7, ["SELECT 1"])
    assert fields["blast"] == found.document()
    assert not side.seen[0].changed


async def test_of_texts_that_share_a_finding_each_is_asked_about_itself() -> None:
    side = Side()
    desk = Desk(side)
    shared = desk.reader.find("DELETE FROM carts WHERE id = 1")
    cast(Any, desk.reader).find = lambda text: shared
    await desk.see("DELETE FROM carts WHERE id = 2")
    assert side.seen[0].tree.text == "DELETE FROM carts WHERE id = 2"


async def test_the_masked_text_is_what_will_run() -> None:
    side = Side()
    desk = Desk(side)
    desk.reader.masked = "DELETE FROM carts WHERE id = 2"
    await desk.see("DELETE FROM carts WHERE id = 1")
    assert side.seen[0].tree.text == "DELETE FROM carts WHERE id = 2"
    desk.reader.masked = "DELETE FROM carts" + " " * LONGEST
    assert not (await desk.see("DELETE FROM carts")).known
    desk.reader.masked = "no SQL"
    assert not (await desk.see("DELETE FROM carts")).known
    assert len(side.seen) == 1


async def test_what_execute_runs_is_found_by_its_name_as_it_runs_and_as_it_was_written() -> None:
    side = Side()
    desk = Desk(side)
    await desk.see("TRUNCATE carts")
    named = side.seen[0].named
    facts = desk.reader.find("SELECT 1").facts
    prepared = Prepared("p", "blastwall_1", "DELETE FROM carts WHERE ssn = $1", facts, (25,))
    desk.names.prepare(prepared)
    found = named("p")
    assert found is not None and found.tree is found.written and found.types == (25,)
    prepared.masked = "DELETE FROM carts WHERE mask(ssn) = $1"
    found = named("p")
    assert found is not None and (found.tree.text, found.written.text) == (prepared.masked, prepared.text)
    prepared.masked += " " * LONGEST
    assert named("p") is None and named("other") is None


async def test_without_a_second_connection_it_is_unknown() -> None:
    desk = Desk(None)
    blast = await desk.see("TRUNCATE carts")
    assert not blast.known and "look_ahead_ms" in blast.reasons[0]
    assert await desk.see("SELECT 1") is NOTHING


async def test_what_is_not_understood_is_unknown() -> None:
    desk = Desk(Side())
    assert desk.reader.find("SELEC 1").facts.effect is Effect.UNKNOWN
    assert not (await desk.see("SELEC 1")).known
