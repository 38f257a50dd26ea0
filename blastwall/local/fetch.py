"""Fetch one small document: issuers' keys, discovery."""

from __future__ import annotations

import asyncio

from blastwall.local.asking import ask

TIMEOUT = 5.0  # seconds for each step of the connection
DEADLINE = 10.0  # seconds for the whole answer


async def fetch(address: str, limit: int) -> bytes:
    """The body of a 200 answer, of at most ``limit`` bytes; fits ``identity.jwks.Fetch``. Raises UpstreamFault."""
    headers = {"Accept": "application/json"}
    _, body = await asyncio.to_thread(
        ask, "GET", address, headers, None, limit, timeout=TIMEOUT, deadline=DEADLINE, wanted=(200,)
    )
    return body
