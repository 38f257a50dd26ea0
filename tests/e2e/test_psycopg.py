"""psycopg 3: both protocols, pipelines, cursors, COPY, transactions around refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.rows import dict_row

from tests.e2e.people import deciding
from tests.e2e.stacks import Stack

Connection = psycopg.Connection[Any]

#: What psycopg sends with and without the extended protocol: a client-side cursor uses simple queries.
FORMS = [psycopg.Cursor, psycopg.ClientCursor]
ORDERS = 1000
#: Runs for minutes, though every join has its condition.
ENDLESS = "SELECT count(*) FROM orders AS a JOIN orders AS b ON a.id <> b.id JOIN orders AS c ON c.id <> b.id"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def agent(shop: Stack) -> Iterator[Connection]:
    with shop.connect() as connection:
        yield connection


@pytest.fixture
def loose(shop: Stack) -> Iterator[Connection]:
    """Without a transaction around its statements."""
    with shop.connect(autocommit=True) as connection:
        yield connection


def status(connection: Connection) -> str:
    return connection.info.transaction_status.name


@pytest.mark.parametrize("form", FORMS)
def test_parameters_and_rows_of_every_common_type(shop: Stack, form: type[psycopg.Cursor[Any]]) -> None:
    query = (
        "SELECT %s::int, %s::text, %s::float8, %s::numeric, %s::bool, %s::date, %s::timestamptz, %s::jsonb, %s::int[], "
        "%s::bytea, %s::uuid, %s::interval, NULL"
    )
    values = [
        7, "Grüße 'n \\ more", 1.5, 12345678901234567890, True, "2026-11-22", "2026-11-22 10:00:00+00",
        '{"a": [1, 2]}', [1, 2, 3], b"\x00\xff'\\", "12345678-1234-5678-1234-567812345678", "1 day 2 hours",
    ]  # fmt: skip
    with shop.connect() as connection, psycopg.connect(shop.superuser()) as past:
        through = form(connection).execute(query, values).fetchone()
        assert through == form(past).execute(query, values).fetchone()
        assert through is not None and through[0] == 7 and through[-1] is None


def test_binary_results_arrive_as_the_server_sent_them(shop: Stack, agent: Connection) -> None:
    query = "SELECT id, name, birth_date, created_at, ARRAY[id, 2] FROM customers ORDER BY id"
    with psycopg.connect(shop.superuser()) as past:
        assert agent.execute(query, binary=True).fetchall() == past.execute(query, binary=True).fetchall()


def test_a_statement_is_prepared_on_the_server_after_its_threshold(shop: Stack) -> None:
    token = shop.token("prepares")
    with shop.connect(token, autocommit=True, prepare_threshold=3) as connection:
        for number in range(1, 21):
            row = connection.execute("SELECT id FROM orders WHERE id = %s", (number,)).fetchone()
            assert row == (number,)
    asked = [item for item in shop.asked("prepares") if item["kind"] != "connect"]
    prepared = [item for item in asked if item["kind"] == "prepare"]
    assert len(prepared) == 4  # three unnamed ones, then the one that stays
    executed = [item for item in asked if item["kind"] == "execute"]
    assert [int(item["parameters"][0].replace(" ", ""), 16) for item in executed] == list(range(1, 21))


@pytest.mark.parametrize("sign", ["%s", "%t", "%b"])
def test_what_a_bound_number_asks_for_is_judged_each_time(loose: Connection, sign: str) -> None:
    """The same prepared text, with a number that is fine and one that is not."""
    query = f"SELECT count(*) FROM generate_series(1, {sign})"
    for _ in range(2):
        assert loose.execute(query, (10,), prepare=True).fetchone() == (10,)
        with pytest.raises(errors.InsufficientPrivilege, match="not permitted") as refused:
            loose.execute(query, (1_000_000_000,), prepare=True)
        assert "generate_series" in (refused.value.diag.message_detail or "")


def test_more_prepared_statements_than_psycopg_keeps_are_closed_and_made_anew(shop: Stack) -> None:
    with shop.connect(autocommit=True, prepare_threshold=0) as connection:
        connection.prepared_max = 5
        for _ in range(3):
            for number in range(12):
                query = sql.SQL("SELECT {} + %s::int").format(sql.Literal(number))
                assert connection.execute(query, (1,)).fetchone() == (number + 1,)


def test_executemany_and_returning(agent: Connection) -> None:
    with agent.cursor() as cursor:
        cursor.executemany("SELECT id FROM orders WHERE id = %s", [(i,) for i in range(1, 30)], returning=True)
        found = [cursor.fetchone()]
        while cursor.nextset():
            found.append(cursor.fetchone())
    assert found == [(i,) for i in range(1, 30)]


@pytest.mark.parametrize("scrollable", [None, True, False])
def test_server_side_cursors_page_through_a_result(agent: Connection, scrollable: bool | None) -> None:
    with agent.cursor("pages", scrollable=scrollable) as cursor:
        cursor.itersize = 77
        cursor.execute("SELECT id FROM orders ORDER BY id")
        assert cursor.fetchone() == (1,)
        assert cursor.fetchmany(3) == [(2,), (3,), (4,)]
        if scrollable:
            cursor.scroll(100, mode="absolute")
            assert cursor.fetchone() == (101,)
            cursor.scroll(-51)
            assert cursor.fetchone() == (51,)
        assert sum(1 for _ in cursor) == ORDERS - (51 if scrollable else 4)


def test_two_cursors_with_one_name_after_another_and_two_at_once(agent: Connection) -> None:
    for _ in range(2):
        with agent.cursor("again") as cursor:
            assert cursor.execute("SELECT 1").fetchall() == [(1,)]
    with agent.cursor("a") as one, agent.cursor("b") as two:
        one.execute("SELECT id FROM orders ORDER BY id")
        two.execute("SELECT id FROM orders ORDER BY id DESC")
        assert [one.fetchone(), two.fetchone(), one.fetchone()] == [(1,), (ORDERS,), (2,)]


def test_cursors_over_texts_that_differ_in_a_number_have_their_own_rows(loose: Connection) -> None:
    with loose.transaction():
        for number in (1, 2, 3):
            loose.execute(f"DECLARE c CURSOR FOR SELECT id FROM customers WHERE id = {number}".encode())
            assert loose.execute("FETCH ALL FROM c").fetchall() == [(number,)]
            loose.execute("CLOSE c")
    for number in (1, 2):
        loose.execute(f"PREPARE numbered AS SELECT {number}".encode())
        assert loose.execute("EXECUTE numbered").fetchall() == [(number,)]
        loose.execute("DEALLOCATE numbered")


def test_a_cursor_over_what_is_refused_does_not_open(agent: Connection) -> None:
    with agent.cursor("bad") as cursor, pytest.raises(errors.InsufficientPrivilege):
        cursor.execute("SELECT pg_read_file('/etc/passwd')")


def test_a_client_that_streams_rows_gets_them_all(agent: Connection) -> None:
    with agent.cursor() as cursor:
        assert [row[0] for row in cursor.stream("SELECT id FROM orders ORDER BY id")] == list(range(1, ORDERS + 1))


# pipelines


def test_a_pipeline_answers_in_order(loose: Connection) -> None:
    with loose.pipeline() as pipeline:
        cursors = [loose.execute("SELECT %s::int", (number,)) for number in range(500)]
        pipeline.sync()
        more = [loose.execute("SELECT %s::text", (str(number),)) for number in range(20)]
        assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(500)]
        assert [cursor.fetchone() for cursor in more] == [(str(number),) for number in range(20)]


def test_a_refusal_in_the_middle_of_a_pipeline_aborts_what_follows_until_sync(shop: Stack, loose: Connection) -> None:
    cursors = []
    with pytest.raises(errors.InsufficientPrivilege), loose.pipeline():
        for statement in ("SELECT 1", "DROP TABLE orders", "SELECT 2"):  # the error may come before the last is sent
            cursors.append(loose.execute(statement.encode()))
    assert cursors[0].fetchone() == (1,)
    assert all(cursor.pgresult is None for cursor in cursors[1:]), "nothing was answered with a result"
    assert loose.execute("SELECT 3").fetchone() == (3,)
    assert shop.value("SELECT count(*) FROM orders") == ORDERS


def test_after_a_sync_the_pipeline_goes_on(loose: Connection) -> None:
    with loose.pipeline() as pipeline:
        one = loose.execute("SELECT 1")
        pipeline.sync()
        assert one.fetchone() == (1,)
        with pytest.raises(errors.InsufficientPrivilege):
            loose.execute("TRUNCATE orders").fetchone()
        pipeline.sync()
        assert loose.execute("SELECT 2").fetchone() == (2,)


def test_an_error_of_the_database_in_a_pipeline_is_the_databases(loose: Connection) -> None:
    with pytest.raises(errors.DivisionByZero), loose.pipeline():
        loose.execute("SELECT 1")
        loose.execute("SELECT 1 / %s::int", (0,))
        loose.execute("SELECT 2")
    assert loose.execute("SELECT 3").fetchone() == (3,)


def test_nothing_of_a_pipelined_implicit_transaction_survives_a_refusal(shop: Stack) -> None:
    """Without a Sync between them they are one transaction to the server: the write before the refusal goes too."""
    with deciding(shop, "half"), shop.connect(shop.token("half"), autocommit=True) as connection:
        connection.execute("INSERT INTO carts VALUES (9200, 1, 'active', now())")
        with pytest.raises(psycopg.Error), connection.pipeline():
            connection.execute("DELETE FROM carts WHERE id = 9200")
            connection.execute("DROP TABLE carts")
        assert shop.value("SELECT count(*) FROM carts WHERE id = 9200") == 1
    shop.direct("DELETE FROM carts WHERE id = 9200")


# COPY


@pytest.mark.parametrize("form", ["text", "csv", "binary"])
def test_copy_out_brings_the_same_bytes(shop: Stack, agent: Connection, form: str) -> None:
    query = f"COPY (SELECT * FROM order_items ORDER BY order_id, line) TO STDOUT (FORMAT {form})"

    def copied(connection: Connection) -> bytes:
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            return b"".join(bytes(block) for block in copy)

    with psycopg.connect(shop.superuser()) as past:
        assert copied(agent) == copied(past)


@pytest.mark.parametrize("binary", [False, True])
def test_copy_in_is_a_write_that_a_person_lets_pass(shop: Stack, binary: bool) -> None:
    name = f"copier-{binary}"
    first = 10_000 + 5000 * binary
    statement = f"COPY carts FROM STDIN (FORMAT {'binary' if binary else 'text'})"
    with (
        deciding(shop, name) as decided,
        shop.connect(shop.token(name)) as connection,
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        copy.set_types(["int4", "int4", "text", "timestamptz"])
        for number in range(4000):
            copy.write_row((first + number, 1 + number % 200, "active", NOON))
    assert len(decided) == 1
    try:
        assert shop.value("SELECT count(*) FROM carts WHERE id BETWEEN %s AND %s", first, first + 3999) == 4000
    finally:
        shop.direct("DELETE FROM carts WHERE id >= 10000")


def test_a_copy_in_that_fails_half_way_leaves_nothing_and_the_session_in_step(shop: Stack) -> None:
    with deciding(shop, "fails"), shop.connect(shop.token("fails")) as connection:
        with (
            pytest.raises(errors.CheckViolation),
            connection.cursor() as cursor,
            cursor.copy("COPY carts FROM STDIN") as copy,
        ):
            for number in range(3000):
                copy.write(f"{20000 + number}\t1\t{'active' if number != 1500 else 'nonsense'}\t2026-11-22\n")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM carts WHERE id >= 20000").fetchone() == (0,)


def test_a_client_that_gives_its_copy_up_leaves_nothing(shop: Stack) -> None:
    class GivesUp(Exception):
        pass

    with deciding(shop, "gives-up"), shop.connect(shop.token("gives-up")) as connection:
        with pytest.raises(GivesUp), connection.cursor() as cursor, cursor.copy("COPY carts FROM STDIN") as copy:
            copy.write("30000\t1\tactive\t2026-11-22\n")
            raise GivesUp
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM carts WHERE id = 30000").fetchone() == (0,)


def test_copy_to_and_from_files_and_programs_of_the_server_is_refused(agent: Connection) -> None:
    for statement in (
        "COPY orders TO '/tmp/orders'",
        "COPY orders FROM '/etc/passwd'",
        "COPY orders TO PROGRAM 'cat'",
        "COPY carts FROM PROGRAM 'id'",
    ):
        with pytest.raises(errors.InsufficientPrivilege, match="not permitted"):
            agent.execute(statement)
        agent.rollback()


# refusals and transactions


@pytest.mark.parametrize("form", FORMS)
def test_a_refusal_outside_a_transaction_tells_why_and_changes_nothing(
    shop: Stack, loose: Connection, form: type[psycopg.Cursor[Any]]
) -> None:
    with pytest.raises(errors.InsufficientPrivilege) as refused:
        form(loose).execute("DELETE FROM orders")
    said = refused.value.diag
    assert said.sqlstate == "42501" and said.severity == "ERROR"
    assert said.message_primary is not None and said.message_primary.startswith(
        "blastwall: this statement is not permitted"
    )
    assert "no-unbounded-writes" in said.message_primary
    assert said.message_detail and "forbid this" in said.message_detail and "orders" in said.message_detail
    assert said.message_hint and len(said.message_hint) > 40
    assert status(loose) == "IDLE"
    assert form(loose).execute("SELECT count(*) FROM orders").fetchone() == (ORDERS,)
    assert shop.value("SELECT count(*) FROM orders") == ORDERS


@pytest.mark.parametrize("form", FORMS)
def test_a_refusal_fails_the_transaction_it_stands_in(
    shop: Stack, agent: Connection, form: type[psycopg.Cursor[Any]]
) -> None:
    agent.execute("SELECT 1")
    with pytest.raises(errors.InsufficientPrivilege):
        form(agent).execute("DROP TABLE orders")
    assert status(agent) == "INERROR"
    with pytest.raises(errors.InFailedSqlTransaction):
        form(agent).execute("SELECT 1")
    agent.rollback()
    assert status(agent) == "IDLE"
    assert form(agent).execute("SELECT 1").fetchone() == (1,)


def test_a_commit_after_a_refusal_keeps_nothing(shop: Stack) -> None:
    with deciding(shop, "commits"), shop.connect(shop.token("commits"), autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO carts VALUES (9300, 1, 'active', now())")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("TRUNCATE carts")
        assert connection.execute("COMMIT").statusmessage == "ROLLBACK"
        assert status(connection) == "IDLE"
    assert shop.value("SELECT count(*) FROM carts WHERE id = 9300") == 0


def test_a_savepoint_survives_a_refusal_behind_it(shop: Stack) -> None:
    with deciding(shop, "saves"), shop.connect(shop.token("saves")) as connection:
        connection.execute("INSERT INTO carts VALUES (9301, 1, 'active', now())")
        connection.execute("SAVEPOINT before")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("DROP TABLE carts")
        connection.execute("ROLLBACK TO before")
        assert status(connection) == "INTRANS"
        assert connection.execute("SELECT count(*) FROM carts WHERE id = 9301").fetchone() == (1,)
        connection.commit()
    assert shop.value("SELECT count(*) FROM carts WHERE id = 9301") == 1
    shop.direct("DELETE FROM carts WHERE id = 9301")


def test_transaction_blocks_recover_from_a_refusal(agent: Connection) -> None:
    with agent.transaction():
        assert agent.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(errors.InsufficientPrivilege), agent.transaction():
            agent.execute("GRANT ALL ON orders TO PUBLIC")
        assert agent.execute("SELECT 2").fetchone() == (2,)
    with pytest.raises(errors.InsufficientPrivilege), agent.transaction():
        agent.execute("ALTER SYSTEM SET work_mem = '1GB'")
    assert agent.execute("SELECT 3").fetchone() == (3,)


def test_errors_of_the_database_keep_their_own_words(shop: Stack, loose: Connection) -> None:
    def failure(connection: Connection, statement: str, *values: object) -> tuple[Any, ...]:
        with pytest.raises(psycopg.Error) as failed:
            connection.execute(statement.encode(), values or None)
        said = failed.value.diag
        return said.sqlstate, said.message_primary, said.message_detail, said.message_hint, said.statement_position

    with psycopg.connect(shop.superuser(), autocommit=True) as past:
        for case in (
            ("SELECT nothing_of_the_kind FROM orders",),
            ("SELECT 1 / 0",),
            ("SELECT id FROM orders WHERE id = %s", "no number"),
            ("SELECT * FROM orders ORDER BY 99",),
        ):
            assert failure(loose, *case) == failure(past, *case)


def test_notices_of_the_database_reach_the_client(loose: Connection) -> None:
    heard: list[str] = []
    loose.add_notice_handler(lambda notice: heard.append(f"{notice.severity} {notice.message_primary}"))
    loose.execute("ROLLBACK")
    assert heard == ["WARNING there is no transaction in progress"]


def test_a_running_query_is_cancelled(agent: Connection) -> None:
    timer = threading.Timer(0.4, agent.cancel_safe)
    timer.start()
    with pytest.raises(errors.QueryCanceled, match="canceling statement due to user request"):
        agent.execute(ENDLESS)
    timer.join()
    agent.rollback()
    assert agent.execute("SELECT 1").fetchone() == (1,)


def test_the_time_limit_of_the_target_holds(agent: Connection) -> None:
    """The gateway set it at the start; what a client may set is only a lower one."""
    assert agent.execute("SHOW statement_timeout").fetchone() == ("30s",)
    agent.execute("SET statement_timeout = '200ms'")
    with pytest.raises(errors.QueryCanceled, match="statement timeout"):
        agent.execute(ENDLESS)
    agent.rollback()
    with pytest.raises(errors.InsufficientPrivilege):
        agent.execute("SET statement_timeout = 0")


def test_an_update_of_the_row_a_cursor_stands_on(shop: Stack) -> None:
    with deciding(shop, "points"), shop.connect(shop.token("points")) as connection:
        connection.execute("DECLARE c CURSOR FOR SELECT id FROM carts ORDER BY id")
        assert connection.execute("FETCH c").fetchone() == (1,)
        assert connection.execute("UPDATE carts SET state = 'abandoned' WHERE CURRENT OF c").rowcount == 1
        assert connection.execute("SELECT state FROM carts WHERE id = 1").fetchone() == ("abandoned",)
        connection.rollback()


def test_tls_without_asking_first(shop: Stack) -> None:
    with psycopg.connect(shop.uri(sslnegotiation="direct"), password=shop.token()) as connection:
        assert connection.execute("SELECT 5").fetchone() == (5,)


# the asynchronous face


async def test_async_connections_do_the_same(shop: Stack) -> None:
    uri, token = shop.uri(), shop.token()
    async with await psycopg.AsyncConnection.connect(uri, password=token, row_factory=dict_row) as connection:
        rows = await (
            await connection.execute("SELECT id, name FROM products WHERE id < %s ORDER BY id", (3,))
        ).fetchall()
        assert [row["id"] for row in rows] == [1, 2]
        async with connection.cursor("async_pages") as cursor:
            await cursor.execute("SELECT id FROM orders ORDER BY id")
            assert len(await cursor.fetchmany(10)) == 10
        with pytest.raises(errors.InsufficientPrivilege):
            async with connection.transaction():
                await connection.execute("DROP TABLE orders")
        async with connection.pipeline():
            cursors = [await connection.execute("SELECT %s::int AS n", (number,)) for number in range(50)]
            assert [(await cursor.fetchone() or {})["n"] for cursor in cursors] == list(range(50))
