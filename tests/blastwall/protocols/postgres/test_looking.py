"""The gateway's questions about a session's database: one row each, and a catalogue that holds still."""

from __future__ import annotations

import pytest

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.looking import ask_row
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
        assert await asked(play, MADE + ROW + CLOSED + messages.ready_for_query(b"I")) == ["now"]
        assert types(written(play.legs.up_wire)) == "PBECCS"


async def test_in_an_open_batch_it_ends_with_flush_for_a_sync_would_end_the_clients_transaction() -> None:
    async with Playbook() as play:
        await play.say(messages.parse(b"", b"SELECT 1", ()) + messages.FLUSH)
        await play.answer(messages.PARSE_COMPLETE)
        answer = messages.CLOSE_COMPLETE + MADE + ROW + CLOSED
        assert await asked(play, answer) == ["now"]
        assert types(written(play.legs.up_wire)) == "CPBECCH"


async def test_no_catalogue_no_session() -> None:
    async with Playbook() as play:
        await play.say(messages.parse(b"", b"SELECT 1", ()) + messages.FLUSH)
        await play.answer(messages.PARSE_COMPLETE)
        refused = messages.error_response("ERROR", "57014", "canceling statement due to user request")
        with pytest.raises(UpstreamFault) as raised:
            await asked(play, messages.CLOSE_COMPLETE + refused)
        assert raised.value.code == "57014"
