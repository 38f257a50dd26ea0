"""The gateway's questions about a session's database, on the session's own connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import inner
from blastwall.protocols.postgres.legs import MOST_ASKED, Legs
from blastwall.protocols.postgres.shelf import Shelf
from blastwall.sql.catalogue import Catalogue

#: What a server says of a statement that somebody cancelled.
CANCELLED: Final = "57014"
TRIES: Final = 10


class Cancelled(UpstreamFault):
    """A question was cancelled in the place of a statement of the client's, and with it its transaction, if one was
    open. ``told`` is the server's word as the client may have it, where the question came in the midst of a batch.
    """

    def __init__(self, told: bytes) -> None:
        super().__init__("a cancel request hit the gateway's own query", code=CANCELLED)
        self.told = told


async def persist(look: Callable[[], Awaitable[None]]) -> None:
    """Look again when that was cancelled: the request came too late for the client's last statement.

    Raises UpstreamFault when it happens TRIES times.
    """
    for _ in range(TRIES):
        with suppress(Cancelled):
            await look()
            return
    raise UpstreamFault("the gateway's own queries were cancelled again and again", code=CANCELLED)


async def load(legs: Legs, shelf: Shelf, place: tuple[str, str], version: int, shared: bool) -> tuple[Catalogue, str]:
    """The catalogue as it is now, and what it is known by: the shelf's if nothing changed, else read anew until it
    holds still. ``place`` is target and database, ``version`` the server's; not ``shared``: nobody else sees it.

    Raises UpstreamFault, Cancelled among them.
    """
    return await shelf.load(place, str(version), partial(ask_row, legs), shared)


async def ask_row(legs: Legs, sql: str) -> list[str]:
    """The one row that answers a question, between batches or, where all was answered, in the midst of one.

    A cancel request does not reach it; one that was under way for the client's last statement may. Raises Cancelled
    then, and UpstreamFault otherwise.
    """
    legs.asking = True
    try:
        rows = await legs.ask(sql) if legs.answers.at_rest else await inner.ask(legs, sql, most=MOST_ASKED)
    except inner.Refused as fault:
        if fault.code == CANCELLED:
            raise Cancelled(fault.told) from None
        raise UpstreamFault(f"the database refused the gateway's own query: {fault}", code=fault.code) from None
    except inner.TooMuch as fault:
        raise UpstreamFault(str(fault)) from None
    except UpstreamFault as fault:
        if fault.code == CANCELLED:
            raise Cancelled(b"") from None
        raise
    finally:
        legs.asking = False
    if len(rows) != 1:
        raise UpstreamFault(f"the database answered {len(rows)} rows where one was expected")
    return [(value or b"").decode("utf-8") for value in rows[0]]
