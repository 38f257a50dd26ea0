"""The wire's catalogue of attacks, W1 to W14, against the running gateway and a real database behind it.

Each asserts what came back byte for byte and what happened in the database. Numbers in comments are the corpus' ids.
"""

from __future__ import annotations

import struct
import time

import pytest

from blastwall.model import DenialCode
from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.people import awaited, decide, requests
from tests.e2e.raw import (
    FLUSH,
    ORDERS,
    REFUSED,
    SYNC,
    TERMINATE,
    Client,
    bind,
    codes,
    describe,
    execute,
    kinds,
    message,
    parse,
    query,
    rows,
    run,
)
from tests.e2e.stacks import Stack


@pytest.mark.parametrize(
    "function",
    [
        "query_to_xml(text,boolean,boolean,text)",
        "pg_read_file(text)",
        "set_config(text,text,boolean)",
        "lo_unlink(oid)",
    ],
)  # PGW-001, PGW-002, PGW-003, PGW-004
def test_w01_calls_by_function_number_end_the_connection(corpus: Stack, function: str) -> None:
    oid = corpus.value("SELECT %s::regprocedure::oid::int", function)
    with Client(corpus) as client:
        client.log_in()
        body = struct.pack("!IHHH", oid, 1, 0, 1) + struct.pack("!i", 11) + b"/etc/passwd" + struct.pack("!H", 0)
        client.send(message("F", body))
        (error,) = client.to_the_end()
        assert error.fields["S"] == "FATAL" and error.fields["C"] == REFUSED
        assert str(oid) in error.fields["M"]


def test_w02_a_prepared_name_cannot_be_given_another_text(shopper: Client) -> None:  # PGW-005
    assert kinds(shopper.ask(parse("SELECT 1 AS one", "s2"), SYNC)) == "1Z"
    assert codes(shopper.ask(query("DEALLOCATE s2"))) == []
    assert codes(shopper.ask(query("PREPARE s2 AS DELETE FROM orders"))) == [REFUSED]
    heard = shopper.ask(bind(statement="s2"), execute(), SYNC)
    assert codes(heard) == ["26000"] and kinds(heard) == "EZ"


def test_w02_a_name_replaced_by_an_allowed_text_means_that_text(shopper: Client) -> None:
    shopper.ask(parse("SELECT 1", "s2"), SYNC)
    together = shopper.ask(query("DEALLOCATE s2; PREPARE s2 AS SELECT 2"))
    assert codes(together) == [REFUSED], "a name is judged as it stands before the message"
    assert rows(shopper.ask(bind(statement="s2"), execute(), SYNC)) == [[b"1"]]
    shopper.ask(query("DEALLOCATE s2"))
    shopper.ask(query("PREPARE s2 AS SELECT 2"))
    assert rows(shopper.ask(bind(statement="s2"), execute(), SYNC)) == [[b"2"]]
    assert rows(shopper.ask(query("EXECUTE s2"))) == [[b"2"]]


def test_w02_the_gateways_own_names_cannot_be_guessed_at(client: Client) -> None:
    client.ask(parse("SELECT 'mine'", "mine"), SYNC)
    for guess in ("blastwall_1", "blastwall_2", "blastwall_refused"):
        assert codes(client.ask(bind(statement=guess), execute(), SYNC)) == ["26000"]
        assert codes(client.ask(query(f"EXECUTE {guess}"))) in ([REFUSED], ["26000"])
        assert codes(client.ask(query(f"DEALLOCATE {guess}"))) in ([REFUSED], ["26000"])
    assert rows(client.ask(bind(statement="mine"), execute(), SYNC)) == [[b"mine"]]


def test_w02_discard_all_forgets_names_on_both_sides(shopper: Client) -> None:
    shopper.ask(parse("SELECT 1", "kept"), SYNC)
    assert codes(shopper.ask(query("DISCARD ALL"))) == []
    assert codes(shopper.ask(bind(statement="kept"), execute(), SYNC)) == ["26000"]
    assert codes(shopper.ask(query("EXECUTE kept"))) != []


def test_w03_portals_and_cursors_share_what_is_known_of_them(client: Client) -> None:
    client.ask(query("BEGIN"))
    client.ask(query("DECLARE c CURSOR FOR SELECT id FROM orders ORDER BY id"))
    assert rows(client.ask(execute("c", 2), SYNC)) == [[b"1"], [b"2"]]
    heard = client.ask(parse("SELECT id FROM products ORDER BY id"), bind(portal="p"), SYNC)
    assert kinds(heard) == "12Z"
    assert rows(client.ask(query("FETCH 2 FROM p"))) == [[b"1"], [b"2"]]
    assert rows(client.ask(execute("p", 1), SYNC)) == [[b"3"]]
    client.ask(query("COMMIT"))
    assert codes(client.ask(execute("c"), SYNC)) == ["34000"]
    assert codes(client.ask(execute("p"), SYNC)) == ["34000"]


def test_w04_after_a_refused_parse_the_statement_before_does_not_run_again(corpus: Stack) -> None:  # PGW-009
    with Client(corpus) as client:
        client.log_in(corpus.token("replays"))
        insert = "INSERT INTO audit_log (what) VALUES ('replayed')"
        assert codes(client.ask(run(insert), SYNC)) == [SQLSTATES[DenialCode.PENDING]]
        decide(corpus, requests(corpus, "replays")[0].request.id)
        assert codes(client.ask(run(insert), SYNC)) == []
        heard = client.ask(parse("DELETE FROM orders"), bind(), execute(), bind(), execute(), SYNC)
        assert kinds(heard) == "EZ" and codes(heard) == [REFUSED]
        assert codes(client.ask(bind(), execute(), SYNC)) == ["26000"]
    assert corpus.value("SELECT count(*) FROM audit_log WHERE what = 'replayed'") == 1
    corpus.direct("DELETE FROM audit_log WHERE what = 'replayed'")


def test_w04_what_was_flushed_before_a_refusal_is_undone_by_it(corpus: Stack) -> None:
    """Until Sync it is one transaction, whether or not its answers have come."""
    insert = run("INSERT INTO audit_log (what) VALUES ('flushed')")
    with Client(corpus) as client:
        client.log_in(corpus.token("flushes"))
        for refused in (parse("DROP TABLE orders") + SYNC, query("DROP TABLE orders")):
            client.ask(insert, SYNC)
            decide(corpus, requests(corpus, "flushes")[-1].request.id)
            client.send(insert, FLUSH)
            assert kinds(client.until("C")) == "12C"
            assert codes(client.ask(refused)) == [REFUSED]
            assert corpus.value("SELECT count(*) FROM audit_log WHERE what = 'flushed'") == 0


def test_w05_a_query_between_an_error_and_sync_is_ignored(client: Client) -> None:
    heard = client.ask(parse("SELECT 1 FROM nowhere"), bind(), query("SELECT 'not heard'"), execute(), SYNC)
    assert len(codes(heard)) == 1 and rows(heard) == [] and kinds(heard)[-1] == "Z"
    heard = client.ask(parse("DROP TABLE orders"), query("DROP TABLE products"), query("SELECT 'no'"), SYNC)
    assert kinds(heard) == "EZ" and codes(heard) == [REFUSED]
    assert rows(client.ask(query("SELECT 'yes'"))) == [[b"yes"]]


def test_w06_a_simple_query_destroys_the_unnamed_statement(client: Client) -> None:
    client.ask(parse("SELECT 1"), SYNC)
    client.ask(query("SELECT 2"))
    assert codes(client.ask(bind(), execute(), SYNC)) == ["26000"]
    client.ask(parse("SELECT 1"), SYNC)
    client.ask(query("DROP TABLE orders"))
    assert codes(client.ask(bind(), execute(), SYNC)) == ["26000"]


def test_w07_what_is_pipelined_is_judged_one_by_one_and_in_order(client: Client) -> None:  # PGW-020
    client.send(query("SELECT 1"), query("DROP TABLE orders"), query("SELECT 3"), run("SELECT 4"), SYNC)
    heard = client.until("Z") + client.until("Z") + client.until("Z") + client.until("Z")
    assert [frame.values for frame in heard if frame.kind == "D"] == [[b"1"], [b"3"], [b"4"]]
    assert kinds(heard) == "TDCZEZTDCZ12DCZ"
    assert codes(heard) == [REFUSED]


def test_w07_nothing_overtakes_a_statement_that_waits_for_a_person(shop: Stack) -> None:
    with Client(shop) as client:
        client.log_in(shop.token("overtakes"))
        client.send(query("UPDATE carts SET state = state WHERE id = 1"))
        filed = awaited(shop, "overtakes")
        client.send(query("SELECT 'after'"), query("DROP TABLE carts"))
        decide(shop, filed.request.id)
        first, second, third = client.until("Z"), client.until("Z"), client.until("Z")
        assert kinds(first) == "CZ" and first[0].body == b"UPDATE 1\0"
        assert rows(second) == [[b"after"]]
        assert codes(third) == [REFUSED]


def test_w08_an_approval_is_for_these_parameters_once(corpus: Stack) -> None:  # PGW-010
    with Client(corpus) as client:
        client.log_in(corpus.token("binds"))
        client.ask(parse("UPDATE orders SET status = $1 WHERE id = $2", "s1", (25, 23)), SYNC)

        def bound(number: bytes, *, formats: tuple[int, ...] = ()) -> list[str]:
            return codes(client.ask(bind((b"x", number), statement="s1", formats=formats), execute(), SYNC))

        pending = [SQLSTATES[DenialCode.PENDING]]
        before = corpus.value("SELECT status FROM orders WHERE id = 5")
        assert bound(b"5") == pending
        decide(corpus, requests(corpus, "binds")[0].request.id)
        assert bound(b"6") == pending, "another parameter is another request"
        assert bound(b"\0\0\0\5", formats=(0, 1)) == pending, "and so is the same number in another format"
        assert bound(b"5") == []
        assert bound(b"5") == pending, "once is not twice"
    assert corpus.direct("SELECT id FROM orders WHERE status = 'x'") == [(5,)]
    corpus.direct("UPDATE orders SET status = %s WHERE id = 5", before)


def test_w08_repeated_executes_of_one_portal_run_a_write_once(corpus: Stack) -> None:
    with Client(corpus) as client:
        client.log_in(corpus.token("repeats"))
        write = parse("UPDATE audit_log SET what = what || '+' WHERE id = $1 RETURNING id") + bind((b"1",), portal="")
        corpus.direct("INSERT INTO audit_log (id, what) VALUES (1, 'x')")
        client.ask(write, execute(), SYNC)
        decide(corpus, requests(corpus, "repeats")[0].request.id)
        heard = client.ask(write, execute(rows=0), execute(rows=0), execute(rows=5), SYNC)
        assert kinds(heard).startswith("12DC")
    assert corpus.value("SELECT what FROM audit_log WHERE id = 1") == "x+"
    corpus.direct("DELETE FROM audit_log WHERE id = 1")


def test_w08_a_pipeline_gets_no_approval_for_what_follows(corpus: Stack) -> None:  # PGW-011
    with Client(corpus) as client:
        client.log_in(corpus.token("blast"))
        every = b"{" + b",".join(b"%d" % number for number in range(1, 201)) + b"}"
        heard = client.ask(parse("DELETE FROM orders WHERE id = ANY($1)"), bind((every,)), execute(), SYNC)
        assert codes(heard) == [SQLSTATES[DenialCode.PENDING]]
        (filed,) = requests(corpus, "blast")
        assert filed.request.statement.parameters[0].value == every, "the approver sees all of it"
    assert corpus.value("SELECT count(*) FROM orders") == ORDERS


def test_w09_rows_without_a_description_are_recorded_as_rows(corpus: Stack) -> None:  # PGW-014
    with Client(corpus) as client:
        client.log_in(corpus.token("undescribed"))
        heard = client.ask(run("SELECT id, name FROM products WHERE id < 3 ORDER BY id"), SYNC)
        assert kinds(heard) == "12DDCZ"
        client.send(TERMINATE)
        client.to_the_end()
    (table,) = [item for item in corpus.recorded("undescribed") if item["type"] == "table"]
    assert table["rows"] == [["1", "Product A"], ["2", "Product B"]]


def test_w10_binary_results_pass_as_they_are_and_are_recorded(corpus: Stack) -> None:  # PGW-015
    with Client(corpus) as client:
        client.log_in(corpus.token("binary"))
        heard = client.ask(
            parse("SELECT id FROM products WHERE id = 7"), bind(results=(1,)), describe("P"), execute(), SYNC
        )
        assert rows(heard) == [[b"\0\0\0\7"]]
        client.send(TERMINATE)
        client.to_the_end()
    (table,) = [item for item in corpus.recorded("binary") if item["type"] == "table"]
    assert table["rows"] == [["7"]]


def test_w10_a_portal_taken_row_by_row(client: Client) -> None:  # PGW-017
    client.ask(query("BEGIN"))
    heard = client.ask(
        parse("SELECT id FROM orders ORDER BY id"), bind(), execute(rows=1), execute(rows=2), execute(rows=1000), SYNC
    )
    assert kinds(heard) == "12DsDDs" + "D" * 197 + "CZ"


def test_w11_copy_out_in_text_and_binary(client: Client) -> None:
    heard = client.ask(query("COPY (SELECT id FROM orders ORDER BY id LIMIT 3) TO STDOUT"))
    assert [frame.body for frame in heard if frame.kind == "d"] == [b"1\n", b"2\n", b"3\n"]
    assert kinds(heard) == "HdddcCZ"
    heard = client.ask(run("COPY (SELECT id FROM orders ORDER BY id LIMIT 3) TO STDOUT (FORMAT binary)"), SYNC)
    data = b"".join(frame.body for frame in heard if frame.kind == "d")
    assert data.startswith(b"PGCOPY\n\xff\r\n\0") and data.endswith(b"\xff\xff")


def test_w12_a_query_during_copy_in_ends_the_connection(corpus: Stack) -> None:  # PGW-035
    with Client(corpus) as client:
        client.log_in(corpus.token("copies"))
        copy = "COPY audit_log (what) FROM STDIN"
        assert codes(client.ask(query(copy))) == [SQLSTATES[DenialCode.PENDING]]
        decide(corpus, requests(corpus, "copies")[0].request.id, "approve", "--rows", "5")
        client.send(query(copy))
        client.until("G")
        client.send(message("d", b"smuggled\n"), query("SELECT 1"))
        heard = client.to_the_end()
        assert kinds(heard) == "E" and heard[0].fields["S"] == "FATAL" and heard[0].fields["C"] == "08P01"
    assert corpus.value("SELECT count(*) FROM audit_log WHERE what = 'smuggled'") == 0


def test_w12_stray_copy_data_is_dropped_and_keeps_the_stream_in_step(client: Client) -> None:  # PGW-034
    client.send(message("d", b"DROP TABLE orders"), message("c"), message("f", b"no\0"))
    assert rows(client.ask(query("SELECT 1"))) == [[b"1"]]


@pytest.mark.parametrize(
    ("said", "fatal"),
    [
        (message("Q", b"SELECT 1"), False),  # PGW-024: no NUL at the end
        (message("Q", b"SELECT 1\0DROP TABLE orders\0"), False),
        (message("S", b"body"), False),  # PGW-031
        (message("P", b"\0SELECT 1\0\0\0DROP TABLE orders"), False),
        (message("P", b"\0SELECT 1\0\xff\xff"), False),
        (message("D", b"X\0"), False),
        (message("B", b"\0\0\0\0\0\x01" + struct.pack("!I", 0x7FFFFFFF)), False),  # PGW-028
        (message("B", b"\0\0\0\0\0\x01" + struct.pack("!i", -2)), False),
        (message("E", b"\0\0\0"), False),
        (b"?" + struct.pack("!I", 4), True),
        (b"Q" + struct.pack("!I", 3), True),
        (b"Q" + struct.pack("!I", 0xFFFFFFFF), True),  # PGW-029: a length that wraps
        (b"Q" + struct.pack("!I", 0x40000000) + b"SELECT", True),  # PGW-027
        (b"p" + struct.pack("!I", 4), True),
    ],
)
def test_w13_w14_w22_malformed_messages_are_errors_and_nothing_runs(client: Client, said: bytes, fatal: bool) -> None:
    started = time.monotonic()
    client.send(said, b"" if fatal else SYNC)
    heard = client.to_the_end() if fatal else client.until("Z")
    assert time.monotonic() - started < 5
    assert codes(heard) and set(codes(heard)) <= {"08P01", "54000", "22023"}, heard
    assert rows(heard) == []
    if fatal:
        assert heard[-1].fields["S"] == "FATAL"
    else:
        if said[:1] in (b"Q", b"S"):  # not part of a batch: answered at once, and so is the Sync behind it
            client.until("Z")
        assert rows(client.ask(query("SELECT 1"))) == [[b"1"]]


def test_w13_one_byte_at_a_time_is_understood_the_same(corpus: Stack) -> None:
    with Client(corpus) as client:
        client.log_in()
        client.drip(query("SELECT 1") + parse("DROP TABLE orders") + bind() + execute() + SYNC + run("SELECT 2") + SYNC)
        heard = client.until("Z") + client.until("Z") + client.until("Z")
        assert kinds(heard) == "TDCZEZ12DCZ" and codes(heard) == [REFUSED]
