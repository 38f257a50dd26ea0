"""A client's first bytes: TLS or not, start-up packet, token.

Source: PostgreSQL documentation, "Start-up" and "SSL Session Encryption".

Everything before TLS is read from the bare socket in exact sizes, so that no plaintext byte can be carried over into
the encrypted stream (CVE-2021-23214 is that mistake).
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from blastwall.conversation import Hello, Host
from blastwall.errors import ClientFault, ProtocolViolation
from blastwall.protocols.postgres import messages, requests
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.startup import judge_startup, unknown_options
from blastwall.wire.wire import Signal, Wire

TLS_HANDSHAKE = 0x16
ALPN = "postgresql"
HANDSHAKE_SECONDS = 15.0
#: The newest minor version of protocol 3 the gateway speaks (3.2 brought long cancel keys).
MINOR = 2


@dataclass(slots=True)
class Arrival:
    """A client that has named itself."""

    down: Downstream
    wire: Wire
    signal: Signal
    hello: Hello
    parameters: dict[str, str]
    minor: int


@dataclass(slots=True)
class Cancelling:
    """A client that only wants to cancel. It waits until its wire is closed, to know that the request was passed on."""

    request: requests.CancelRequest
    wire: Wire


async def arrive(sock: socket.socket, host: Host) -> Arrival | Cancelling:
    """Follow a client until it has sent its token, or asks to cancel.

    Raises ClientFault when it does not get so far; what the protocol wants to be said was said by then, and the
    connection is closed.
    """
    loop = asyncio.get_running_loop()
    signal = Signal(loop)
    down = Downstream()
    wire = Wire(down, signal)
    try:
        encrypted = await _before_tls(sock, down, host)
        await loop.connect_accepted_socket(
            lambda: wire,
            sock,
            ssl=host.tls if encrypted else None,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if encrypted else None,
        )
        return await _start(down, wire, signal, host, encrypted)
    except ProtocolViolation as violation:
        wire.write(messages.error_response("FATAL", violation.code, str(violation)))
        wire.close()
        raise
    except OSError as fault:  # TLS that fails is one, too
        wire.abort()
        raise ClientFault(f"the connection failed before its client had named itself: {fault}") from None
    except BaseException:
        wire.abort()
        raise


async def _before_tls(sock: socket.socket, down: Downstream, host: Host) -> bool:
    """Answer encryption requests on the bare socket. Returns whether TLS comes next."""
    loop = asyncio.get_running_loop()
    if await _peek(sock) == TLS_HANDSHAKE:
        if host.tls is None:
            raise ClientFault("a client began TLS at a listener that has none")
        return True
    while True:
        down.receive(await _exactly(sock, 8))
        event = down.next_event()
        if isinstance(event, requests.SSLRequest):
            if _pending(sock):
                raise ClientFault("bytes followed an SSLRequest in the clear: the connection was dropped")
            if host.tls is not None:
                await loop.sock_sendall(sock, b"S")
                down.encrypted()
                return True
            await loop.sock_sendall(sock, b"N")
        elif isinstance(event, requests.GSSENCRequest):
            if _pending(sock):
                raise ClientFault("bytes followed a GSSENCRequest in the clear: the connection was dropped")
            await loop.sock_sendall(sock, b"N")
        else:
            assert event is None, "eight bytes hold no other message"
            return False


async def _start(down: Downstream, wire: Wire, signal: Signal, host: Host, encrypted: bool) -> Arrival | Cancelling:
    if encrypted:
        chosen = wire.transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if chosen is not None and chosen != ALPN:
            raise ClientFault(f"the client chose the application protocol {chosen!r} over TLS")
    event = await _event(down, wire, signal)
    if isinstance(event, requests.CancelRequest):
        return Cancelling(event, wire)
    if not isinstance(event, requests.Startup):
        raise ProtocolViolation("a startup packet was expected", code="08P01")
    if not encrypted and not host.insecure:
        raise ProtocolViolation(
            "blastwall: a token must not travel without TLS: connect with sslmode=verify-full",
            code="28000",
        )
    kept, problem = judge_startup(event.parameters)
    if problem is not None:
        raise ProtocolViolation(f"blastwall: {problem}", code="42501")
    unknown = unknown_options(event.parameters)
    if unknown or event.minor not in (0, MINOR):
        wire.write(messages.negotiate_protocol_version(MINOR if event.minor > MINOR else 0, unknown))
    wire.write(messages.AUTHENTICATION_CLEARTEXT)
    password = await _event(down, wire, signal)
    if not isinstance(password, requests.Password):
        raise ProtocolViolation("a password message with the agent's token was expected", code="08P01")
    user, at, target = kept["user"].rpartition("@")
    attributes = {key: value for key, value in kept.items() if key != "user"}
    attributes["client_address"] = _address(wire)
    if attributes.get("database") == kept["user"]:
        del attributes["database"]  # libpq's default: none was asked for
    hello = Hello(password.secret, target, user if at else None, attributes)
    return Arrival(down, wire, signal, hello, kept, min(event.minor, MINOR) if event.minor != 1 else 0)


def _address(wire: Wire) -> str:
    """The client's address, "" for a socket without one."""
    peer = wire.transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


async def _event(down: Downstream, wire: Wire, signal: Signal) -> requests.Event:
    while True:
        event = down.next_event()
        if event is not None:
            if isinstance(event, requests.Terminate):
                raise ClientFault("the client left before it had named itself")
            return event
        if wire.error is not None:
            raise wire.error
        if wire.closed:
            raise ClientFault("the client left before it had named itself")
        await signal.wait()


async def _peek(sock: socket.socket) -> int:
    """The first byte, left in the socket."""
    await _readable(sock)
    first = sock.recv(1, socket.MSG_PEEK)
    if not first:
        raise ClientFault("the client left without a word")
    return first[0]


def _pending(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    descriptor = sock.fileno()

    def arrived() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(descriptor, arrived)
    try:
        await future
    finally:
        loop.remove_reader(descriptor)


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        piece = await loop.sock_recv(sock, size - len(data))
        if not piece:
            raise ClientFault("the client left before it had named itself")
        data += piece
    return data
