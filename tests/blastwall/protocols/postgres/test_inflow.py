"""COPY input: it goes on as it came while the server asks for it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blastwall.protocols.postgres import inflow, messages, replies
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.requests import CopyData, CopyFail
from tests.blastwall.protocols.postgres.playbook import Playbook, frames, written


async def test_pieces_at_hand_are_one_chunk() -> None:
    async with Playbook() as play:
        play.legs.down.receive(messages.copy_data(b"2") + messages.copy_data(b"3") + messages.COPY_DONE)
        play.legs.answers.copying_in = True
        inflow.data(play.legs, CopyData(b"1"))
        (chunk,) = play.legs.local
        assert chunk.data == b"123"
        play.legs.local.clear()


@pytest.mark.parametrize(
    ("end", "sent"),
    [
        (inflow.done, messages.COPY_DONE),
        (lambda legs: inflow.fail(legs, CopyFail(b"enough")), messages.copy_fail(b"enough")),
    ],
)
@pytest.mark.parametrize("copying", [True, False])
async def test_its_end_goes_up_once_and_only_if_it_was_asked_for(
    end: Callable[[Legs], None], sent: bytes, copying: bool
) -> None:
    async with Playbook() as play:
        play.legs.answers.copying_in = copying
        end(play.legs)
        end(play.legs)
        assert written(play.legs.up_wire) == (sent if copying else b"")
        assert not play.legs.answers.copying_in


async def test_stray_input_is_dropped() -> None:
    async with Playbook() as play:
        inflow.data(play.legs, CopyData(b"1"))
        assert not play.legs.local


@pytest.mark.parametrize(
    "spoiled", [messages.frame(b"Q", b"no end"), messages.frame(b"B", b""), messages.frame(b"S", b"?")]
)
async def test_a_message_that_does_not_read_ends_the_connection_as_one_out_of_place_does(spoiled: bytes) -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"COPY t FROM STDIN"))
        await play.answer(messages.copy_response(b"G", 0, ()))
        assert await play.say(spoiled + messages.COPY_DONE) == b""
        heard = [frame for frame in frames(play.heard()) if frame[:1] == b"E"]
        assert [replies.error_fields(frame)["S"] for frame in heard] == ["FATAL"]
        assert play.task.done(), "it is not held for an answer that nobody was asked for"
