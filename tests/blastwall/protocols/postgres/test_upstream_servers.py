"""The upstream engine on blocking sockets against real servers: every way to authenticate, queries of both kinds, COPY."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from blastwall.errors import UpstreamFault
from blastwall.model import Secret
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.scram import verifier
from blastwall.protocols.postgres.upstream import Encryption, Ready, Run, Upstream
from rig.certificates import Certificates
from rig.postgres import EmbeddedPostgres

SALT = bytes(range(16))


class Link:
    """An engine and its socket."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.engine = Upstream()
        self.socket = socket.create_connection((server.host, server.port), timeout=20)
        self.sent = b""
        self.runs: list[Run] = []
        self.reads = 0

    def send(self, data: bytes) -> None:
        self.sent += data
        self.socket.sendall(data)

    def event(self) -> Any:
        while True:
            if data := self.engine.data_to_send():
                self.send(data)
            if (event := self.engine.next_event()) is not None:
                return event
            if data := self.engine.data_to_send():
                self.send(data)
            self.engine.receive(self.socket.recv(65536))
            self.reads += 1

    def encrypt(self, certificates: Certificates) -> bytes:
        """Start TLS; returns the server's certificate in DER."""
        self.engine.request_tls()
        assert self.event() == Encryption(True)
        tls = ssl.create_default_context(cafile=str(certificates.ca)).wrap_socket(
            self.socket, server_hostname="localhost"
        )
        self.socket = tls
        certificate = tls.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate

    def start(self, user: str, password: str | None, database: str, **options: Any) -> Ready:
        parameters = {"user": user, "database": database, "client_encoding": "UTF8"}
        secret = None if password is None else Secret(password)
        self.engine.start(parameters, secret, nonce=secrets.token_urlsafe(18), **options)
        ready = self.event()
        assert isinstance(ready, Ready)
        return ready

    def ask(self, data: bytes) -> str:
        """Send, and return the types of what comes back until ReadyForQuery; ``runs`` keeps it."""
        self.send(data)
        self.runs = [self.event()]
        while self.runs[-1].type != ord("Z"):
            self.runs.append(self.event())
        return "".join(chr(run.type) for run in self.runs)

    def rows(self) -> list[tuple[bytes | None, ...]]:
        return replies.data_rows(b"".join(run.data for run in self.runs if run.type == ord("D")))


@contextmanager
def link(server: EmbeddedPostgres) -> Iterator[Link]:
    opened = Link(server)
    try:
        yield opened
    finally:
        opened.socket.close()


def reload(server: EmbeddedPostgres) -> None:
    """Make the server read its rules again, and wait until new connections see them."""
    loaded = server.psql("SELECT pg_conf_load_time()")
    server.psql("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 20
    while server.psql("SELECT pg_conf_load_time()") == loaded:
        assert time.monotonic() < deadline, "the server did not read its rules again"


@pytest.fixture(scope="module")
def server(postgres17: EmbeddedPostgres, database17: str) -> Iterator[tuple[EmbeddedPostgres, str]]:
    """A server whose users of this module come in by different methods."""
    rules = Path(postgres17.psql("SHOW hba_file"))
    before = rules.read_text()
    methods = {"u_scram": "scram-sha-256", "u_verifier": "scram-sha-256", "u_md5": "md5", "u_clear": "password"}
    methods |= {"u_trust": "trust", "u_gone": "reject", "u_ident": "cert"}
    lines = [f"hostssl all {name} all {method}" for name, method in methods.items()]
    lines += [f"hostnossl all {name} all {method}" for name, method in methods.items() if method != "cert"]
    postgres17.psql(
        f"""
        SET password_encryption = 'scram-sha-256';
        CREATE ROLE u_scram LOGIN PASSWORD 'pencil\u00aa';
        CREATE ROLE u_verifier LOGIN PASSWORD '{verifier("from the verifier", SALT, 5000)}';
        CREATE ROLE u_clear LOGIN PASSWORD 'clear';
        CREATE ROLE u_trust LOGIN; CREATE ROLE u_gone LOGIN; CREATE ROLE u_ident LOGIN;
        SET password_encryption = 'md5';
        CREATE ROLE u_md5 LOGIN PASSWORD 'old';
        """
    )
    try:
        rules.write_text("\n".join(lines) + "\n" + before)
        reload(postgres17)
        yield postgres17, database17
    finally:
        rules.write_text(before)
        reload(postgres17)
        postgres17.psql(f"DROP OWNED BY {', '.join(methods)}; DROP ROLE {', '.join(methods)}", database=database17)


Server = tuple[EmbeddedPostgres, str]


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("u_scram", "pencil\u00aa"),
        ("u_scram", "pencila"),
        ("u_verifier", "from the verifier"),
        ("u_md5", "old"),
        ("u_trust", None),
    ],
)
def test_it_authenticates(server: Server, user: str, password: str | None) -> None:
    """SASLprep makes two spellings one password, as it does in the server."""
    with link(server[0]) as it:
        ready = it.start(user, password, server[1])
        assert ready.status == b"I" and ready.pid > 0 and len(ready.secret) == 4
        assert ready.parameters["client_encoding"] == "UTF8" and ready.parameters["server_version"].startswith("17.")
        assert it.ask(messages.query(b"SELECT current_user")) == "TDCZ"
        assert it.rows() == [(user.encode(),)]


def test_it_binds_scram_to_the_channel(server: Server, certificates: Certificates) -> None:
    with link(server[0]) as it:
        certificate = it.encrypt(certificates)
        it.start("u_scram", "pencila", server[1], certificate=certificate)
        assert b"SCRAM-SHA-256-PLUS\0" in it.sent and b"p=tls-server-end-point,," in it.sent


def test_a_channel_with_somebody_in_between_is_refused_by_the_server(
    server: Server, certificates: Certificates
) -> None:
    with link(server[0]) as it:
        it.encrypt(certificates)
        another = ssl.PEM_cert_to_DER_cert(certificates.ca.read_text())
        with pytest.raises(UpstreamFault, match="SCRAM channel binding check failed"):
            it.start("u_scram", "pencila", server[1], certificate=another)


def test_it_gives_a_password_in_the_clear_only_over_tls(server: Server, certificates: Certificates) -> None:
    with link(server[0]) as it:
        it.encrypt(certificates)
        assert it.start("u_clear", "clear", server[1], allow_cleartext=True).status == b"I"
    with link(server[0]) as it, pytest.raises(UpstreamFault, match="turn TLS on for this target"):
        it.start("u_clear", "clear", server[1])


@pytest.mark.parametrize(
    ("user", "password", "words", "code"),
    [
        ("u_scram", "wrong", 'password authentication failed for user "u_scram"', "28P01"),
        ("u_md5", "wrong", 'password authentication failed for user "u_md5"', "28P01"),
        ("u_gone", None, "pg_hba.conf rejects connection", "28000"),
        ("u_scram", None, 'wants a password for "u_scram" and the credential has none', ""),
    ],
)
def test_a_refusal_says_why(server: Server, user: str, password: str | None, words: str, code: str) -> None:
    with link(server[0]) as it:
        with pytest.raises(UpstreamFault) as caught:
            it.start(user, password, server[1])
        assert words in str(caught.value) and caught.value.code == code


def test_the_stored_verifier_is_the_one_the_server_would_have_made(server: Server) -> None:
    stored = server[0].psql("SELECT rolpassword FROM pg_authid WHERE rolname = 'u_verifier'")
    assert stored == verifier("from the verifier", SALT, 5000)


@pytest.fixture
def open_link(server: Server) -> Iterator[Link]:
    with link(server[0]) as it:
        it.start("u_scram", "pencila", server[1])
        yield it


def test_simple_queries(open_link: Link) -> None:
    assert (
        open_link.ask(messages.query(b"SELECT 1 AS one, NULL AS two; SELECT g FROM generate_series(1, 3) g"))
        == "TDCTDCZ"
    )
    first = replies.row_description(open_link.runs[0].data)
    assert [field.name for field in first] == ["one", "two"] and first[0].type_id == 23
    assert [run.count for run in open_link.runs] == [1, 1, 1, 1, 3, 1, 1]
    assert open_link.rows() == [(b"1", None), (b"1",), (b"2",), (b"3",)]
    assert replies.command_tag(open_link.runs[-2].data) == "SELECT 3"
    assert open_link.ask(messages.query(b"")) == "IZ"
    assert open_link.ask(messages.query(b"SELECT nonsense")) == "EZ"
    assert replies.error_fields(open_link.runs[0].data)["C"] == "42703"
    assert open_link.ask(messages.query(b"BEGIN")) == "CZ"
    assert replies.ready_status(open_link.runs[-1].data) == b"T"


def test_extended_queries(open_link: Link) -> None:
    batch = (
        messages.parse(b"s", b"SELECT $1::int + g, $2::text FROM generate_series(1, 5) g", (23,))
        + messages.describe(b"S", b"s")
        + messages.bind(b"p", b"s", (1, 0), (b"\0\0\0\x0a", None), (0,))
        + messages.describe(b"P", b"p")
        + messages.execute(b"p", 2)
        + messages.execute(b"p")
        + messages.close(b"P", b"p")
        + messages.close(b"S", b"s")
        + messages.SYNC
    )
    assert open_link.ask(batch) == "1tT2TDsDC33Z"
    assert replies.parameter_description(open_link.runs[1].data) == (23, 25)
    assert open_link.rows() == [(str(number).encode(), None) for number in range(11, 16)]
    assert open_link.ask(messages.parse(b"", b"SELECT nonsense") + messages.bind(b"", b"") + messages.SYNC) == "EZ"
    assert (
        open_link.ask(messages.parse(b"", b"") + messages.bind(b"", b"") + messages.execute(b"") + messages.SYNC)
        == "12IZ"
    )
    open_link.send(messages.parse(b"", b"BEGIN") + messages.describe(b"S", b"") + messages.FLUSH)
    assert [chr(open_link.event().type) for _ in range(3)] == ["1", "t", "n"]


def test_copy_both_ways(open_link: Link) -> None:
    open_link.ask(messages.query(b"CREATE TEMP TABLE t (a int, b text)"))
    open_link.send(messages.query(b"COPY t FROM STDIN"))
    assert replies.copy_response(open_link.event().data) == (0, (0, 0))
    pieces = messages.copy_data(b"1\tone\n2\tt") + messages.copy_data(b"wo\n")
    assert open_link.ask(pieces + messages.COPY_DONE) == "CZ"
    assert open_link.ask(messages.query(b"COPY t TO STDOUT")) == "HdcCZ"
    assert open_link.runs[1] == Run(
        ord("d"), messages.copy_data(b"1\tone\n") + messages.copy_data(b"2\ttwo\n"), 2, False
    )
    open_link.send(messages.query(b"COPY t FROM STDIN"))
    assert open_link.ask(messages.copy_fail(b"changed my mind")) == "GEZ"
    assert "changed my mind" in replies.error_fields(open_link.runs[1].data)["M"]


def test_a_large_result_arrives_whole_and_a_large_row_in_pieces(open_link: Link) -> None:
    open_link.ask(messages.query(b"SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g"))
    rows = [run for run in open_link.runs if run.type == ord("D")]
    assert sum(run.count for run in rows) == 20000
    assert len(rows) <= open_link.reads, "the rows of one receive come as one run, however small the server's sends are"
    assert [int(row[0] or 0) for row in open_link.rows()] == list(range(1, 20001))
    open_link.ask(messages.query(b"SELECT repeat('x', 3000000)"))
    pieces = [run for run in open_link.runs if run.type == ord("D")]
    assert sum(run.count for run in pieces) == 1 and len(pieces) > 1
    assert open_link.rows() == [(b"x" * 3_000_000,)]


def test_a_cancel_request_cancels(server: Server) -> None:
    with link(server[0]) as it:
        ready = it.start("u_scram", "pencila", server[1])
        it.send(messages.query(b"DO $$ BEGIN RAISE NOTICE 'it runs'; PERFORM pg_sleep(60); END $$"))
        assert it.event().type == ord("N"), "a request that comes before the statement has begun cancels nothing"
        with socket.create_connection((server[0].host, server[0].port), timeout=20) as aside:
            aside.sendall(messages.cancel_request(ready.pid, ready.secret))
            assert aside.recv(1) == b""
        run = it.event()
        assert run.type == ord("E")
        assert replies.error_fields(run.data)["C"] == "57014"


def test_notices_parameters_and_notifications_come_alone(open_link: Link) -> None:
    assert open_link.ask(messages.query(b"DO $$ BEGIN RAISE NOTICE 'hear'; END $$")) == "NCZ"
    assert replies.error_fields(open_link.runs[0].data)["M"] == "hear"
    assert open_link.ask(messages.query(b"SET application_name = 'agent'")) == "CSZ"
    assert replies.parameter_status(open_link.runs[1].data) == ("application_name", "agent")
    assert open_link.ask(messages.query(b"LISTEN c; NOTIFY c, 'pay'")) == "CCAZ"
    heard = replies.notification(open_link.runs[2].data)
    assert (heard.channel, heard.payload) == ("c", "pay")


def test_long_cancel_keys_of_protocol_3_2(postgres18: EmbeddedPostgres) -> None:
    with link(postgres18) as it:
        ready = it.start(postgres18.superuser, postgres18.password, "postgres", minor=2)
        assert ready.minor == 2 and len(ready.secret) == 32
        it.send(messages.query(b"DO $$BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(60); END$$"))
        assert it.event().type == ord("N"), "a request that overtook its query would cancel nothing"
        with socket.create_connection((postgres18.host, postgres18.port), timeout=20) as aside:
            aside.sendall(messages.cancel_request(ready.pid, ready.secret))
            assert aside.recv(1) == b""
        assert it.event().type == ord("E")


def test_an_older_server_negotiates_3_2_down(server: Server) -> None:
    with link(server[0]) as it:
        ready = it.start("u_scram", "pencila", server[1], minor=2)
        assert ready.minor == 0 and len(ready.secret) == 4


def test_the_superusers_own_way_in(postgres18: EmbeddedPostgres) -> None:
    with link(postgres18) as it:
        assert it.start(postgres18.superuser, postgres18.password, "postgres").minor == 0
