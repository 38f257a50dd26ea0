"""Attacks before there is a session, W15 to W20 and W24: start-up packets, TLS, cancel requests, authentication."""

from __future__ import annotations

import contextlib
import struct
import time

import psycopg
import pytest

from tests.e2e.raw import (
    GSSENC_REQUEST,
    REFUSED,
    SSL_REQUEST,
    VERSION,
    Client,
    codes,
    kinds,
    query,
    rows,
    startup,
)
from tests.e2e.stacks import Stack


def refused_startup(corpus: Stack, *parameters: tuple[str, str], version: int = VERSION) -> str:
    """The error a startup packet is answered with; nothing else may come."""
    with Client(corpus) as client:
        client.send(startup(parameters, version))
        (error,) = client.to_the_end()
        assert error.kind == "E" and error.fields["S"] == "FATAL"
        return f"{error.fields['C']} {error.fields['M']}"


@pytest.mark.parametrize("value", ["database", "true", "on", "1"])
def test_w15_replication_is_refused(corpus: Stack, value: str) -> None:  # PGW-037
    said = refused_startup(corpus, ("user", "corpus"), ("database", "corpus"), ("replication", value))
    assert said.startswith(REFUSED) and "replication" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("options", "-c standard_conforming_strings=off -c search_path=evil"),  # PGW-039
        ("standard_conforming_strings", "off"),  # PGW-040
        ("client_encoding", "SJIS"),  # PGW-041
        ("session_replication_role", "replica"),  # PGW-042
        ("role", "postgres"),  # PGW-043
        ("default_transaction_read_only", "off"),  # PGW-044
        ("search_path", "evil"),
        ("Session_Authorization", "postgres"),
        ("log_statement", "none"),
        ("row_security", "off"),
    ],
)
def test_w16_settings_in_the_startup_packet_are_refused_by_name(corpus: Stack, name: str, value: str) -> None:
    said = refused_startup(corpus, ("user", "corpus"), ("database", "corpus"), (name, value))
    assert said.startswith(REFUSED) and name.lower() in said.lower()


def test_w16_what_the_gateway_relies_on_stands_in_its_own_startup_packet(shop: Stack) -> None:
    """Whatever the database was set to, and RESET ALL comes back to it."""
    wanted = {"standard_conforming_strings": "on", "backslash_quote": "safe_encoding", "client_encoding": "UTF8"}
    odd = {"standard_conforming_strings": "off", "backslash_quote": "on", "client_encoding": "LATIN1"}
    for name, value in odd.items():
        shop.direct(f"ALTER DATABASE shop SET {name} = '{value}'")
    try:
        with psycopg.connect(shop.superuser()) as past:
            assert all(past.execute(f"SHOW {name}").fetchone() == (value,) for name, value in odd.items())
        with Client(shop) as client:
            client.log_in()
            for _ in range(2):
                found = rows(client.ask(query("SELECT name, setting FROM pg_settings ORDER BY name")))
                assert wanted.items() <= {
                    (str(name, "utf8"), str(setting, "utf8")) for name, setting in found if name and setting
                }
                assert codes(client.ask(query("RESET ALL"))) == []
    finally:
        for name in odd:
            shop.direct(f"ALTER DATABASE shop RESET {name}")


def test_w17_a_key_given_twice_is_refused(corpus: Stack) -> None:  # PGW-046
    assert "given twice" in refused_startup(corpus, ("user", "corpus"), ("user", "postgres"))
    assert "given twice" in refused_startup(corpus, ("user", "corpus"), ("TimeZone", "UTC"), ("timezone", "UTC"))


@pytest.mark.parametrize("minor", [2, 3, 9999])
def test_w18_minor_versions_are_spoken_or_negotiated_down(corpus: Stack, minor: int) -> None:  # PGW-048
    with Client(corpus) as client:
        heard = client.log_in(version=VERSION | minor)
        offered = [struct.unpack("!I", frame.body[:4])[0] for frame in heard if frame.kind == "v"]
        assert offered == ([] if minor == 2 else [VERSION | 2])
        assert len(client.key[1]) == 32
        assert rows(client.ask(query("SELECT 1"))) == [[b"1"]]


def test_w18_protocol_options_are_named_as_unknown(corpus: Stack) -> None:
    with Client(corpus) as client:
        heard = client.log_in("", ("_pq_.command_compression", "on"))
        (negotiated,) = [frame for frame in heard if frame.kind == "v"]
        assert b"_pq_.command_compression\0" in negotiated.body
        assert len(client.key[1]) == 4


@pytest.mark.parametrize("version", [2 << 16, 4 << 16, (1 << 16) | 1])
def test_w18_other_major_versions_are_refused(corpus: Stack, version: int) -> None:  # PGW-049
    with Client(corpus) as client:
        client.send(startup([("user", "corpus")], version))
        assert codes(client.to_the_end()) == ["0A000"]


def test_w19_plaintext_behind_an_ssl_request_is_never_read(corpus: Stack) -> None:
    with Client(corpus, tls=False) as client:
        client.send(SSL_REQUEST + startup([("user", "corpus"), ("database", "corpus")]))
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            while data := client.sock.recv(100):
                heard += data
        assert heard in (b"", b"S"), "not one byte of the startup in the clear was answered"
    with Client(corpus, tls=False) as client:
        client.send(GSSENC_REQUEST + SSL_REQUEST)
        with contextlib.suppress(ConnectionResetError):
            assert client.sock.recv(100) in (b"", b"N")


def test_w19_encryption_is_asked_for_once(corpus: Stack) -> None:  # PGW-052
    with Client(corpus, tls=False) as client:
        client.send(GSSENC_REQUEST)
        assert client.sock.recv(1) == b"N"
        client.send(GSSENC_REQUEST)
        heard = client.to_the_end()
        assert kinds(heard) in ("", "E")


def test_w19_without_tls_no_token_is_asked_for(corpus: Stack) -> None:
    with Client(corpus, tls=False) as client:
        client.send(startup([("user", "corpus"), ("database", "corpus")]))
        (error,) = client.to_the_end()
        assert error.fields["C"] == "28000" and "without TLS" in error.fields["M"]


def test_w20_a_wrong_cancel_key_does_nothing_and_the_right_one_cancels(corpus: Stack) -> None:  # PGW-054
    slow = (
        "SELECT count(*) FROM orders AS a JOIN orders AS b ON a.id <> b.id JOIN orders AS c ON c.id <> b.id "
        "JOIN orders AS d ON d.id <> c.id"
    )
    with Client(corpus) as client:
        client.log_in()
        pid, secret = client.key
        assert corpus.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", pid) == 0, "not the server's own"
        client.send(query(slow))
        running = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'"
        deadline = time.monotonic() + 10
        while not corpus.value(running, slow) and time.monotonic() < deadline:
            time.sleep(0.02)
        upstream = corpus.value("SELECT pid FROM pg_stat_activity WHERE query = %s", slow)

        def cancel(number: int, key: bytes) -> None:
            with Client(corpus) as other:
                other.send(struct.pack("!IIi", 12 + len(key), 80877102, number) + key)
                assert other.to_the_end() == []

        for number, key in (
            (pid, bytes(4)),
            (pid, secret[:3] + bytes([secret[3] ^ 1])),
            (upstream, secret),
            (0, bytes(32)),
        ):
            cancel(number, key)
            assert corpus.value(running, slow) == 1
        cancel(pid, secret)
        assert codes(client.until("Z")) == ["57014"]
        assert rows(client.ask(query("SELECT 1"))) == [[b"1"]]


def test_w24_the_clients_leg_and_the_servers_leg_authenticate_apart(corpus: Stack) -> None:
    """The token goes no further than the gateway; the database sees its own user, by SCRAM over TLS."""
    with Client(corpus) as client:
        heard = client.log_in()
        assert kinds(heard).startswith("RR") and b"SCRAM" not in b"".join(frame.body for frame in heard)
        assert rows(client.ask(query("SELECT current_user, session_user"))) == [[b"corpus_agent", b"corpus_agent"]]
        seen = corpus.direct(
            "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'corpus_agent'"
        )
        assert seen and all(row == (True,) for row in seen)
