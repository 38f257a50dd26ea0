"""COPY input: it goes on as it came while the server asks for it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blastwall.protocols.postgres import inflow, messages
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.requests import CopyData, CopyFail
from tests.blastwall.protocols.postgres.playbook import Playbook, written


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
