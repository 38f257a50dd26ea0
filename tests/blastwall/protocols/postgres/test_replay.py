"""Playback of PostgreSQL bytes: real servers' answers, cut anywhere, and hostile ones."""

from __future__ import annotations

import socket
import struct
import threading
from itertools import pairwise

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.model import Direction
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.replay import MAX_FRAME, decode
from blastwall.recording.records import Event, Intent, Relayed
from blastwall.recording.shown import Asked, Done, Happened, Opaque, Said, Table


def intent(number, kind="execute", name="", at=0):
    return Intent(number, at, number, kind, f"text {number}", None, name, (), {}, {"verdict": "permit"}, "", False)


def relayed(data, statement=1, at=0, direction=Direction.TO_AGENT):
    return Relayed(9, at, statement, data, 0, 0, "", "", direction, False)


def frame(kind, body=b""):
    return kind + struct.pack(">I", len(body) + 4) + body


def description(*columns, format=0):
    body = b"".join(
        name.encode() + b"\0" + struct.pack(">IhIhih", 0, 0, type_id, -1, -1, format) for name, type_id in columns
    )
    return frame(b"T", struct.pack(">H", len(columns)) + body)


def row(*values):
    packed = [b"\xff\xff\xff\xff" if value is None else struct.pack(">I", len(value)) + value for value in values]
    return frame(b"D", struct.pack(">H", len(values)) + b"".join(packed))


def complete(tag):
    return frame(b"C", tag.encode() + b"\0")


READY = frame(b"Z", b"I")
RESULT = description(("id", 23), ("name", 25)) + row(b"1", b"ana") + row(b"2", None) + complete("SELECT 2") + READY
SHOWN = [Table(0, 1, ("id", "name"), (("1", "ana"), ("2", None)), 0), Done(0, 1, "SELECT 2")]


def show(*records, rows=20):
    return [value for value in decode(records, rows=rows) if not isinstance(value, Asked)]


def test_a_result_is_a_table_and_a_tag():
    assert show(intent(1), relayed(RESULT)) == SHOWN


@given(st.lists(st.integers(0, len(RESULT)), max_size=6))
def test_chunks_may_be_cut_anywhere(cuts):
    edges = [0, *sorted(cuts), len(RESULT)]
    assert show(intent(1), *(relayed(RESULT[a:b]) for a, b in pairwise(edges))) == SHOWN


def test_rows_beyond_the_bound_are_counted_not_kept():
    data = description(("n", 23)) + b"".join(row(b"%d" % n) for n in range(10_000)) + complete("SELECT 10000") + READY
    pieces = [relayed(data[at : at + 777]) for at in range(0, len(data), 777)]
    table, done = show(intent(1), *pieces, rows=3)
    assert table.rows == (("0",), ("1",), ("2",))
    assert table.more == 9_997
    assert done.tag == "SELECT 10000"
    (table, _) = show(intent(1), *pieces, rows=0)
    assert (table.rows, table.more) == ((), 10_000)


def test_an_empty_result_shows_its_columns():
    assert show(intent(1), relayed(description(("n", 23)) + complete("SELECT 0") + READY)) == [
        Table(0, 1, ("n",), (), 0),
        Done(0, 1, "SELECT 0"),
    ]


def test_masked_cells_are_known_by_their_rules_and_by_what_the_gateway_wrote():
    noted = Event(8, 0, "masked", {"statement": 1, "columns": {"1": "public.t.id (hash)"}})
    data = description(("id", 25), ("note", 25)) + row(b"hash:1", b"to ******") + row(None, b"****") + row(b"x", None)
    data += complete("SELECT 3")
    replaced = Relayed(9, 0, 1, data, 3, 2, "", "", Direction.TO_AGENT, False)
    (table,) = [value for value in show(intent(1), noted, replaced) if isinstance(value, Table)]
    assert table.masked == ((0, 1), (), (0,))
    assert table.hidden == ("public.t.id (hash)",)
    assert table.replaced == 2
    (table,) = [value for value in show(intent(1), relayed(data)) if isinstance(value, Table)]
    assert table.masked == (), "asterisks are a mask only where the gateway says that it wrote some"
    hostile = Event(8, 0, "masked", {"statement": 1, "columns": {"x": 1, "-1": 2, "9": 3}})
    assert [value for value in show(intent(1), hostile, relayed(data)) if isinstance(value, Table)]


def test_errors_and_notices_are_said():
    error = messages.error_response("ERROR", "42501", "no\x1b[2J", detail="because", hint="ask")
    notice = frame(b"N", b"SWARNUNG\0VWARNING\0C01000\0Mcareful\0\0")
    data = description(("n", 23)) + row(b"1") + error + READY + notice
    table, failed, warned = show(intent(1), relayed(data))
    assert isinstance(table, Table)
    assert failed == Said(0, 1, "ERROR", "no\x1b[2J", "42501", "because", "ask", True)
    assert warned == Said(0, 1, "WARNING", "careful", "01000")


@pytest.mark.parametrize("answered", [0, 1])
def test_rows_of_a_prepared_statement_get_its_columns(answered):
    binary = struct.pack(">i", 7)
    shown = show(
        intent(1, "prepare", "ps1"),
        relayed(frame(b"1") + frame(b"t", b"\0\0") + description(("id", 23), ("name", 25)) + READY, answered),
        intent(2, "execute", "ps1"),
        relayed(frame(b"2") + row(binary, b"ana") + complete("SELECT 1") + READY, 2),
        intent(3, "execute", "other"),
        relayed(frame(b"2") + row(binary, b"ana") + complete("SELECT 1") + READY, 3),
    )
    tables = [value for value in shown if isinstance(value, Table)]
    assert tables[0] == Table(0, 2, ("id", "name"), (("7", "ana"),), 0)
    assert tables[1].columns == ("column 1", "column 2")
    assert tables[1].rows[0][1] == "ana"


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (b"", "1234"),  # every column is text
        (b"\0", "1234"),
        (b"\1", "825373492"),  # the same four bytes as a binary integer
        (b"\1\0", "825373492"),
        (b"\0\1", "1234"),
    ],
)
def test_the_recorded_formats_tell_text_from_binary(asked, shown):
    """Four digits are four bytes: without what Bind asked for nobody could tell what the client was shown."""
    executed = intent(2, "execute", "ps1")._replace(results=asked)
    records = [
        intent(1, "prepare", "ps1"),
        relayed(frame(b"1") + frame(b"t", b"\0\0") + description(("id", 23), ("name", 25)) + READY, 1),
        executed,
        relayed(frame(b"2") + row(b"1234", b"ana") + complete("SELECT 1") + READY, 2),
    ]
    (table,) = [value for value in show(*records) if isinstance(value, Table)]
    assert table.rows == ((shown, "ana"),)


def test_copy_out_is_a_table_of_lines():
    data = (
        frame(b"H", b"\0\0\1\0\0")
        + frame(b"d", b"1\tana\n")
        + frame(b"d", b"2\tbo\n")
        + frame(b"c")
        + complete("COPY 2")
    )
    assert show(intent(1), relayed(data)) == [
        Table(0, 1, ("copied line",), (("1\tana",), ("2\tbo",)), 0),
        Done(0, 1, "COPY 2"),
    ]


def test_suspended_empty_and_notified():
    heard = frame(b"A", struct.pack(">I", 77) + b"channel\0payload\0")
    values = show(
        intent(1), relayed(description(("n", 23)) + row(b"1") + frame(b"s") + READY + frame(b"I") + READY + heard)
    )
    assert isinstance(values[0], Table)
    assert values[1].tag.startswith("suspended")
    assert values[2] == Done(0, 1, "empty query")
    assert values[3] == Said(0, 1, "NOTIFY", "channel: payload")


def test_what_the_agent_sent_and_what_happened_pass_through():
    values = show(relayed(b"1,2\n", direction=Direction.TO_TARGET), Event(3, 5, "cancel", {"statement": 1}))
    assert values == [Opaque(0, 1, 4, "sent by the agent"), Happened(5, 0, "cancel", {"statement": 1})]


def test_a_frame_too_large_to_show_is_passed_over_and_the_rest_is_read():
    huge = row(b"x" * (MAX_FRAME + 10))
    data = description(("blob", 17)) + huge + row(b"small") + complete("SELECT 2") + READY
    pieces = [relayed(data[at : at + 65_536]) for at in range(0, len(data), 65_536)]
    opaque, table, done = show(intent(1), *pieces)
    assert isinstance(opaque, Opaque)
    assert opaque.size == len(huge)
    assert (table.rows, table.more) == ((("small",),), 1)
    assert done.tag == "SELECT 2"


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frame(b"D", b"\xff\xff"),
        frame(b"D", b"\0\2\0\0\0\1"),
        b"D\0\0\0\4" * 50,
        b"T\0\0\0\6\xff\xff",
        frame(b"C", b"no end"),
        b"D\0\0\0\0",
        b"E\0\0\0\5\0",
    ],
)
def test_junk_is_said_to_be_junk_and_the_next_record_is_read(junk):
    values = show(intent(1), relayed(junk), relayed(RESULT), rows=0)
    assert Done(0, 1, "SELECT 2") in values


def test_a_lie_about_length_hides_nothing_of_the_next_statement():
    values = show(intent(1), relayed(b"D\x7f\xff\xff\xff" + bytes(100)), intent(2), relayed(RESULT, 2))
    assert Done(0, 2, "SELECT 2") in values


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(0, 3))
def test_no_bytes_break_playback(chunks, rows):
    values = list(decode([intent(1), *(relayed(b"DTCEN1ZdH"[:1] + chunk) for chunk in chunks)], rows=rows))
    assert values


@given(st.sampled_from("DTCENZAdHsI12"), st.binary(max_size=120))
def test_no_message_body_breaks_playback(kind, body):
    list(decode([intent(1), relayed(description(("a", 23)) + frame(kind.encode(), body) + complete("X"))], rows=2))


@pytest.fixture
def tapped(postgres18, database18):
    """A connection to a real server through a tap; what the server sent is in the list beside it."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent: list[bytes] = []

    def pump(source, sink, keep):
        try:
            while data := source.recv(65_536):
                if keep:
                    sent.append(data)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for side in (source, sink):
                try:
                    side.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def tap():
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", postgres18.port))
        back = threading.Thread(target=pump, args=(server, client, True))
        back.start()
        pump(client, server, False)
        back.join()
        client.close()
        server.close()

    thread = threading.Thread(target=tap)
    thread.start()
    port = listener.getsockname()[1]
    dsn = postgres18.dsn(database18).replace(f":{postgres18.port}/", f":{port}/")
    with psycopg.connect(dsn, autocommit=True, sslmode="disable", gssencmode="disable") as connection:
        yield connection, sent
    thread.join()
    listener.close()


def test_a_real_servers_bytes_are_understood_from_the_first_to_the_last(tapped):
    connection, sent = tapped
    connection.execute("CREATE TABLE t (a int, b text)")
    connection.execute("INSERT INTO t SELECT n, repeat('x', n) FROM generate_series(1, 300) n")
    connection.execute("SELECT * FROM t WHERE a < %s ORDER BY a", (4,))
    connection.cursor(binary=True).execute("SELECT a, b, now() > '2020-01-01'::timestamptz AS later FROM t WHERE a = 2")
    with connection.cursor().copy("COPY t TO STDOUT") as copy:
        copied = sum(1 for _ in copy.rows())
    with pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM nowhere")
    connection.execute("DO $$ BEGIN RAISE NOTICE 'from the server'; END $$")

    values = show(intent(1), *map(relayed, sent), rows=3)
    assert not [value for value in values if isinstance(value, Opaque)]
    assert [value.tag for value in values if isinstance(value, Done)] == [
        "CREATE TABLE",
        "INSERT 0 300",
        "SELECT 3",
        "SELECT 1",
        "COPY 300",
        "DO",
    ]
    few, binary, lines = (value for value in values if isinstance(value, Table))
    assert few == Table(0, 1, ("a", "b"), (("1", "x"), ("2", "xx"), ("3", "xxx")), 0)
    assert (binary.columns, binary.rows) == (("a", "b", "later"), (("2", "xx", "true"),))
    assert (lines.rows[0], lines.more) == (("1\tx",), copied - 3)
    failed, noticed = (value for value in values if isinstance(value, Said))
    assert (failed.code, failed.failed, noticed.message) == ("42P01", True, "from the server")
