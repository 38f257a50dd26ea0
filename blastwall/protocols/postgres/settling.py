"""In the midst of a batch: what was asked is answered before the next message is handled, whose meaning depends on it.

A batch that makes a table and uses it before its Sync is common (JDBC's batches and texts of several statements,
pipelines of psycopg and libpq), and so is BEGIN and ROLLBACK around what was made. Between batches the catalogue is
asked again where it may have changed; here the same is done behind a Flush. A Sync would end the client's transaction.

The data of a COPY, too, may come right behind its Execute. Whether the server wants them only it can say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from blastwall.model import Chunk
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.exchange import Reader
from blastwall.protocols.postgres.legs import ClientGone, Legs
from blastwall.protocols.postgres.looking import Cancelled


async def settled(legs: Legs, reader: Reader) -> AsyncIterator[Chunk]:
    """What the server still owes of an open batch, or all until it wants a COPY's data. Then ``reader`` has seen what
    was changed, unless the batch has failed.

    Raises as ``Legs.results`` does.
    """
    answers = legs.answers
    if legs.staged or not answers.quiescent:
        legs.stage(messages.FLUSH)
        legs.send()
    while True:
        chunk = legs.collect()
        if chunk is not None:
            yield chunk
        elif answers.quiescent or answers.fatal or answers.copying_in:
            break
        elif legs.down_wire.closed:
            raise ClientGone("the client closed its connection while it was owed an answer")
        else:
            legs.check()
            await legs.signal.wait()
    if answers.quiescent and not answers.skipping and not answers.fatal:
        legs.unsettled = False
        try:
            await reader.catch_up()
        except Cancelled as cancelled:  # the batch has failed with it
            legs.down.skip_to_sync()
            yield Chunk(cancelled.told, 0, error=cancelled.code)
