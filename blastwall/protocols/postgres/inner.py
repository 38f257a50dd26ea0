"""The gateway's own statements on the client's connection, in the midst of what the client runs there.

The client sees nothing of them. Unlike ``Legs.ask``, :func:`ask` may come inside an open extended batch: it ends with
Flush, for a Sync would end the client's own implicit transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from blastwall.errors import Fault, UpstreamFault
from blastwall.model import Chunk
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.answers import ERROR, PARAMETER, ROW, Expected, Step
from blastwall.protocols.postgres.legs import ClientGone, Legs
from blastwall.protocols.postgres.upstream import Run

MOST_BYTES: Final = 16 * 1024 * 1024  # of rows that one question may answer

#: The statement and portal of the gateway's own questions here.
ASKING: Final = b"blastwall_inner"

Row = tuple[bytes | None, ...]


class Refused(Fault):
    """The server refused a statement of the gateway's own. ``told`` is its ErrorResponse as the client may have it.

    Inside a transaction, or an open batch, that has failed with it.
    """

    def __init__(self, told: bytes, fields: dict[str, str]) -> None:
        super().__init__(f"the database refused the gateway's own statement: {fields.get('M', '')}")
        self.told = told
        self.code = fields.get("C", "")


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
    """Run BEGIN, COMMIT or ROLLBACK as a simple query: the client's unnamed statement goes with it. Raises Refused."""
    await _asked(legs, [Step.QUERY], messages.query(sql.encode()))


async def ask(
    legs: Legs,
    sql: str,
    *,
    types: Sequence[int] = (),
    values: Sequence[bytes | None] = (),
    formats: Sequence[int] = (),
    sync: bool = False,
) -> list[Row]:
    """Run one statement inside a transaction or an open batch, which it leaves open; its rows in text form.

    NULL is None. Nothing may be owed, nor anything be staged. ``types``, ``values`` and ``formats`` are those of its
    parameters. ``sync``: no batch is open, so it ends with Sync, and a
    refusal leaves nothing to be skipped. Raises Refused, and UpstreamFault for more than 16 MiB of rows.
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
    return await _asked(legs, steps, b"".join(message))


async def _asked(legs: Legs, steps: Sequence[Step], message: bytes, described: list[bytes] | None = None) -> list[Row]:
    answers = legs.answers
    assert answers.quiescent and not legs.staged, "the gateway asks when nothing else is owed"
    for step in steps:
        answers.expect(Expected(step, hidden=True))
    legs.up_wire.write(message)
    rows: list[Row] = []
    pending = b""
    size = 0
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
            size += len(run.data)
            if size > MOST_BYTES:
                raise UpstreamFault("the database answers the gateway's own question with too much", code="54000")
            pending += run.data
            if not run.partial:
                rows.extend(replies.data_rows(pending))
                pending = b""
        elif run.type == ERROR and refused is None:
            refused = Refused(answers.retold(run.data), replies.error_fields(run.data))
        spoken = answers.digest(run)
        if spoken and run.type != PARAMETER:  # it is put back before the client could see it
            legs.local.append(Chunk(spoken))
    if refused is not None:
        raise refused
    return rows
