"""The proxy between real clients and a real server that asks for a password in the clear over TLS, as the gateway does."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from blastwall.errors import ClientFault
from blastwall.model import Secret
from cli import proxy
from cli.proxy import Proxy
from cli.strings import Door
from rig.certificates import Certificates
from rig.postgres import EmbeddedPostgres, psql_path

TOKEN = "a-token"


@pytest.fixture(scope="module")
def gateway(rig_directory: Path, certificates: Certificates) -> Iterator[EmbeddedPostgres]:
    """Roles named as the gateway's logins are; TLS only, but for the superuser who makes them."""
    rules = rig_directory / "cleartext.hba"
    rules.write_text(
        "host all postgres 127.0.0.1/32 scram-sha-256\n"
        "hostssl all all 127.0.0.1/32 password\n"
        "hostnossl all all 127.0.0.1/32 reject\n"
    )
    rules.chmod(0o644)
    server = EmbeddedPostgres(rig_directory / "cleartext", certificates=certificates, settings={"hba_file": str(rules)})
    with server:
        server.create_database("shop")
        for role in ("shop", "reader@shop", "fixed@shop"):
            server.psql(f"""CREATE ROLE "{role}" LOGIN PASSWORD '{TOKEN}'""")
        yield server
    server.destroy()


@pytest.fixture
def door(gateway: EmbeddedPostgres, certificates: Certificates) -> Door:
    return Door("127.0.0.1", gateway.port, "shop", "shop", certificates.ca)


async def listening(made: Proxy) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0, limit=proxy.CHUNK)
    return server, server.sockets[0].getsockname()[1]


@pytest.fixture
async def port(door: Door) -> AsyncIterator[int]:
    made = Proxy(door, "shop", lambda: Secret(TOKEN), None)
    server, number = await listening(made)
    yield number
    server.close()
    await made.close()


async def psql(port: int, user: str, sql: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(psql_path()), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]
    place = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": user,
        "PGDATABASE": "shop",
        "PGCONNECT_TIMEOUT": "10",
    }
    environment = {"PATH": os.defpath, **place, **environ}
    return await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


async def test_psql_needs_no_password(port: int) -> None:
    done = await psql(port, "reader", "SELECT session_user")
    assert (done.stdout, done.stderr) == ("reader@shop\n", "")


async def test_the_targets_own_name_asks_for_its_default_user(port: int) -> None:
    assert (await psql(port, "shop", "SELECT session_user")).stdout == "shop\n"


async def test_the_gateway_is_reached_over_tls(port: int) -> None:
    done = await psql(port, "reader", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert done.stdout == "t\n"


async def test_a_fixed_user_overrides_the_clients(door: Door) -> None:
    made = Proxy(door, "shop", lambda: Secret(TOKEN), "fixed")
    server, number = await listening(made)
    assert (await psql(number, "reader", "SELECT session_user")).stdout == "fixed@shop\n"
    server.close()
    await made.close()


async def test_a_large_result_and_a_large_upload_pass_whole(port: int) -> None:
    def work() -> tuple[int, int]:
        with psycopg.connect(f"postgresql://reader@127.0.0.1:{port}/shop") as connection:
            connection.execute("CREATE TEMP TABLE big (line text)")
            with connection.cursor().copy("COPY big FROM STDIN") as copy:
                for _ in range(20_000):
                    copy.write_row(["x" * 500])
            rows = connection.execute("SELECT line FROM big").fetchall()
            return len(rows), sum(len(row[0]) for row in rows)

    assert await asyncio.to_thread(work) == (20_000, 10_000_000)


async def test_a_cancel_request_reaches_the_server(port: int) -> None:
    def work() -> str:
        with psycopg.connect(f"postgresql://reader@127.0.0.1:{port}/shop") as connection:
            pid = connection.info.backend_pid
            with psycopg.connect(f"postgresql://reader@127.0.0.1:{port}/shop", autocommit=True) as other:
                import threading

                def cancel() -> None:
                    asked = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
                    while other.execute(asked, [pid]).fetchone() != (1,):
                        pass
                    connection.cancel_safe(timeout=10)

                thread = threading.Thread(target=cancel)
                thread.start()
                try:
                    connection.execute("SELECT pg_sleep(30)")
                except psycopg.errors.QueryCanceled as stopped:
                    return str(stopped)
                finally:
                    thread.join()
        return "not cancelled"

    assert "canceling statement due to user request" in await asyncio.to_thread(work)


async def test_a_refused_token_is_told_to_the_client_in_the_gateways_words(door: Door) -> None:
    made = Proxy(door, "shop", lambda: Secret("wrong"), None)
    server, number = await listening(made)
    done = await psql(number, "reader", "SELECT 1")
    assert done.returncode == 2
    assert 'password authentication failed for user "reader@shop"' in done.stderr
    server.close()
    await made.close()


async def test_a_missing_token_is_told_to_the_client(door: Door) -> None:
    def none() -> Secret:
        raise ClientFault("put a token into the variable")

    made = Proxy(door, "shop", none, None)
    server, number = await listening(made)
    assert "put a token into the variable" in (await psql(number, "reader", "SELECT 1")).stderr
    server.close()
    await made.close()


async def test_a_gateway_with_another_certificate_never_sees_the_token(door: Door, tmp_path: Path) -> None:
    from rig.certificates import ensure_certificates

    other = ensure_certificates(tmp_path / "other", time.time())
    asked = []
    made = Proxy(
        Door(door.host, door.port, "shop", "shop", other.ca), "shop", lambda: asked.append(1) or Secret(TOKEN), None
    )
    server, number = await listening(made)
    done = await psql(number, "reader", "SELECT 1")
    assert "cannot reach the gateway" in done.stderr
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert not asked
    server.close()
    await made.close()


async def test_a_gateway_that_is_not_there_is_an_error_message(door: Door) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        free = closed.getsockname()[1]
    made = Proxy(Door(door.host, free, "shop", "shop", door.ca), "shop", lambda: Secret(TOKEN), None)
    server, number = await listening(made)
    assert f"cannot reach the gateway at 127.0.0.1:{free}" in (await psql(number, "reader", "SELECT 1")).stderr
    server.close()
    await made.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (7).to_bytes(4, "big") + b"abc",
        (10_001).to_bytes(4, "big") + b"\0" * 100,
        (9).to_bytes(4, "big") + (196608).to_bytes(4, "big") + b"x",
        (8).to_bytes(4, "big") + (196608).to_bytes(4, "big"),
        3 * ((8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")),
    ],
)
async def test_what_is_not_postgresql_is_refused_and_closed(port: int, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.lstrip(b"N")[:1] == b"E"
    assert b"FATAL" in answer
    writer.close()


async def test_a_port_that_is_taken_is_told_with_what_to_do(door: Door) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use; give another --port"
        with pytest.raises(ClientFault, match=said):
            await proxy.serve(proxy.Proxy(door, "shop", lambda: Secret("x"), None), port)


async def test_it_takes_no_more_connections_than_it_can_serve(
    port: int, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "MOST_CONNECTIONS", 1)
    first, first_writer = await asyncio.open_connection("127.0.0.1", port)
    first_writer.write((8).to_bytes(4, "big") + (80877103).to_bytes(4, "big"))
    assert await first.readexactly(1) == b"N"
    # libpq shows no message that comes before its question about TLS is answered: it could be anybody's.
    done = await psql(port, "reader", "SELECT 1", PGSSLMODE="disable")
    assert "more than 1 connections" in done.stderr
    first_writer.close()


def test_renaming_keeps_everything_else() -> None:
    body = b"user\0reader\0database\0shop\0application_name\0psql\0\0"
    packet = (8 + len(body)).to_bytes(4, "big") + (196608).to_bytes(4, "big") + body
    new = proxy.renamed(packet, "target", None)
    assert int.from_bytes(new[:4], "big") == len(new)
    assert new[4:8] == packet[4:8]
    assert new[8:].split(b"\0") == [
        *(b"user", b"reader@target", b"database", b"shop", b"application_name", b"psql"),
        *(b"", b""),
    ]


def test_a_client_without_a_database_keeps_its_own_default() -> None:
    """The server's default is the user's name, which is about to change."""
    body = b"user\0shop\0\0"
    packet = (8 + len(body)).to_bytes(4, "big") + (196608).to_bytes(4, "big") + body
    assert b"database\0shop\0" in proxy.renamed(packet, "target", "fixed")
