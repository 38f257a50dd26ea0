"""The downstream engine and the builders against real drivers: a server of a few lines that only they keep honest."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pg8000.dbapi
import psycopg
import pytest

from blastwall.errors import ProtocolViolation
from blastwall.protocols.postgres import messages, requests
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.requests import Bind, Event, Parse, Query
from blastwall.protocols.postgres.startup import judge_startup, unknown_options

LAYOUT = messages.row_description([("id", 16384, 1, 23, 4, -1, 0), ("name", 16384, 2, 25, -1, -1, 0)])
ROWS = messages.data_row([b"1", b"one"]) + messages.data_row([b"2", None])
BINARY_LAYOUT = messages.row_description([("id", 16384, 1, 23, 4, -1, 1), ("name", 16384, 2, 25, -1, -1, 1)])
BINARY_ROWS = messages.data_row([b"\0\0\0\1", b"one"]) + messages.data_row([b"\0\0\0\2", None])
NOTICE = messages.notice_response("NOTICE", "00000", "please wait", detail="a person is asked")
REFUSED = messages.error_response(
    "ERROR", "42501", "no", detail="because", hint="ask", position=3, fields={"t": "orders"}
)


class Peer(threading.Thread):
    """One client's server: cleartext password, then canned answers. ``events`` is all it heard."""

    def __init__(self, speaks: int) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.events: list[Event] = []
        self.kept: dict[str, str] = {}
        self.problem: str | None = None
        self.binary = False
        self.minor = speaks

    def run(self) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(20)
        engine = Downstream()
        with connection:
            while engine.state != "closed":
                event = engine.next_event()
                if event is None:
                    engine.receive(connection.recv(65536))
                else:
                    self.events.append(event)
                    connection.sendall(self.answer(engine, event))

    def answer(self, engine: Downstream, event: Event) -> bytes:
        match event:
            case requests.SSLRequest() | requests.GSSENCRequest():
                return messages.SSL_REFUSED
            case requests.Startup(minor, parameters):
                self.kept, self.problem = judge_startup(parameters)
                unknown = unknown_options(parameters)
                negotiated = minor > self.minor or unknown
                self.minor = min(minor, self.minor)
                version = messages.negotiate_protocol_version(self.minor, unknown) if negotiated else b""
                return version + messages.AUTHENTICATION_CLEARTEXT
            case requests.Password():
                engine.authenticated()
                status = b"".join(
                    messages.parameter_status(name, value)
                    for name, value in (
                        ("server_version", "17.10"), ("client_encoding", "UTF8"), ("standard_conforming_strings", "on"),
                        ("integer_datetimes", "on"), ("DateStyle", "ISO, MDY"), ("TimeZone", "UTC"), ("server_encoding", "UTF8"),
                    )
                )  # fmt: skip
                key = messages.backend_key_data(4711, b"k" * (32 if self.minor >= 2 else 4))
                return messages.AUTHENTICATION_OK + status + key + messages.ready_for_query(b"I")
            case requests.Query(text):
                return NOTICE + self.result(text) + messages.ready_for_query(b"I")
            case requests.Parse():
                return messages.PARSE_COMPLETE
            case requests.Bind():
                self.binary = 1 in event.result_formats
                return messages.BIND_COMPLETE
            case requests.Describe(kind=b"S"):
                return messages.parameter_description([23]) + LAYOUT
            case requests.Describe():
                return BINARY_LAYOUT if self.binary else LAYOUT
            case requests.Execute():
                return (BINARY_ROWS if self.binary else ROWS) + messages.command_complete("SELECT 2")
            case requests.Close():
                return messages.CLOSE_COMPLETE
            case requests.Sync():
                return messages.ready_for_query(b"I")
        return b""

    @staticmethod
    def result(text: bytes) -> bytes:
        if text.startswith(b"SELECT"):
            return LAYOUT + ROWS + messages.command_complete("SELECT 2")
        if text.startswith(b"DROP"):
            return REFUSED
        return messages.command_complete(text.split()[0].decode().upper()) if text else messages.EMPTY_QUERY_RESPONSE

    def heard(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@contextmanager
def peer(speaks: int = 2) -> Iterator[Peer]:
    thread = Peer(speaks)
    thread.start()
    yield thread
    thread.join(20)
    thread.listener.close()
    assert not thread.is_alive() and thread.problem is None
    assert thread.events[-1] == requests.Terminate(orderly=True)
    assert thread.heard(requests.Password)[0].secret.reveal() == "a token"


def dsn(port: int, **more: str) -> str:
    words = {"host": "127.0.0.1", "port": str(port), "user": "agent", "dbname": "shop", "password": "'a token'"} | more
    return " ".join(f"{name}={value}" for name, value in words.items())


ANSWER = [(1, "one"), (2, None)]


@pytest.mark.parametrize("version", ["3.0", "3.2"])
def test_libpq(version: str) -> None:
    with peer() as it:
        with psycopg.connect(dsn(it.port, max_protocol_version=version), autocommit=True) as connection:
            heard: list[str | None] = []
            connection.add_notice_handler(lambda notice: heard.append(notice.message_detail))
            cursor = psycopg.ClientCursor(connection)
            assert cursor.execute("SELECT %s", (5,)).fetchall() == ANSWER
            assert cursor.description is not None and [column.name for column in cursor.description] == ["id", "name"]
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
                cursor.execute("DROP TABLE t")
            told = caught.value.diag
            assert (told.message_detail, told.message_hint, told.table_name) == ("because", "ask", "orders")
            assert told.statement_position == "3" and heard == ["a person is asked"] * 2
            assert connection.execute("SELECT %s", (7,)).fetchall() == ANSWER
            assert connection.info.backend_pid == 4711
        assert it.heard(Query)[:2] == [Query(b"SELECT 5"), Query(b"DROP TABLE t")]
        assert it.heard(Bind)[0].parameters == (b"\0\x07",)
        assert it.kept["user"] == "agent" and it.kept["database"] == "shop"


def test_w18_libpq_takes_a_version_that_is_negotiated_down() -> None:
    with peer(speaks=0) as it:
        with psycopg.connect(dsn(it.port, max_protocol_version="3.2"), autocommit=True) as connection:
            assert connection.execute("SELECT 1").fetchall() == ANSWER
        assert it.heard(requests.Startup)[0].minor == 2


def test_asyncpg() -> None:
    async def talk(port: int) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user="agent", database="shop", password="a token", ssl=False,
            server_settings={"application_name": "agent", "jit": "off"},
        )  # fmt: skip
        assert [tuple(row) for row in await connection.fetch("SELECT id, name FROM t WHERE id > $1", 0)] == ANSWER
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no"):
            await connection.execute("DROP TABLE t")
        await connection.close()

    with peer() as it:
        asyncio.run(talk(it.port))
        assert it.kept["application_name"] == "agent" and it.kept["client_encoding"] == "UTF8"
        assert [event.text for event in it.heard(Parse)] == [b"SELECT id, name FROM t WHERE id > $1"]
        assert it.heard(Bind)[0].parameters == (b"\0\0\0\0",)


def test_pg8000() -> None:
    with peer() as it:
        connection = pg8000.dbapi.connect(
            host="127.0.0.1", port=it.port, user="agent", database="shop", password="a token"
        )
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT id, name FROM t WHERE id > %s", (0,))
        assert [tuple(row) for row in cursor.fetchall()] == ANSWER
        connection.close()
        assert it.heard(Bind)[0].parameters == (b"0",)


@pytest.mark.parametrize(
    "spoil", [lambda said: said + b"\0", lambda said: b"!" + said[1:], lambda said: said[:1] + b"\0" * 4]
)
def test_a_violation_reads_to_libpq_as_a_servers_error(spoil: Callable[[bytes], bytes]) -> None:
    """What a driver is told about a violation is a well-formed ErrorResponse."""
    engine = Downstream()
    engine.receive(messages.startup({"user": "u"}))
    engine.next_event()
    engine.authenticated()
    engine.receive(spoil(messages.query(b"SELECT 1")) + b"\0\0\0\0")
    with pytest.raises(ProtocolViolation) as caught:
        while engine.next_event() is not None:
            pass
    server = socket.create_server(("127.0.0.1", 0))

    def tell() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(8192)
            connection.sendall(messages.error_response("FATAL", caught.value.code, str(caught.value)))

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    with pytest.raises(psycopg.OperationalError, match=str(caught.value)):
        psycopg.connect(dsn(server.getsockname()[1], sslmode="disable", gssencmode="disable"))
    thread.join(20)
    server.close()
