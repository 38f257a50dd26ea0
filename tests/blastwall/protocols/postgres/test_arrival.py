"""Arrival over real sockets and real TLS: the wire rows W13 and W15 to W19 of the threat catalogue."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from blastwall.conversation import Host
from blastwall.errors import ClientFault
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.arrival import Arrival, Cancelling, arrive
from rig.certificates import Certificates

SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
GSS_REQUEST = (8).to_bytes(4, "big") + (80877104).to_bytes(4, "big")


class Client:
    """The other end: what it hears, and what became of its arrival."""

    def __init__(self, host: Host) -> None:
        ours, self.sock = socket.socketpair()
        for sock in (ours, self.sock):
            sock.setblocking(False)
        self.arrival = asyncio.ensure_future(arrive(ours, host))
        self._ours = ours

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def hear(self, size: int = 65536) -> bytes:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.sock, size)

    async def outcome(self) -> Arrival | Cancelling:
        async with asyncio.timeout(5):
            return await self.arrival

    def close(self) -> None:
        self.arrival.cancel()
        self.sock.close()
        with contextlib.suppress(OSError):
            self._ours.close()


def plain() -> Host:
    return Host(None, True, {})


def encrypted(certificates: Certificates, insecure: bool = False) -> Host:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    context.set_alpn_protocols(["postgresql"])
    return Host(context, insecure, {})


def startup(minor: int = 0, **parameters: str) -> bytes:
    return messages.startup({"user": "app@shop", "database": "shop"} | parameters, minor)


async def test_a_client_names_its_target_its_user_and_its_database() -> None:
    client = Client(plain())
    await client.send(startup())
    assert await client.hear() == messages.AUTHENTICATION_CLEARTEXT
    await client.send(messages.password(b"a.b.c"))
    arrival = await client.outcome()
    assert isinstance(arrival, Arrival)
    assert (arrival.hello.target, arrival.hello.database_user) == ("shop", "app")
    assert arrival.hello.attributes["database"] == "shop"
    assert arrival.hello.token.reveal() == "a.b.c"
    client.close()


async def test_libpqs_default_database_is_no_choice() -> None:
    client = Client(plain())
    await client.send(messages.startup({"user": "shop", "database": "shop"}))
    await client.hear()
    await client.send(messages.password(b"t"))
    arrival = await client.outcome()
    assert isinstance(arrival, Arrival)
    assert "database" not in arrival.hello.attributes
    assert arrival.hello.database_user is None
    client.close()


async def test_a_token_does_not_travel_without_tls(certificates: Certificates) -> None:
    client = Client(encrypted(certificates))
    await client.send(startup())
    fields = replies.error_fields(await client.hear())
    assert fields["C"] == "28000"
    assert "sslmode=verify-full" in fields["M"]
    with pytest.raises(ClientFault):
        await client.outcome()
    client.close()


@pytest.mark.parametrize("direct", [False, True])
async def test_tls_by_request_and_direct(certificates: Certificates, direct: bool) -> None:
    client = Client(encrypted(certificates))
    if not direct:
        await client.send(GSS_REQUEST)
        assert await client.hear(1) == b"N"
        await client.send(SSL_REQUEST)
        assert await client.hear(1) == b"S"
    context = ssl.create_default_context(cafile=str(certificates.ca))
    if direct:
        context.set_alpn_protocols(["postgresql"])
    reader, writer = await asyncio.open_connection(sock=client.sock, ssl=context, server_hostname="localhost")
    writer.write(startup())
    assert await reader.readexactly(9) == messages.AUTHENTICATION_CLEARTEXT
    writer.write(messages.password(b"t"))
    assert isinstance(await client.outcome(), Arrival)
    writer.close()


async def test_another_application_protocol_over_tls_is_refused(certificates: Certificates) -> None:
    host = encrypted(certificates)
    host.tls.set_alpn_protocols(["http/1.1", "postgresql"])
    client = Client(host)
    context = ssl.create_default_context(cafile=str(certificates.ca))
    context.set_alpn_protocols(["http/1.1"])
    _, writer = await asyncio.open_connection(sock=client.sock, ssl=context, server_hostname="localhost")
    with pytest.raises(ClientFault, match=r"http/1\.1"):
        await client.outcome()
    writer.close()


async def test_w19_plaintext_behind_an_ssl_request_is_dropped(certificates: Certificates) -> None:
    client = Client(encrypted(certificates, insecure=True))
    await client.send(SSL_REQUEST + startup())
    with pytest.raises(ClientFault, match="in the clear"):
        await client.outcome()
    client.close()


async def test_w19_a_second_ssl_request_is_refused() -> None:
    client = Client(plain())
    await client.send(SSL_REQUEST)
    assert await client.hear(1) == b"N"
    await client.send(SSL_REQUEST)
    with pytest.raises(ClientFault):
        await client.outcome()
    client.close()


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"replication": "database"}, id="w15-replication"),
        pytest.param({"options": "-c standard_conforming_strings=off"}, id="w16-options"),
        pytest.param({"standard_conforming_strings": "off"}, id="w16-setting"),
        pytest.param({"session_replication_role": "replica"}, id="w16-replica"),
        pytest.param({"role": "postgres"}, id="w16-role"),
        pytest.param({"default_transaction_read_only": "off"}, id="w16-read-only"),
        pytest.param({"client_encoding": "SJIS"}, id="w16-encoding"),
    ],
)
async def test_startup_parameters_that_nobody_needs_are_refused(parameters: dict[str, str]) -> None:
    client = Client(plain())
    await client.send(startup(**parameters))
    fields = replies.error_fields(await client.hear())
    assert fields["S"] == "FATAL"
    assert next(iter(parameters)) in fields["M"]
    with pytest.raises(ClientFault):
        await client.outcome()
    client.close()


async def test_w17_a_key_given_twice_is_refused() -> None:
    client = Client(plain())
    body = (196608).to_bytes(4, "big") + b"user\0a\0user\0b\0\0"
    await client.send((len(body) + 4).to_bytes(4, "big") + body)
    assert replies.error_fields(await client.hear())["S"] == "FATAL"
    client.close()


@pytest.mark.parametrize(("minor", "extra", "offered"), [(9999, {}, 2), (0, {"_pq_.x": "1"}, 0)])
async def test_w18_what_is_not_spoken_is_negotiated_down(minor: int, extra: dict[str, str], offered: int) -> None:
    client = Client(plain())
    await client.send(startup(minor, **extra))
    heard = await client.hear()
    size = 1 + int.from_bytes(heard[1:5], "big")
    assert replies.negotiation(heard[:size]) == (offered, tuple(extra))
    assert heard[size:] == messages.AUTHENTICATION_CLEARTEXT
    client.close()


async def test_w20_a_cancel_request_is_no_session() -> None:
    client = Client(plain())
    await client.send(messages.cancel_request(7, b"abcd"))
    arrived = await client.outcome()
    assert isinstance(arrived, Cancelling)
    assert (arrived.request.pid, arrived.request.secret) == (7, b"abcd")
    arrived.wire.close()
    assert await client.hear() == b"", "its client waits for this end"
    client.close()


async def test_a_client_that_is_given_up_is_disconnected() -> None:
    client = Client(plain())
    await client.send(startup())
    assert await client.hear() == messages.AUTHENTICATION_CLEARTEXT
    client.arrival.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.outcome()
    assert await client.hear() == b""
    client.close()


async def test_tls_that_fails_is_a_client_fault(certificates: Certificates) -> None:
    client = Client(encrypted(certificates))
    await client.send(b"\x16\x03\x01\x00\x05hello")
    with pytest.raises(ClientFault, match="the connection failed before its client had named itself"):
        await client.outcome()
    client.close()


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, b"\x16\x03\x01garbage", b"\xff" * 16])
async def test_junk_is_a_client_fault_and_nothing_else(junk: bytes) -> None:
    client = Client(plain())
    await client.send(junk)
    client.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(ClientFault):
        await client.outcome()
    client.close()


async def test_leaving_early_is_a_client_fault(tmp_path: Path) -> None:
    for sent in (b"", SSL_REQUEST[:5], startup()[:20]):
        client = Client(plain())
        await client.send(sent)
        client.sock.close()
        with pytest.raises(ClientFault):
            await client.outcome()
