"""POST one small document over HTTP(S) with the standard library: no redirects, no proxies, bounded in every way."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping

from blastwall.errors import UpstreamFault
from blastwall.identity.jwks import check_address

TIMEOUT = 5.0  # seconds for each step
LARGEST = 256 * 1024  # bytes of an answer


def post(address: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """The body of a 2xx answer. Only HTTPS, or HTTP to this machine. Raises UpstreamFault."""
    status, answer = exchange(address, headers, body)
    if not 200 <= status < 300:
        raise UpstreamFault(f"{address} answered {status}")
    return answer


def exchange(address: str, headers: Mapping[str, str], body: bytes, *, timeout: float = TIMEOUT) -> tuple[int, bytes]:
    """The same with whatever status: for those whose refusals say why. ``timeout`` in seconds for each step."""
    try:
        parts = check_address(address)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    except ValueError as fault:
        raise UpstreamFault(f"{address} is not posted to: {fault}") from None
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body=body, headers=dict(headers))
        response = connection.getresponse()
        answer = response.read(LARGEST + 1)
    except (OSError, http.client.HTTPException, ValueError) as fault:
        raise UpstreamFault(f"{address} does not answer ({type(fault).__name__})") from None
    finally:
        connection.close()
    if len(answer) > LARGEST:
        raise UpstreamFault(f"{address} answered with more than {LARGEST} bytes")
    return response.status, answer
