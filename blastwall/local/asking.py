"""One request over HTTP(S) with the standard library: no redirects, no proxies, bounded in every way."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Container, Mapping

from blastwall.errors import UpstreamFault
from blastwall.identity.jwks import check_address


def ask(
    method: str,
    address: str,
    headers: Mapping[str, str],
    body: bytes | None,
    limit: int,
    *,
    timeout: float,
    deadline: float,
    wanted: Container[int] | None = None,
) -> tuple[int, bytes]:
    """Status and body of the answer, of at most ``limit`` bytes. Only HTTPS, or HTTP to this machine. Blocks.

    ``timeout`` is for each step of the connection, ``deadline`` for all of it, in seconds: whoever sends a byte now and
    then, in a header or anywhere else, is cut off. A status that is not
    ``wanted`` (None: any is) is a fault, and so is a redirect to follow: whoever may move the document could move it to
    his own host. Raises UpstreamFault.
    """
    until = time.monotonic() + deadline
    try:
        parts = check_address(address)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    except ValueError as fault:
        raise UpstreamFault(f"{address} is not asked: {fault}") from None
    watch: threading.Timer | None = None
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.connect()
        watch = threading.Timer(max(0.0, until - time.monotonic()), _cut, (connection.sock,))
        watch.daemon = True
        watch.start()
        connection.request(method, path, body=body, headers={**headers, "Accept-Encoding": "identity"})
        response = connection.getresponse()
        if wanted is not None and response.status not in wanted:
            message = f"{address} answered {response.status}; check that address (redirects are not followed)"
            raise UpstreamFault(message)
        return response.status, _body(address, response, limit, until)
    except (OSError, http.client.HTTPException, ValueError) as fault:
        if time.monotonic() > until:
            raise UpstreamFault(f"{address} took too long to answer") from None
        raise UpstreamFault(f"{address} does not answer ({type(fault).__name__}); check that it is reachable") from None
    finally:
        if watch is not None:
            watch.cancel()
        connection.close()


def _cut(sock: socket.socket) -> None:
    """End a connection under whoever reads from it: only then does a read that goes on byte by byte end."""
    with contextlib.suppress(OSError):  # it is over already
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which another thread is in


def _body(address: str, response: http.client.HTTPResponse, limit: int, until: float) -> bytes:
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise UpstreamFault(f"{address} answered with a compressed body, which was not asked for")
    body = bytearray()
    while piece := response.read1(limit + 1 - len(body)):
        body += piece
        if len(body) > limit:
            raise UpstreamFault(f"{address} answered with more than {limit} bytes")
    if time.monotonic() > until:  # being cut off reads like the end
        raise UpstreamFault(f"{address} took too long to answer")
    if response.length:  # read1 reports an early end of the connection as the end of the body
        raise UpstreamFault(f"{address} broke off in the middle of its answer")
    return bytes(body)
