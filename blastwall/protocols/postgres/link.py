"""The leg to the database: TCP, TLS, authentication, and the cancel request on a connection of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blastwall.errors import Unreachable, UpstreamFault
from blastwall.model import Credential
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.upstream import Encryption, Ready, Upstream
from blastwall.wire import tcp
from blastwall.wire.tls import BUNDLE, verifying
from blastwall.wire.wire import Signal, Wire

HANDSHAKE_SECONDS = 15.0
CANCEL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where a database is and how its TLS is checked. ``mode``: disable, require (encrypt only) or verify-full."""

    host: str
    port: int
    mode: str = "verify-full"
    ca_file: str | None = None

    @property
    def verified(self) -> bool:
        """Is the server known to be the right one? Only then may it be handed a password as it is."""
        return self.mode == "verify-full"

    def context(self) -> ssl.SSLContext | None:
        """None for mode disable. Raises UpstreamFault when the CA file cannot be read."""
        if self.mode == "disable":
            return None
        try:
            context = verifying(self.ca_file, os.environ)
        except OSError as fault:
            named = self.ca_file or os.environ.get(BUNDLE)
            raise UpstreamFault(f"the CA file {named} cannot be read: {fault}") from None
        if self.mode == "require":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(slots=True)
class Link:
    """An authenticated leg."""

    up: Upstream
    wire: Wire
    ready: Ready


async def open_link(route: Route, parameters: Mapping[str, str], credential: Credential, signal: Signal) -> Link:
    """Connect and authenticate. The caller sets the deadline. Raises UpstreamFault."""
    up = Upstream()
    wire = Wire(up, signal)
    sock = await _connect(route)
    try:
        encrypted = await _encrypt(route, sock, up, wire)
    except BaseException:
        sock.close()
        raise
    certificate = wire.transport.get_extra_info("ssl_object").getpeercert(binary_form=True) if encrypted else None
    try:
        up.start(
            {**parameters, "user": credential.user},
            credential.secret,
            nonce=secrets.token_urlsafe(24),
            allow_cleartext=encrypted and route.verified,
            certificate=certificate,
        )
        while True:
            event = up.next_event()
            data = up.data_to_send()
            if data:
                wire.write(data)
            if isinstance(event, Ready):
                return Link(up, wire, event)
            if event is None:
                if wire.closed and not up.ready:
                    raise Unreachable("the database closed the connection while it was opened", code="08006")
                await signal.wait()
    except BaseException:
        wire.abort()
        raise


async def _connect(route: Route) -> socket.socket:
    loop = asyncio.get_running_loop()
    problem: OSError | None = None
    for family, kind, protocol, _, address in await _resolve(route):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            tcp.prepare(sock)
        except OSError as fault:
            sock.close()
            problem = fault
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    why = os.strerror(problem.errno) if problem is not None and problem.errno else str(problem)  # asyncio's are longer
    raise Unreachable(f"cannot reach the database at {route.host}:{route.port}: {why}", code="08001")


async def _resolve(route: Route) -> list[tuple[Any, ...]]:
    try:
        number = ipaddress.ip_address(route.host)
    except ValueError:
        pass
    else:  # nobody has to be asked: that takes a thread
        family = socket.AF_INET if number.version == 4 else socket.AF_INET6
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (route.host, route.port))]
    try:
        return await tcp.resolve(route.host, route.port)
    except OSError as fault:
        raise Unreachable(f"the database's name {route.host} does not resolve: {fault}", code="08001") from None


async def _encrypt(route: Route, sock: socket.socket, up: Upstream, wire: Wire) -> bool:
    """Ask for TLS where the route wants it, and put the wire on the socket. Returns whether it is encrypted."""
    loop = asyncio.get_running_loop()
    context = route.context()
    if context is not None:
        up.request_tls()
        await loop.sock_sendall(sock, up.data_to_send())
        up.receive(await loop.sock_recv(sock, 1))
        event = up.next_event()
        if not isinstance(event, Encryption) or not event.accepted:
            raise UpstreamFault(
                f"the database at {route.host}:{route.port} does not offer TLS, which this target requires "
                "(target option tls.mode)",
                code="08001",
            )
    try:
        await loop.create_connection(
            lambda: wire,
            sock=sock,
            ssl=context,
            server_hostname=route.host if context is not None else None,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if context is not None else None,
        )
    except (ssl.SSLError, OSError) as fault:
        raise UpstreamFault(
            f"TLS with the database at {route.host}:{route.port} failed: {fault}", code="08001"
        ) from None
    return context is not None


async def cancel(route: Route, pid: int, secret: bytes) -> None:
    """Ask the database to cancel what the backend ``pid`` runs. Silent, as the protocol is; gives up after 5 s."""
    if not secret:
        return
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            sock = await _connect(route)
            try:
                up = Upstream()
                wire = Wire(up, Signal(asyncio.get_running_loop()))
                await _encrypt(route, sock, up, wire)
            except BaseException:
                sock.close()
                raise
            wire.write(messages.cancel_request(pid, secret))
            wire.close()
    except (TimeoutError, UpstreamFault):
        return
