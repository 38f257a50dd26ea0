"""Fetch one small document over HTTP(S) with the standard library: no redirects, no proxies, bounded in every way."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import time

from blastwall.errors import UpstreamFault
from blastwall.identity.jwks import check_address

TIMEOUT = 5.0  # seconds for each step of the connection
DEADLINE = 10.0  # seconds for the whole answer


async def fetch(address: str, limit: int) -> bytes:
    """The body of a 200 answer of at most ``limit`` bytes; fits ``blastwall.identity.jwks.Fetch``.

    A redirect is an answer like any other that is not 200: whoever may move the document could move it to his own host.
    Raises UpstreamFault.
    """
    return await asyncio.to_thread(_fetch, address, limit)


def _fetch(address: str, limit: int) -> bytes:
    deadline = time.monotonic() + DEADLINE
    try:
        parts = check_address(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT, context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    except ValueError as fault:
        raise UpstreamFault(f"{address} is not fetched: {fault}") from None
    try:
        connection.request("GET", path, headers={"Accept": "application/json", "Accept-Encoding": "identity"})
        return _body(connection.getresponse(), limit, deadline)
    except (OSError, http.client.HTTPException, ValueError) as fault:
        raise UpstreamFault(f"{address} does not answer ({type(fault).__name__}); check that it is reachable") from None
    finally:
        connection.close()


def _body(response: http.client.HTTPResponse, limit: int, deadline: float) -> bytes:
    if response.status != 200:
        raise UpstreamFault(
            f"answered {response.status}, not 200; check the configured address (redirects are not followed)"
        )
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise UpstreamFault("answered with a compressed body, which was not asked for")
    body = bytearray()
    while piece := response.read1(limit + 1 - len(body)):
        body += piece
        if len(body) > limit:
            raise UpstreamFault(f"answered with more than {limit} bytes")
        if time.monotonic() > deadline:
            raise UpstreamFault(f"took longer than {DEADLINE:g} seconds")
    if response.length:  # read1 reports an early end of the connection as the end of the body
        raise UpstreamFault("broke off in the middle of its answer")
    return bytes(body)
