"""The gateway's own connection to a database: texts in, rows out, one at a time; and a few of them kept for reuse.

It speaks the simple protocol: a text of several statements is one transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from blastwall.conversation import Admin
from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Parameter, Target
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.answers import ERROR, READY, ROW
from blastwall.protocols.postgres.link import Link, Route, open_link
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.reply import Reply, Row
from blastwall.protocols.postgres.upstream import Run
from blastwall.wire.wire import Signal

#: What the texts rely on: names resolve in pg_catalog alone, literals mean what they say, and nothing waits for ever.
SETTINGS: Final[Mapping[str, str]] = {
    "application_name": "blastwall vendor",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "search_path": "pg_catalog",
    "client_min_messages": "error",
    "statement_timeout": "10s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
}
OPEN_SECONDS: Final = 10.0
MOST_BYTES: Final = 1 << 20  # of one answer
KEPT_SECONDS: Final = 30.0  # an unused connection is closed after this
MOST_OPEN: Final = 4  # connections to one target at a time


def route_of(target: Target) -> Route:
    """Where a target's database is, and how its TLS is checked."""
    options: Options = target.options
    ca = options.tls.ca_file
    return Route(target.host, target.port, options.tls.mode, str(ca) if ca else None)


class Console:
    """An open connection. Use it from one task at a time."""

    def __init__(self, link: Link, signal: Signal) -> None:
        self._link = link
        self._signal = signal
        self.used_at = 0.0

    @classmethod
    async def open(
        cls, target: Target, credential: Credential, database: str, settings: Mapping[str, str] = SETTINGS
    ) -> Console:
        """Log in. Raises UpstreamFault, with the server's SQLSTATE when it refused."""
        signal = Signal(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                link = await open_link(route_of(target), {**settings, "database": database}, credential, signal)
        except TimeoutError:
            raise UpstreamFault(f"{target.name} did not let the gateway in within {OPEN_SECONDS:.0f} s") from None
        return cls(link, signal)

    @property
    def server_version(self) -> str:
        """As the server reports it; "" when it does not."""
        return self._link.ready.parameters.get("server_version", "")

    @property
    def closed(self) -> bool:
        return self._link.wire.closed

    @property
    def reported(self) -> Mapping[str, str]:
        """The settings that the server told when it let the connection in."""
        return self._link.ready.parameters

    async def run(self, text: str) -> list[Row]:
        """All rows of all statements. Raises UpstreamFault with the SQLSTATE of the first error; then none took effect.

        The caller sets the deadline; after a deadline the connection is of no more use.
        """
        self._link.wire.write(messages.query(text.encode()))
        return await self._answered()

    async def ask(self, text: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        """The rows of one statement, as texts; ``parameters`` are bound as they are. Raises UpstreamFault as above."""
        self._link.wire.write(
            b"".join(
                (
                    messages.parse(b"", text.encode(), [each.type_id for each in parameters]),
                    messages.bind(
                        b"", b"", [int(each.binary) for each in parameters], [each.value for each in parameters]
                    ),
                    messages.execute(b""),
                    messages.SYNC,
                )
            )
        )
        return await self._answered()

    async def _answered(self) -> list[Row]:
        link = self._link
        reply = Reply(MOST_BYTES)
        problem: UpstreamFault | None = None
        while True:
            event = link.up.next_event()
            if event is None:
                link.wire.consumed()
                if link.wire.error is not None:
                    raise link.wire.error
                if link.wire.closed and not link.up.ready:
                    raise UpstreamFault("the database closed the gateway's own connection", code="08006")
                await self._signal.wait()
                continue
            assert isinstance(event, Run)
            if event.type == ROW:
                reply.take(event)
                if reply.too_much:
                    raise UpstreamFault("the database answers the gateway's own question with too much", code="54000")
            elif event.type == ERROR and problem is None:
                fields = replies.error_fields(event.data)
                words = "".join(letter if letter.isprintable() else " " for letter in fields.get("M", "")[:300])
                problem = UpstreamFault(f"the database refused: {words}", code=fields.get("C", "")[:5])
            elif event.type == READY:
                if problem is not None:
                    raise problem
                return reply.rows

    def close(self) -> None:
        if not self._link.wire.closed:
            self._link.wire.write(messages.TERMINATE)
        self._link.wire.close()


@dataclass(slots=True)
class _Place:
    """The connections of one admin to one database."""

    gate: asyncio.Semaphore
    idle: list[Console]


class Consoles:
    """Connections kept for the next time: opening one costs ten times what it is opened for. One event loop."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, int, str, str], _Place] = {}
        self._sweeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def take(self, target: Target, admin: Admin, database: str) -> AsyncIterator[Console]:
        """A console of one's own. It is kept for others only if nothing was raised inside but a server's refusal."""
        key = (target.host, target.port, admin.user, database)
        place = self._places.setdefault(key, _Place(asyncio.Semaphore(MOST_OPEN), []))
        async with place.gate:
            console = self._kept(place) or await self._open(target, admin, database)
            try:
                yield console
            except UpstreamFault as fault:
                if fault.code[:2] in ("08", "57", "54", ""):
                    console.close()
                else:
                    self._keep(place, console)
                raise
            except BaseException:
                console.close()
                raise
            self._keep(place, console)

    async def close(self) -> None:
        """Close those that are not in use."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for place in self._places.values():
            while place.idle:
                place.idle.pop().close()

    async def _open(self, target: Target, admin: Admin, database: str) -> Console:
        credential = await admin.login()
        try:
            return await Console.open(target, credential, database)
        finally:
            if credential.secret is not None:
                credential.secret.wipe()

    def _kept(self, place: _Place) -> Console | None:
        while place.idle:
            console = place.idle.pop()
            if not console.closed and time.monotonic() - console.used_at < KEPT_SECONDS:
                return console
            console.close()
        return None

    def _keep(self, place: _Place, console: Console) -> None:
        console.used_at = time.monotonic()
        place.idle.append(console)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep(), name="idle consoles")

    async def _sweep(self) -> None:
        """Close what was not used for a while; ends itself when nothing is kept."""
        while any(place.idle for place in self._places.values()):
            await asyncio.sleep(KEPT_SECONDS / 2)
            for place in self._places.values():
                old = [console for console in place.idle if time.monotonic() - console.used_at >= KEPT_SECONDS]
                place.idle = [console for console in place.idle if console not in old]
                for console in old:
                    console.close()
