"""Catalogues of one gateway process, shared between its sessions."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from blastwall.errors import UpstreamFault
from blastwall.masking.plan import Plan
from blastwall.masking.rules import Rules
from blastwall.protocols.postgres import snapshot
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.masking import with_views

#: Asks the database: one row, as text.
Ask = Callable[[str], Awaitable[Sequence[str]]]

#: How often a catalogue that changes while it is read is read again.
ATTEMPTS: Final = 5
MOST: Final = 64  # databases whose catalogues are kept
#: Whoever wants the catalogue that another session is reading waits for so long, then reads it by itself (seconds).
WAIT_SECONDS: Final = 20.0
#: A catalogue of 20,000 tables takes seconds to put together: beside the event loop. One for each database at a time,
#: and apart from them those that only one session sees (it has temporary tables, or changed definitions itself).
SHARED: Final = ThreadPoolExecutor(3, thread_name_prefix="catalogue")
OWN: Final = ThreadPoolExecutor(1, thread_name_prefix="own catalogue")
#: Relations from which masks are planned on a thread.
LARGE: Final = 1000


class Shelf:
    """Catalogues by target and database, loaded once per version."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[str, Catalogue]] = {}
        self._reading: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()
        self.system: dict[tuple[str, str, str], str] = {}  # (target, server version, section): what initdb made
        # When the freshness was asked for last, and the answer.
        self.looked: dict[tuple[str, str], tuple[float, str]] = {}

    def find(self, target: str, database: str, freshness: str) -> Catalogue | None:
        """The catalogue, if it was loaded at this freshness."""
        kept = self._kept.get((target, database))
        return kept[1] if kept is not None and kept[0] == freshness else None

    def keep(self, target: str, database: str, freshness: str, catalogue: Catalogue) -> None:
        if len(self._kept) >= MOST and (target, database) not in self._kept:
            self._kept.pop(next(iter(self._kept)))
        self._kept[(target, database)] = (freshness, catalogue)

    @asynccontextmanager
    async def reading(self, target: str, database: str) -> AsyncIterator[None]:
        """While inside, this session reads that catalogue, and the others wait: so they need not read it, too.

        A hundred that come at once would otherwise ask a hundred times, and none would be through in time. One that
        takes too long (its connection hangs) holds nobody up for ever.
        """
        lock = self._reading.get((target, database))
        if lock is None:
            lock = self._reading[(target, database)] = asyncio.Lock()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await lock.acquire()
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            lock.release()

    async def load(self, place: tuple[str, str], server: str, ask: Ask, shared: bool) -> tuple[Catalogue, str]:
        """(The catalogue as it is now, its freshness): the shared one if nothing changed, else read anew until it holds
        still. ``place`` is (target, database), ``server`` its version. Raises UpstreamFault, and what ``ask`` raises.
        """
        if not shared:
            return await self._take(place, server, ask, shared)
        freshness = (await ask(snapshot.FRESHNESS))[0]
        catalogue = self.find(*place, freshness)
        if catalogue is not None:
            return catalogue, freshness
        async with self.reading(*place):
            catalogue = self.find(*place, freshness)  # another has read it meanwhile
            if catalogue is not None:
                return catalogue, freshness
            return await self._take(place, server, ask, shared)

    async def _take(self, place: tuple[str, str], server: str, ask: Ask, shared: bool) -> tuple[Catalogue, str]:
        for _ in range(ATTEMPTS):
            freshness = (await ask(snapshot.FRESHNESS))[0]
            catalogue = self.find(*place, freshness) if shared else None
            if catalogue is not None:
                return catalogue, freshness
            sections = {name: await self._section(name, sql, place[0], server, ask) for name, sql in snapshot.SECTIONS}
            if (await ask(snapshot.FRESHNESS))[0] != freshness:
                continue
            pool = SHARED if shared else OWN
            catalogue = await asyncio.get_running_loop().run_in_executor(pool, _put_together, sections)
            if shared:
                self.keep(*place, freshness, catalogue)
            return catalogue, freshness
        raise UpstreamFault(f"the catalogue changed {ATTEMPTS} times while it was read: try again when that is over")

    async def _section(self, name: str, sql: str, target: str, server: str, ask: Ask) -> str:
        if name not in snapshot.SYSTEM_SECTIONS:
            return (await ask(sql))[0]
        text = self.system.get((target, server, name))
        if text is None:
            text = self.system[(target, server, name)] = (await ask(sql))[0]
        return text

    async def planned(self, rules: Rules, catalogue: Catalogue) -> Plan:
        """What the rules come to in the catalogue, views included: on a thread where that takes a while."""
        if len(catalogue.relations) < LARGE:
            return _planned(rules, catalogue)
        return await asyncio.get_running_loop().run_in_executor(OWN, _planned, rules, catalogue)


def _planned(rules: Rules, catalogue: Catalogue) -> Plan:
    return with_views(rules.plan(catalogue), catalogue)


def _put_together(sections: Mapping[str, str]) -> Catalogue:
    catalogue = snapshot.assemble(sections)
    _ = catalogue.version  # found out here, and kept: it takes as long again
    return catalogue
