"""What is recorded: both directions to the byte, no secrets, and what is left when the gateway is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from blastwall.local.recordings import Entry
from blastwall.model import Direction
from blastwall.recording.reader import Reader
from blastwall.recording.records import Relayed
from rig.postgres import RigFault
from tests.e2e.conftest import Start
from tests.e2e.people import awaited, decide
from tests.e2e.raw import FLUSH, SYNC, TERMINATE, Client, bind, describe, execute, message, parse, query, run
from tests.e2e.stacks import ROOT, Stack


def relayed(entry: Entry, direction: Direction) -> bytes:
    with entry.open() as file:
        return b"".join(
            record.data
            for record in Reader(file).records()
            if isinstance(record, Relayed) and record.direction is direction
        )


def only(stack: Stack, agent: str) -> Entry:
    (entry,) = stack.settled(agent)
    return entry


def test_what_the_client_received_is_what_was_recorded_byte_for_byte(corpus: Stack) -> None:
    said = [
        query("SELECT * FROM orders ORDER BY id"),
        run("SELECT id, name FROM products WHERE id < $1", (b"9",), results=(1,)) + SYNC,
        query("DROP TABLE orders"),
        parse("TRUNCATE orders") + bind() + execute() + SYNC,
        query("SELECT 1 / 0"),
        query("BEGIN") + query("SELECT id FROM orders LIMIT 1") + query("COMMIT"),
        query("COPY (SELECT * FROM products) TO STDOUT"),
        query("SELECT repeat('x', 300000)"),
        parse("SELECT 1", "s") + describe("S", "s") + FLUSH + bind(statement="s") + execute() + SYNC,
        query("ROLLBACK"),
    ]
    received = b""
    with Client(corpus) as client:
        client.log_in(corpus.token("exact"))
        client.send(*said, TERMINATE)
        while data := client.sock.recv(65536):
            received += data
    assert len(received) > 300_000
    assert relayed(only(corpus, "exact"), Direction.TO_AGENT) == received


def test_what_the_client_streamed_in_is_recorded(corpus: Stack) -> None:
    copy = "COPY audit_log (what) FROM STDIN"
    lines = b"".join(b"streamed %d\n" % number for number in range(20_000))
    with Client(corpus) as client:
        client.log_in(corpus.token("streams"))
        client.ask(query(copy))
        decide(corpus, awaited(corpus, "streams").request.id, "approve", "--rows", "20000")
        client.send(query(copy))
        client.until("G")
        for start in range(0, len(lines), 1000):
            client.send(message("d", lines[start : start + 1000]))
        client.ask(message("c"))
        client.send(TERMINATE)
        client.to_the_end()
    try:
        assert corpus.value("SELECT count(*) FROM audit_log WHERE what LIKE 'streamed %%'") == 20_000
        assert relayed(only(corpus, "streams"), Direction.TO_TARGET) == lines
    finally:
        corpus.direct("DELETE FROM audit_log WHERE what LIKE 'streamed %%'")


def test_each_statement_is_recorded_with_its_verdict_before_its_answer(shop: Stack) -> None:
    with shop.connect(shop.token("orderly"), autocommit=True) as connection:
        connection.execute("SELECT count(*) FROM orders")
        with pytest.raises(psycopg.Error):
            connection.execute("DROP TABLE orders")
    found = [item for item in shop.recorded("orderly") if item["type"] in ("asked", "table", "said", "done")]
    assert [(item["type"], item.get("verdict", "")) for item in found] == [
        ("asked", "permit"), ("asked", "permit"), ("table", ""), ("done", ""), ("asked", "denied"), ("said", ""),
    ]  # fmt: skip
    assert [item["text"] for item in found if item["type"] == "asked"][1:] == [
        "SELECT count(*) FROM orders",
        "DROP TABLE orders",
    ]


def test_recordings_verify_and_play_from_the_command_line(shop: Stack) -> None:
    with shop.connect(shop.token("verifies")) as connection:
        connection.execute("SELECT name FROM products WHERE id = 7")
    entry = only(shop, "verifies")
    assert "intact" in shop.blastwall("recordings", "verify", entry.id)
    assert "Shelf no. 7" in shop.blastwall("recordings", "play", entry.id, "--no-wait")
    assert "SELECT name FROM products" in shop.blastwall("recordings", "export", entry.id, "--format", "csv")


def test_a_changed_byte_is_found(shop: Stack, tmp_path: Path) -> None:
    with shop.connect(shop.token("changed-byte")) as connection:
        connection.execute("SELECT 'the truth'")
    entry = only(shop, "changed-byte")
    honest = entry.path.read_bytes()
    entry.path.write_bytes(honest.replace(b"the truth", b"the lie!!", 1))
    try:
        assert "tampered" in shop.blastwall("recordings", "verify", entry.id, code=1)
    finally:
        entry.path.write_bytes(honest)


SECRETS = [
    "CREATE ROLE evil LOGIN PASSWORD 'planted-{}'",
    "ALTER USER postgres PASSWORD 'planted-{}'",
    "create user evil encrypted password $tag$planted-{}$tag$",
    "CREATE SUBSCRIPTION s CONNECTION 'host=x password=planted-{}' PUBLICATION p",
    "CREATE USER MAPPING FOR postgres SERVER s OPTIONS (user 'u', password 'planted-{}')",
    "SELECT dblink_connect('host=x password=planted-{}')",
    "CREATE ROLE evil PASSWORD 'planted-{}",  # does not even parse
]


def test_no_secret_stays_behind_in_any_file_of_the_state(shop: Stack) -> None:
    tokens = [
        shop.token("secretive"),
        shop.token("secretive", ("break-glass",)),
        shop.token("secretive", exp=1_700_000_000),
    ]
    for number, token in enumerate(tokens):
        with contextlib.suppress(psycopg.OperationalError), shop.connect(token, autocommit=True) as connection:
            for kind, statement in enumerate(SECRETS):
                for form in (psycopg.Cursor, psycopg.ClientCursor):
                    with pytest.raises(psycopg.Error) as refused:
                        form(connection).execute(statement.format(f"{number}-{kind}").encode())
                    assert "planted" not in (refused.value.diag.message_detail or "")
    with pytest.raises(psycopg.OperationalError):
        shop.connect(tokens[0], dbname="planted-database-is-fine", user=f"shop{tokens[0][:40]}")
    with shop.connect(shop.token("secretive")) as connection:
        connection.execute("SELECT 1")
    needles = [token.rpartition(".")[2].encode() for token in tokens] + [b"planted-%d-" % number for number in range(3)]
    files = [
        path for path in shop.state.rglob("*") if path.is_file() and "targets" not in path.relative_to(shop.state).parts
    ]
    assert len(files) > 5
    for file in files:
        if file.suffix == ".part" and not file.exists():
            continue  # it has its name by now: other sessions end while this one looks
        data = file.read_bytes()
        for needle in needles:
            assert needle not in data, f"{needle!r} is in {file.relative_to(shop.state)}"
    texts = [item["text"] for item in shop.asked("secretive")]
    assert any("PASSWORD" in text and "planted" not in text for text in texts), "the statements themselves are there"


# what a killed gateway leaves


def test_a_killed_gateway_leaves_recordings_whose_prefix_verifies_and_plays(start: Start, stacks: list[Stack]) -> None:
    stack = start("killed", ROOT / "config", "shop")
    stacks.remove(stack)
    try:
        with stack.connect(stack.token("witness"), autocommit=True) as connection:
            connection.execute("SELECT 'before the end'")
            for number in range(200):
                connection.execute(f"SELECT {number} AS answered".encode())
            os.kill(stack.gateway, signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                for _ in range(100):
                    connection.execute("SELECT 'after'")
                    time.sleep(0.01)
        entry = only(stack, "witness")
        assert not entry.live()
        told = stack.blastwall("recordings", "verify", entry.id, code=1)
        assert "truncated" in told and "tampered" not in told
        answered = [item for item in stack.played(entry) if item["type"] == "table" and item["columns"] == ["answered"]]
        asked = [item for item in stack.played(entry) if item["type"] == "asked" and "answered" in item["text"]]
        assert len(asked) == 200, "what ran is on record: intents are written before anything is sent"
        assert [item["rows"] for item in answered] == [[[str(number)]] for number in range(len(answered))]
        assert "before the end" in stack.blastwall("recordings", "play", entry.id, "--no-wait")
        with pytest.raises(RigFault, match="the gateway stopped by itself"):
            stack.local.check()
    finally:
        with contextlib.suppress(RigFault):
            stack.stop()


def test_a_gateway_that_is_stopped_says_goodbye_and_seals_its_recordings(start: Start, stacks: list[Stack]) -> None:
    stack = start("stopped", ROOT / "config", "shop")
    stacks.remove(stack)
    token = stack.token("guest")
    with stack.connect(token, autocommit=True) as connection:
        connection.execute("SELECT 1")
        os.kill(stack.gateway, signal.SIGTERM)
        with pytest.raises(psycopg.OperationalError, match="the gateway is shutting down") as ended:
            while True:
                connection.execute("SELECT 1")
                time.sleep(0.05)
        assert (ended.value.diag.severity, ended.value.sqlstate) == ("FATAL", "57P01")  # drivers know it: connect again
        assert ended.value.diag.message_hint == "Connect again."
    stack.stop()  # raises unless the gateway ended cleanly
    assert only(stack, "guest").summary()["state"] == "complete"
