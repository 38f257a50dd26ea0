"""The gateway's questions about a session's database, on the session's own connection."""

from __future__ import annotations

from functools import partial

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import inner
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.shelf import Shelf
from blastwall.sql.catalogue import Catalogue


async def load(legs: Legs, shelf: Shelf, place: tuple[str, str], version: int, shared: bool) -> tuple[Catalogue, str]:
    """The catalogue as it is now, and what it is known by: the shelf's if nothing changed, else read anew until it
    holds still. ``place`` is target and database, ``version`` the server's; not ``shared``: nobody else sees it.

    Raises UpstreamFault.
    """
    return await shelf.load(place, str(version), partial(ask_row, legs), shared)


async def ask_row(legs: Legs, sql: str) -> list[str]:
    """The one row that answers a question, between batches or, where all was answered, in the midst of one.

    Raises UpstreamFault.
    """
    try:
        rows = await legs.ask(sql) if legs.answers.at_rest else await inner.ask(legs, sql)
    except inner.Refused as fault:
        raise UpstreamFault(f"the database refused the gateway's own query: {fault}", code=fault.code) from None
    if len(rows) != 1:
        raise UpstreamFault(f"the database answered {len(rows)} rows where one was expected")
    return [(value or b"").decode("utf-8") for value in rows[0]]
