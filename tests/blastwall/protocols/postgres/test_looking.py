"""The gateway's questions about a session's database: one row each, and a catalogue that holds still."""

from __future__ import annotations

import pytest

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import legs, looking, messages
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.looking import TRIES, Cancelled, ask_row, persist
from tests.blastwall.protocols.postgres.playbook import Ear, Playbook, types, written

MADE = messages.PARSE_COMPLETE + messages.BIND_COMPLETE
CLOSED = messages.CLOSE_COMPLETE + messages.CLOSE_COMPLETE
ROW = messages.data_row((b"now",)) + messages.command_complete("SELECT 1")


class Server(Ear):
    """Answers what it is sent at once."""

    def __init__(self, legs: Legs, answer: bytes) -> None:
        super().__init__()
        self._legs = legs
        self._answer = answer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self._legs.up.receive(self._answer)


async def asked(play: Playbook, answer: bytes) -> list[str]:
    play.task.cancel()
    play.legs.up_wire.connection_made(Server(play.legs, answer))
    return await ask_row(play.legs, "SELECT 'now'")


async def test_between_batches_it_ends_with_sync() -> None:
    async with Playbook() as play:
        assert await asked(play, messages.CLOSE_COMPLETE + MADE + ROW + CLOSED + messages.ready_for_query(b"I")) == [
            "now"
        ]
        assert types(written(play.legs.up_wire)) == "CPBECCS"


async def test_in_an_open_batch_it_ends_with_flush_for_a_sync_would_end_the_clients_transaction() -> None:
    async with Playbook() as play:
        await play.say(messages.parse(b"", b"SELECT 1", ()) + messages.FLUSH)
        await play.answer(messages.PARSE_COMPLETE)
        answer = messages.CLOSE_COMPLETE + MADE + ROW + CLOSED
        assert await asked(play, answer) == ["now"]
        assert types(written(play.legs.up_wire)) == "CPBECCH"


@pytest.mark.parametrize("batch", [False, True])
async def test_a_server_that_answers_without_end_is_at_fault(batch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legs, "MOST_ASKED", 20)
    monkeypatch.setattr(looking, "MOST_ASKED", 20)
    row = messages.data_row((b"x" * 30,))
    async with Playbook() as play:
        if batch:
            await play.say(messages.parse(b"", b"SELECT 1", ()) + messages.FLUSH)
            await play.answer(messages.PARSE_COMPLETE)
        end = b"" if batch else messages.ready_for_query(b"I")
        done = row + row + messages.command_complete("SELECT 2") + CLOSED + end
        with pytest.raises(UpstreamFault, match="more than 20 bytes"):
            await asked(play, messages.CLOSE_COMPLETE + MADE + done)
        assert play.answers.quiescent, "it has been read to its end"


async def test_no_catalogue_no_session() -> None:
    async with Playbook() as play:
        refused = messages.error_response("ERROR", "42501", "permission denied for table pg_class")
        with pytest.raises(UpstreamFault, match="permission denied"):
            await asked(play, messages.CLOSE_COMPLETE + refused + messages.ready_for_query(b"I"))


async def test_a_cancel_that_came_too_late_is_told_from_other_refusals() -> None:
    told = messages.error_response("ERROR", "57014", "canceling statement due to user request")
    async with Playbook() as play:
        with pytest.raises(Cancelled):
            await asked(play, messages.CLOSE_COMPLETE + told + messages.ready_for_query(b"I"))
        assert not play.legs.asking
    async with Playbook() as play:
        await play.say(messages.parse(b"", b"SELECT 1", ()) + messages.FLUSH)
        await play.answer(messages.PARSE_COMPLETE)
        with pytest.raises(Cancelled) as raised:
            await asked(play, messages.CLOSE_COMPLETE + told)
        assert raised.value.told == told, "there the client's batch has failed with it"


@pytest.mark.parametrize("times", [0, 1, TRIES - 1, TRIES])
async def test_what_was_cancelled_is_asked_again_but_not_for_ever(times: int) -> None:
    asked: list[int] = []

    async def look() -> None:
        asked.append(1)
        if len(asked) <= times:
            raise Cancelled(b"")

    if times < TRIES:
        await persist(look)
        assert len(asked) == times + 1
    else:
        with pytest.raises(UpstreamFault, match="again and again"):
            await persist(look)
