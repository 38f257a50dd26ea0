"""Who has a role, asked of a live database: connect, read, leave."""

from __future__ import annotations

import asyncio
import json

from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret
from blastwall.protocols.postgres.link import Route, open_link
from blastwall.protocols.postgres.live import ask, parse_address
from blastwall.wire.wire import Signal

SECONDS = 15.0  # for connecting and reading


def members_of(url: str, role: str, password: Secret | None = None) -> frozenset[str]:
    """The roles that were granted ``role``, directly or through others; none when the database has no such role.

    The address is written as for ``live.read_catalogue``. Raises ValueError for one that is not, UpstreamFault for a
    database that does not answer within 15 seconds.
    """
    route, parameters, credential = parse_address(url, password)
    return asyncio.run(_read(route, parameters, credential, role))


async def _read(route: Route, parameters: dict[str, str], credential: Credential, role: str) -> frozenset[str]:
    signal = Signal(asyncio.get_running_loop())
    quoted = role.replace("'", "''")
    try:
        async with asyncio.timeout(SECONDS):
            link = await open_link(route, parameters, credential, signal)
            try:
                found = await ask(link, signal, _MEMBERS.format(role=quoted))
            finally:
                link.wire.abort()
    except TimeoutError:
        raise UpstreamFault(f"the database did not answer within {SECONDS:g} seconds") from None
    return frozenset(json.loads(found or "[]"))


_MEMBERS = """
WITH RECURSIVE given AS (
  SELECT member FROM pg_catalog.pg_auth_members
   WHERE roleid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = '{role}')
  UNION
  SELECT inner_.member FROM pg_catalog.pg_auth_members inner_ JOIN given ON inner_.roleid = given.member
)
SELECT coalesce(pg_catalog.json_agg(rolname ORDER BY rolname), '[]')::text
  FROM pg_catalog.pg_roles WHERE oid IN (SELECT member FROM given)
"""
