"""Attacks W21 to W23 and the rest of the wire corpus: what the server says, waiting, names that were refused."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import psycopg
import pytest

from blastwall.model import ApprovalState
from tests.e2e.people import awaited
from tests.e2e.raw import (
    FLUSH,
    REFUSED,
    SYNC,
    TERMINATE,
    Client,
    bind,
    close,
    codes,
    describe,
    execute,
    kinds,
    parse,
    query,
    rows,
    run,
)
from tests.e2e.stacks import ROOT, Stack


def test_w21_what_the_server_says_unasked_holds_nothing_of_other_sessions(corpus: Stack) -> None:
    with Client(corpus) as client:
        client.log_in()
        with psycopg.connect(corpus.superuser(), autocommit=True) as past:
            past.execute("NOTIFY ch, 'canary-payload'")
        heard = client.ask(query("SELECT 1"))
        assert "A" not in kinds(heard)
        assert codes(client.ask(query("LISTEN ch"))) != []
        with psycopg.connect(corpus.superuser(), autocommit=True) as past:
            past.execute("NOTIFY ch, 'canary-payload'")
        time.sleep(0.1)
        assert "A" not in kinds(client.ask(query("SELECT 1")))


def test_w21_a_reported_setting_cannot_be_made_to_carry_a_value(client: Client) -> None:
    for text in (
        "SELECT set_config('application_name', ssn, false) FROM customers LIMIT 1",
        "SELECT set_config('TimeZone', (SELECT ssn FROM customers LIMIT 1), false)",
        "UPDATE pg_settings SET setting = 'x' WHERE name = 'application_name'",
    ):
        heard = client.ask(query(text))
        assert codes(heard) == [REFUSED] and "S" not in kinds(heard)


@pytest.mark.parametrize(
    "text", ["SET client_encoding = 'SJIS'", "SET NAMES 'GB18030'", "SET standard_conforming_strings = off"]
)
def test_w21_pinned_settings_stay(client: Client, text: str) -> None:  # PGW-061
    heard = client.ask(query(text))
    assert codes(heard) == [REFUSED] and "S" not in kinds(heard)
    heard = client.ask(query(b"SELECT E'\x83\x5c' UNION SELECT ssn FROM customers --'"))
    assert codes(heard) == [REFUSED] and rows(heard) == []


@pytest.mark.parametrize("text", [b"SELECT '\xc0\x27'", b"SELECT '\xff'", b"\xef\xbb\xbfDROP TABLE orders"])
def test_w21_bytes_that_are_no_text_are_not_understood(client: Client, text: bytes) -> None:  # PGW-063
    assert codes(client.ask(query(text))) == [REFUSED]
    assert codes(client.ask(parse(text), bind(), execute(), SYNC)) == [REFUSED]


@pytest.mark.parametrize("leave", ["terminate", "hang up"])
def test_w23_leaving_withdraws_what_waits(shop: Stack, leave: str) -> None:
    agent = f"leaves-{leave[0]}"
    with Client(shop) as client:
        client.log_in(shop.token(agent))
        client.send(query("DELETE FROM carts WHERE id = 1"))
        awaited(shop, agent)
        if leave == "terminate":
            client.send(TERMINATE)
        else:
            client.sock.close()
        filed = awaited(shop, agent, ApprovalState.WITHDRAWN)
    said = shop.blastwall("approvals", "approve", filed.request.id, "--as", "olga", code=1)
    assert "withdrawn" in said
    assert shop.value("SELECT count(*) FROM carts WHERE id = 1") == 1


def test_pgw_013_a_text_in_a_parameter_is_not_run(client: Client) -> None:
    assert codes(client.ask(run("SELECT dblink_exec($1)", (b"DROP TABLE orders",)), SYNC)) == [REFUSED]


def test_pgw_019_a_parse_of_two_statements_is_refused(client: Client) -> None:
    heard = client.ask(parse("SELECT 1; DROP TABLE orders"), SYNC)
    assert codes(heard) == [REFUSED]
    assert codes(client.ask(parse("SELECT 1; SELECT 2"), SYNC)) == ["42601"], "what is harmless is the server's affair"


def test_pgw_037_replication_commands_are_not_understood(client: Client) -> None:
    for text in ("IDENTIFY_SYSTEM", "START_REPLICATION SLOT s LOGICAL 0/0", "BASE_BACKUP (LABEL 'x')"):
        assert codes(client.ask(query(text))) == [REFUSED]


def test_pgw_064_a_refused_text_is_not_described(client: Client) -> None:
    heard = client.ask(parse("SELECT pg_read_file('/etc/passwd')", "s"), describe("S", "s"), SYNC)
    assert kinds(heard) == "EZ"
    assert codes(client.ask(describe("S", "s"), SYNC)) == ["26000"]


def test_pgw_065_a_name_that_was_refused_is_free(client: Client) -> None:
    client.ask(parse("DROP TABLE orders", "s1"), SYNC)
    heard = client.ask(close("S", "s1"), parse("SELECT 'new'", "s1"), bind(statement="s1"), execute(), SYNC)
    assert kinds(heard) == "312DCZ" and rows(heard) == [[b"new"]]


def test_pgw_065_a_close_that_the_server_skipped_did_not_happen(client: Client) -> None:
    client.ask(parse("SELECT 'kept'", "s1"), SYNC)
    heard = client.ask(run("SELECT 1 / 0"), close("S", "s1"), SYNC)
    assert codes(heard) == ["22012"]
    assert rows(client.ask(bind(statement="s1"), execute(), SYNC)) == [[b"kept"]]


def test_flush_brings_answers_before_sync(client: Client) -> None:
    client.send(parse("SELECT 1"), describe("S"), FLUSH)
    assert kinds(client.until("T")) == "1tT"
    client.send(bind(), execute(), FLUSH)
    assert kinds(client.until("C")) == "2DC"
    assert kinds(client.ask(SYNC)) == "Z"


def test_what_the_gateway_asks_for_itself_leaves_the_clients_own_alone(client: Client) -> None:
    """It looks for changes of the catalogue about once a second."""
    client.ask(parse("SELECT 'unnamed'"), SYNC)
    time.sleep(1.1)
    assert rows(client.ask(bind(), execute(), SYNC)) == [[b"unnamed"]]
    client.send(parse("SELECT id FROM orders ORDER BY id"), bind(), execute(rows=1), FLUSH)
    assert kinds(client.until("s")) == "12Ds"
    time.sleep(1.1)  # the batch is open: its transaction and its portal live until Sync
    client.send(execute(rows=1), FLUSH)
    assert rows(client.until("s")) == [[b"2"]]
    client.ask(SYNC)
    client.ask(query("BEGIN"))
    time.sleep(1.1)
    assert codes(client.ask(query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))) == []
    client.ask(query("ROLLBACK"))


def test_a_flood_of_small_messages_is_answered_in_order(client: Client) -> None:
    count = 3000
    client.send(b"".join(query(f"SELECT {number}") for number in range(count)))
    found = []
    for _ in range(count):
        found += rows(client.until("Z"))
    assert found == [[b"%d" % number] for number in range(count)]


def test_pgw_012_parameters_decide_and_are_recorded_with_what_they_decide(corpus: Stack) -> None:
    with Client(corpus) as client:
        client.log_in(corpus.token("decides"))
        heard = client.ask(run("SELECT id FROM customers WHERE ($1::bool OR name = $2)", (b"t", b"x")), SYNC)
        assert len(rows(heard)) == 50
        client.send(TERMINATE)
        client.to_the_end()
    (asked,) = [item for item in corpus.asked("decides") if item["kind"] == "execute"]
    assert asked["parameters"] == ["t", "x"]


def test_pgw_036_rows_of_a_copy_are_recorded(corpus: Stack) -> None:
    with Client(corpus) as client:
        client.log_in(corpus.token("copies-out"))
        heard = client.ask(query("COPY customers (id, name) TO STDOUT"))
        assert kinds(heard) == "H" + "d" * 50 + "cCZ"
        client.send(TERMINATE)
        client.to_the_end()
    (table,) = [item for item in corpus.recorded("copies-out") if item["type"] == "table"]
    assert len(table["rows"]) == 50


def test_pgw_057_an_error_of_the_server_names_no_name_of_the_gateways(client: Client) -> None:
    client.ask(parse("SELECT 1 AS a", "mine"), SYNC)
    client.ask(query("BEGIN"))
    client.ask(query("DECLARE c CURSOR FOR SELECT 1"))
    said = client.ask(query("FETCH BACKWARD 1 FROM c"))
    said += client.ask(query("ROLLBACK"))
    said += client.ask(query("SELECT id / (id - id) FROM orders"))
    assert "E" in kinds(said)
    assert b"blastwall_" not in b"".join(frame.body for frame in said)


def test_every_case_of_the_wire_corpus_has_its_test() -> None:
    listed = {
        row["id"]
        for row in map(json.loads, (ROOT / "tests/corpus/bypass.jsonl").read_text().strip().split("\n"))
        if row["protocol"] == "postgres-wire"
    }
    texts = "".join(file.read_text() for file in Path(__file__).parent.glob("test_hostile*.py"))
    named = {f"PGW-{number}" for number in re.findall(r"(?i)pgw[-_](\d{3})", texts)}
    assert listed and listed <= named, sorted(listed - named)
