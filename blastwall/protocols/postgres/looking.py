"""The gateway's questions about a session's database, on the session's own connection."""

from __future__ import annotations

from typing import Final

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import inner, snapshot
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.shelf import Shelf
from blastwall.sql.catalogue import Catalogue

#: How often a catalogue that changes while it is read is read again.
ATTEMPTS: Final = 5


async def load(legs: Legs, shelf: Shelf, place: tuple[str, str], version: int, shared: bool) -> tuple[Catalogue, str]:
    """The catalogue as it is now, and what it is known by: the shelf's if nothing changed, else read anew until it
    holds still. ``place`` is target and database, ``version`` the server's; not ``shared``: nobody else sees it.

    Raises UpstreamFault.
    """
    target, database = place
    for _ in range(ATTEMPTS):
        freshness = (await ask_row(legs, snapshot.FRESHNESS))[0]
        catalogue = shelf.find(target, database, freshness) if shared else None
        if catalogue is not None:
            return catalogue, freshness
        sections = {name: await _section(legs, shelf, target, version, name, sql) for name, sql in snapshot.SECTIONS}
        if (await ask_row(legs, snapshot.FRESHNESS))[0] != freshness:
            continue
        catalogue = snapshot.assemble(sections)
        if shared:
            shelf.keep(target, database, freshness, catalogue)
        return catalogue, freshness
    raise UpstreamFault(f"the catalogue changed {ATTEMPTS} times while it was read: try again when that is over")


async def _section(legs: Legs, shelf: Shelf, target: str, version: int, name: str, sql: str) -> str:
    if name not in snapshot.SYSTEM_SECTIONS:
        return (await ask_row(legs, sql))[0]
    key = (target, str(version), name)
    text = shelf.system.get(key)
    if text is None:
        text = shelf.system[key] = (await ask_row(legs, sql))[0]
    return text


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
