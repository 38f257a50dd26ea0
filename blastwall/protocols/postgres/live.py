"""A catalogue from a live database, for judging statements without a session: connect, read, leave."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, unquote, urlsplit

from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret
from blastwall.protocols.postgres import messages, replies, snapshot
from blastwall.protocols.postgres.link import Link, Route, open_link
from blastwall.protocols.postgres.upstream import Run
from blastwall.sql.catalogue import Catalogue
from blastwall.wire.wire import Signal

PORT = 5432
SECONDS = 60.0  # for connecting and reading
MOST_BYTES = 512 * 1024 * 1024  # of one section's answer

_MODES = frozenset({"disable", "require", "verify-full"})
_ROW, _ERROR, _READY = ord("D"), ord("E"), ord("Z")


def read_catalogue(url: str, password: Secret | None = None) -> Catalogue:
    """Read the catalogue of the database at ``postgresql://user@host:port/database``, within 60 seconds.

    The query may hold ``sslmode`` (disable, require, verify-full; verify-full unless given) and ``sslrootcert``.
    ``password`` is used unless the URL has its own. Raises ValueError for a URL that is not like that, UpstreamFault
    for a database that does not answer.
    """
    route, parameters, credential = parse_address(url, password)
    return asyncio.run(_read(route, parameters, credential))


def parse_address(url: str, password: Secret | None) -> tuple[Route, dict[str, str], Credential]:
    """Where to connect, with which parameters and as whom. Raises ValueError saying how to write the address."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or not parts.username:
        raise ValueError("write postgresql://user@host:port/database?sslmode=verify-full")
    options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    if unknown := options.keys() - {"sslmode", "sslrootcert"}:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}: only sslmode and sslrootcert are read")
    mode = options.get("sslmode", ["verify-full"])[-1]
    if mode not in _MODES:
        raise ValueError(f"sslmode must be one of {', '.join(sorted(_MODES))}, not {mode!r}")
    route = Route(parts.hostname, parts.port or PORT, mode, options.get("sslrootcert", [None])[-1])
    user = unquote(parts.username)
    secret = Secret(unquote(parts.password)) if parts.password else password
    parameters = {"database": unquote(parts.path.removeprefix("/")) or user, "client_encoding": "UTF8"}
    return route, parameters, Credential(user, secret, "static")


async def _read(route: Route, parameters: dict[str, str], credential: Credential) -> Catalogue:
    signal = Signal(asyncio.get_running_loop())
    try:
        async with asyncio.timeout(SECONDS):
            link = await open_link(route, parameters, credential, signal)
            try:
                await ask(link, signal, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                sections = {name: await ask(link, signal, sql) for name, sql in snapshot.SECTIONS}
            finally:
                link.wire.abort()
    except TimeoutError:
        raise UpstreamFault(f"the database did not give its catalogue within {SECONDS:g} seconds") from None
    return snapshot.assemble(sections)


async def ask(link: Link, signal: Signal, sql: str) -> str:
    """The one text of the one row that the query returns; "" when it returns none. Raises UpstreamFault, and the link
    stays usable when it was the database that refused.
    """
    link.wire.write(messages.query(sql.encode()))
    rows = bytearray()
    problem = ""
    while True:
        event = link.up.next_event()
        if event is None:
            link.wire.consumed()
            await signal.wait()
        elif isinstance(event, Run) and event.type == _ROW:
            rows += event.data
            if len(rows) > MOST_BYTES:
                raise UpstreamFault(f"the catalogue is larger than {MOST_BYTES} bytes")
        elif isinstance(event, Run) and event.type == _ERROR:
            problem = replies.error_fields(event.data).get("M", "no reason given")
        elif isinstance(event, Run) and event.type == _READY:
            break
    if problem:
        raise UpstreamFault(f"the database does not show its catalogue: {problem}")
    found = replies.data_rows(bytes(rows))
    return (found[0][0] or b"").decode("utf-8") if found else ""
