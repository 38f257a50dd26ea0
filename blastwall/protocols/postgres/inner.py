"""The gateway's own statements on the client's connection, in the midst of what the client runs there.

The client sees nothing of them. Unlike ``Legs.ask``, :func:`ask` may come inside an open extended batch: it ends with
Flush, for a Sync would end the client's own implicit transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from blastwall.errors import Fault
from blastwall.model import Chunk
from blastwall.protocols.postgres import messages, replies, speech
from blastwall.protocols.postgres.answers import ERROR, NOTICE, PARAMETER, ROW, Expected, Step
from blastwall.protocols.postgres.legs import ClientGone, Legs
from blastwall.protocols.postgres.reply import Reply, Row
from blastwall.protocols.postgres.upstream import Run

MOST_BYTES: Final = 16 * 1024 * 1024  # of rows that one question may answer

#: The statement and portal of the gateway's own questions here.
ASKING: Final = b"blastwall_inner"

#: What questions of the gateway's make the server say besides: settings, which are put back before the client could see
#: them, and notices of functions, which would come twice.
_OURS: Final = (PARAMETER, NOTICE)


class Refused(Fault):
    """The server refused a statement of the gateway's own. ``told`` is its ErrorResponse as the client may have it.

    Inside a transaction, or an open batch, that has failed with it.
    """

    def __init__(self, told: bytes, fields: dict[str, str]) -> None:
        self.told = told
        self.code = fields.get("C", "")
        super().__init__(f"the database refused a statement of the gateway's own (SQLSTATE {self.code})")


class TooMuch(Fault):
    """A question has more rows for an answer than it may have. It has been read to its end; nothing has failed."""


async def chunks(legs: Legs) -> AsyncIterator[Chunk]:
    """What comes until nothing is owed. Raises ClientGone and UpstreamFault."""
    answers = legs.answers
    while True:
        chunk = legs.collect()
        if chunk is not None:
            yield chunk
        elif answers.quiescent or answers.fatal:
            return
        elif answers.copying_in and legs.down.ready and legs.copy_event is not None:
            legs.copy_event()
        elif legs.down_wire.closed:
            raise ClientGone("the client closed its connection while it was owed an answer")
        else:
            legs.check()
            await legs.signal.wait()


async def command(legs: Legs, sql: str) -> None:
    """Run BEGIN, COMMIT or ROLLBACK as a simple query: the client's unnamed statement goes with it. Raises Refused.

    What the client's own triggers say at a COMMIT, and settings that change with it, the client hears.
    """
    await _asked(legs, [Step.QUERY], messages.query(sql.encode()), silent=False)


async def end_batch(legs: Legs) -> None:
    """End an open batch in which nothing ran. The client, which did not ask for it, hears nothing. Raises Refused."""
    await _asked(legs, [Step.SYNC], messages.SYNC, silent=False)


async def ask(
    legs: Legs,
    sql: str,
    *,
    types: Sequence[int] = (),
    values: Sequence[bytes | None] = (),
    formats: Sequence[int] = (),
    sync: bool = False,
    most: int = MOST_BYTES,
) -> list[Row]:
    """Run one statement inside a transaction or an open batch, which it leaves open; its rows in text form.

    NULL is None. Nothing may be owed, nor anything be staged. ``types``, ``values`` and ``formats`` are those of its
    parameters. ``sync``: no batch is open, so it ends with Sync, and a refusal leaves nothing to be skipped. ``most``
    bytes of rows may come.

    It may read what is masked: where anything is, a refusal holds no words of the server's. Raises Refused and TooMuch.
    """
    steps = [Step.CLOSE, Step.PARSE, Step.BIND, Step.EXECUTE, Step.CLOSE, Step.CLOSE]
    if sync:
        steps.append(Step.SYNC)
    message = (
        messages.close(b"S", ASKING),  # one that was refused has left it behind
        messages.parse(ASKING, sql.encode(), types),
        messages.bind(ASKING, ASKING, formats, values, ()),
        messages.execute(ASKING),
        messages.close(b"P", ASKING),
        messages.close(b"S", ASKING),
        messages.SYNC if sync else messages.FLUSH,
    )
    return await _asked(legs, steps, b"".join(message), silent=True, most=most)


async def _asked(
    legs: Legs, steps: Sequence[int], message: bytes, *, silent: bool, most: int = MOST_BYTES
) -> list[Row]:
    answers = legs.answers
    assert legs.answers.quiescent and not legs.staged, "the gateway asks when nothing else is owed"
    for step in steps:
        answers.expect(Expected(step, hidden=True))
    legs.up_wire.write(message)
    reply = Reply(most)
    refused: Refused | None = None
    while not answers.quiescent:
        run = legs.up.next_event()
        if run is None:
            legs.up_wire.consumed()
            legs.check()
            await legs.signal.wait()
            continue
        assert isinstance(run, Run)
        if run.type == ROW:
            reply.take(run)
        elif run.type == ERROR and refused is None:
            fields = replies.error_fields(run.data)
            masked = silent and answers.net is not None and bool(answers.net.plan)
            refused = Refused(speech.reduced(fields) if masked else answers.retold(run.data), fields)
        spoken = answers.digest(run)
        if spoken and not (silent and run.type in _OURS):
            legs.local.append(Chunk(spoken))
    if refused is not None:
        raise refused
    if reply.too_much:
        raise TooMuch(f"the database answers the gateway's own question with more than {most} bytes")
    return reply.rows
