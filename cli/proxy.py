"""``blastwall proxy``: a port on this machine for clients that cannot send a token.

The port speaks plain PostgreSQL to the client and TLS to the gateway, and answers the gateway's question for a password
with the token. It binds 127.0.0.1 only: everybody who can reach it is the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import Callable

import click

from blastwall.errors import ClientFault, Fault, UpstreamFault
from blastwall.model import Secret
from cli import door
from cli.strings import Door

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102  # PostgreSQL, section 53.7
MOST_STARTUP_BYTES = 10_000  # what the server itself takes (MAX_STARTUP_PACKET_LENGTH)
MOST_QUESTIONS = 2  # one for TLS, one for GSSAPI
MOST_CONNECTIONS = 100
GREET_SECONDS = 30.0
CHUNK = 64 * 1024
CONNECTION_FAILURE = "08006"


@click.command(short_help="A local port that brings the token.")
@click.argument("target")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="The port on 127.0.0.1; 0: any free one.")
@click.option("--user", "-u", help="The database user to be, whatever the client says.")
@door.way_options
@door.agent_options
def command(
    target: str,
    port: int,
    user: str | None,
    way: door.Way,
    agent: door.Agent,
) -> None:
    """Listen on 127.0.0.1:PORT for clients of TARGET that cannot send a token; Ctrl-C stops.

    The client's user is the database user to be; the target's own name, as user, asks for its default.
    """
    protocol, place = door.find(way, target, database=None, user=None)
    if protocol != "postgres":
        raise click.UsageError(f"{target} speaks {protocol}: the proxy knows PostgreSQL only")
    tokens = door.Tokens(way, agent)
    tokens.get()  # a problem with it is told here, not to the first client
    asyncio.run(serve(Proxy(place, target, tokens.get, user), port))


async def serve(proxy: Proxy, port: int) -> None:
    """Run until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        server = await asyncio.start_server(proxy.accept, "127.0.0.1", port, limit=CHUNK)
    except OSError as fault:
        why = os.strerror(fault.errno) if fault.errno else str(fault)  # asyncio's own text says it all twice
        raise ClientFault(f"cannot listen on 127.0.0.1:{port}: {why}; give another --port (0: any free one)") from fault
    bound = server.sockets[0].getsockname()[1]
    click.echo(f"ready: {proxy.target} on 127.0.0.1:{bound}, without a password; Ctrl-C stops")
    await stop.wait()
    server.close()
    await proxy.close()


class Proxy:
    """Brings clients to one target. ``tokens`` is asked once for each connection; ``user`` overrides the client's."""

    def __init__(self, place: Door, target: str, tokens: Callable[[], Secret], user: str | None) -> None:
        self.target = target
        self._place = place
        self._tokens = tokens
        self._user = user
        self._tls = ssl.create_default_context(cafile=str(place.ca))
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._live: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._live.add(task)
        try:
            if len(self._live) > MOST_CONNECTIONS:
                raise ClientFault(f"blastwall proxy: more than {MOST_CONNECTIONS} connections")
            await self._serve(reader, writer)
        except Fault as fault:
            writer.write(_error(str(fault)))
            with contextlib.suppress(OSError):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one of the two has gone, or we stop: the other is told by the close
        finally:
            self._live.discard(task)
            writer.close()

    async def close(self) -> None:
        """End what lives."""
        for task in tuple(self._live):
            task.cancel()
        if self._live:
            await asyncio.wait(self._live, timeout=5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(GREET_SECONDS):
                packet = await _first_packet(reader, writer)
                up_reader, up_writer = await self._open()
        except TimeoutError:
            return
        try:
            if _code(packet) == CANCEL_REQUEST:
                up_writer.write(packet)
                await up_writer.drain()
                return
            async with asyncio.timeout(GREET_SECONDS):
                up_writer.write(renamed(packet, self.target, self._user))
                answer = await _authenticate(up_reader, up_writer, self._tokens)
            writer.write(answer)
            await _splice(reader, writer, up_reader, up_writer)
        except TimeoutError:
            raise UpstreamFault("the gateway did not answer in time") from None
        finally:
            up_writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection to the gateway, its certificate verified for its name. Raises UpstreamFault."""
        try:
            reader, writer = await asyncio.open_connection(self._place.host, self._place.port, limit=CHUNK)
            writer.write(_packet(SSL_REQUEST, b""))
            if await reader.readexactly(1) != b"S":
                writer.close()
                raise UpstreamFault("the gateway offers no TLS, and the token is not sent without it")
            await writer.start_tls(self._tls, server_hostname=self._place.host)
        except (OSError, asyncio.IncompleteReadError) as fault:
            place = f"{self._place.host}:{self._place.port}"
            raise UpstreamFault(f"cannot reach the gateway at {place}: {fault}") from fault
        return reader, writer


async def _first_packet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The client's start-up or cancel packet, after declining encryption: this is loopback."""
    for _ in range(MOST_QUESTIONS + 1):
        length = int.from_bytes(await reader.readexactly(4), "big")
        if not 8 <= length <= MOST_STARTUP_BYTES:
            raise ClientFault("this port speaks PostgreSQL only")
        packet = length.to_bytes(4, "big") + await reader.readexactly(length - 4)
        if _code(packet) not in (SSL_REQUEST, GSS_REQUEST):
            return packet
        writer.write(b"N")
    raise ClientFault("the client asks for encryption again and again")


def renamed(packet: bytes, target: str, user: str | None) -> bytes:
    """The start-up packet with the user that the gateway expects. Raises ClientFault for one that is malformed."""
    words = packet[8:].split(b"\0")
    if _code(packet) >> 16 != 3 or words[-2:] != [b"", b""] or len(words) % 2:
        raise ClientFault("malformed start-up packet")
    pairs = dict(zip(words[0:-2:2], words[1:-2:2], strict=True))
    asked = user if user is not None else pairs.get(b"user", b"").decode(errors="replace")
    login = target if asked in ("", target) else f"{asked}@{target}"
    pairs.setdefault(b"database", pairs.get(b"user", b""))
    pairs[b"user"] = login.encode()
    body = b"".join(name + b"\0" + value + b"\0" for name, value in pairs.items())
    return _packet(_code(packet), body + b"\0")


async def _authenticate(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tokens: Callable[[], Secret]
) -> bytes:
    """Answer the gateway's question for a password; returns what is for the client, if it says something else."""
    while True:
        head = await reader.readexactly(5)
        length = int.from_bytes(head[1:], "big")
        if not 4 <= length <= CHUNK:
            raise UpstreamFault("the gateway sent a malformed message")
        message = head + await reader.readexactly(length - 4)
        if head[:1] == b"R" and message[5:] == (3).to_bytes(4, "big"):  # AuthenticationCleartextPassword
            password = tokens().reveal().encode() + b"\0"
            writer.write(b"p" + (4 + len(password)).to_bytes(4, "big") + password)
            await writer.drain()
            return b""
        if head[:1] not in (b"N", b"v"):  # a notice or a version may come first; anything else is the client's to read
            return message


async def _splice(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    up_reader: asyncio.StreamReader,
    up_writer: asyncio.StreamWriter,
) -> None:
    """Copy both ways until either side ends. At most a chunk is held for a reader that is slow."""
    up = asyncio.create_task(_copy(reader, up_writer))
    down = asyncio.create_task(_copy(up_reader, writer))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


def _code(packet: bytes) -> int:
    return int.from_bytes(packet[4:8], "big")


def _packet(code: int, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + code.to_bytes(4, "big") + body


def _error(message: str) -> bytes:
    """A FATAL ErrorResponse."""
    fields = {b"S": b"FATAL", b"V": b"FATAL", b"C": CONNECTION_FAILURE.encode(), b"M": message.encode()}
    body = b"".join(name + value.replace(b"\0", b" ") + b"\0" for name, value in fields.items()) + b"\0"
    return b"E" + (4 + len(body)).to_bytes(4, "big") + body
