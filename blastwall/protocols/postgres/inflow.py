"""What a client sends while the server takes its COPY input. Elsewhere the server drops it silently, and so do we."""

from __future__ import annotations

from typing import Final

from blastwall.errors import ProtocolViolation
from blastwall.model import Chunk, Direction
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import COPY_DATA
from blastwall.protocols.postgres.exchange import Unsettled
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.requests import CopyData, CopyDone, CopyFail, Event, Flush, Sync, Terminate
from blastwall.protocols.postgres.skim import CHUNK_BYTES

#: Pieces of COPY input that are put together: they may be empty, and then their bytes say nothing of how many come.
PIECES: Final = 1024
#: What a client may send while the server waits for its COPY data; the server ignores Flush and Sync there.
EVENTS: Final = frozenset({CopyData, CopyDone, CopyFail, Flush, Sync, Terminate})


def judge(event: Event) -> None:
    """May it come while the server waits for COPY data? Raises ProtocolViolation."""
    if type(event) not in EVENTS:
        raise ProtocolViolation(
            f"unexpected message {type(event).__name__} during COPY from stdin: send CopyDone or CopyFail first",
            code="08P01",
        )


def data(legs: Legs, event: CopyData) -> None:
    """A piece of it, with those that follow and are at hand: one chunk for the road."""
    if not legs.answers.copying_in:
        _expect(legs)
        return
    pieces = [event.data]
    size = len(event.data)
    while size < CHUNK_BYTES and len(pieces) < PIECES and legs.down.next_is(COPY_DATA):
        more = legs.down.next_event()
        assert isinstance(more, CopyData)
        pieces.append(more.data)
        size += len(more.data)
    legs.local.append(Chunk(b"".join(pieces), legs.answers.number, direction=Direction.TO_TARGET))


def done(legs: Legs) -> None:
    """It is over."""
    if not legs.answers.copying_in:
        _expect(legs)
    else:
        legs.answers.copying_in = False
        legs.up_wire.write(messages.COPY_DONE)


def fail(legs: Legs, event: CopyFail) -> None:
    """The client gives up."""
    if not legs.answers.copying_in:
        _expect(legs)
    else:
        legs.answers.copying_in = False
        legs.up_wire.write(messages.copy_fail(event.message))


def _expect(legs: Legs) -> None:
    """The server has not asked for it. It passes over what nobody asked for; but it may be about to ask.

    Raises Unsettled while it may.
    """
    if not legs.answers.quiescent:
        raise Unsettled
