"""asyncpg: always the extended protocol, binary both ways, statements cached by name, and a pool that resets."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from blastwall.model import DenialCode
from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.people import deciding
from tests.e2e.stacks import Stack

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def place(stack: Stack, token: str = "", **more: Any) -> dict[str, Any]:
    """What asyncpg wants to know."""
    return {
        "host": stack.host, "port": stack.port, "user": stack.target, "database": stack.target,
        "password": token or stack.token(), "ssl": ssl.create_default_context(cafile=stack.ca), "timeout": 10,
        "command_timeout": 20,
    } | more  # fmt: skip


@pytest.fixture
async def agent(shop: Stack) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**place(shop))
    yield connection
    await connection.close()


async def test_rows_and_types_are_the_databases_own(shop: Stack, agent: Any) -> None:
    past = await asyncpg.connect(shop.superuser())
    for query, values in (
        ("SELECT * FROM customers WHERE id < $1 ORDER BY id", (9,)),
        ("SELECT $1::jsonb, $2::numeric, $3::int[], $4::bytea, $5::text", ('{"a": 1}', 12, [1, 2], b"\0\xff", "ü")),
        (
            "SELECT o, array_agg(i) FROM orders AS o JOIN order_items AS i ON i.order_id = o.id GROUP BY o ORDER BY 1 LIMIT 3",
            (),
        ),
    ):
        assert [tuple(row) for row in await agent.fetch(query, *values)] == [
            tuple(row) for row in await past.fetch(query, *values)
        ]
    await past.close()


async def test_types_it_does_not_know_are_looked_up_in_the_catalogue(agent: Any) -> None:
    """asyncpg asks pg_type with a query of its own for composite types."""
    assert (await agent.fetchval("SELECT p FROM products AS p WHERE id = 3"))["id"] == 3


async def test_prepared_statements_describe_themselves(agent: Any) -> None:
    statement = await agent.prepare("SELECT id, name FROM products WHERE id = $1 AND price > $2")
    assert [kind.name for kind in statement.get_parameters()] == ["int4", "numeric"]
    assert [column.name for column in statement.get_attributes()] == ["id", "name"]
    assert (await statement.fetchrow(4, 0))["name"] == "Rug no. 4"
    assert "Index Scan" in str(await statement.explain(4, 0)) or "Seq Scan" in str(await statement.explain(4, 0))


async def test_executemany_of_a_write_is_held_row_by_row(shop: Stack) -> None:
    """Each Bind is a statement of its own: a person sees each set of parameters."""
    connection = await asyncpg.connect(**place(shop))
    with pytest.raises(asyncpg.PostgresError) as pending:
        await connection.executemany("UPDATE carts SET state = $2 WHERE id = $1", [(1, "abandoned"), (2, "abandoned")])
    assert (
        pending.value.sqlstate == SQLSTATES[DenialCode.PENDING]
    )  # pipelined behind one Sync: nobody waits in line, a ticket is given
    await connection.close()
    assert shop.value("SELECT count(*) FROM carts WHERE id IN (1, 2) AND state = 'active'") == 2


async def test_fetchmany_pipelines_reads(agent: Any) -> None:
    rows = await agent.fetchmany("SELECT id FROM orders WHERE id = $1", [(number,) for number in range(1, 301)])
    assert [row["id"] for row in rows] == list(range(1, 301))


async def test_cursors_page_in_a_transaction(agent: Any) -> None:
    async with agent.transaction():
        found = [row["id"] async for row in agent.cursor("SELECT id FROM orders ORDER BY id", prefetch=37)]
        assert found == list(range(1, 1001))
        cursor = await agent.cursor("SELECT id FROM orders ORDER BY id")
        assert len(await cursor.fetch(10)) == 10
        assert await cursor.forward(5) == 5
        assert (await cursor.fetchrow())["id"] == 16


async def test_a_refusal_is_an_error_of_its_own_kind_and_the_connection_goes_on(shop: Stack, agent: Any) -> None:
    for statement in ("DROP TABLE orders", "DELETE FROM orders", "SELECT pg_read_file('/etc/passwd')"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
            await agent.execute(statement)
        assert refused.value.message.startswith("blastwall: this statement is not permitted")
        assert refused.value.detail and refused.value.hint
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await agent.fetch(statement)
        assert await agent.fetchval("SELECT count(*) FROM orders") == 1000
    assert shop.value("SELECT count(*) FROM orders") == 1000


async def test_a_refused_text_is_not_in_the_statement_cache(agent: Any) -> None:
    for _ in range(3):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await agent.fetch("TRUNCATE orders")
    assert await agent.fetchval("SELECT 5") == 5


async def test_transactions_and_savepoints_around_a_refusal(shop: Stack, agent: Any) -> None:
    async with agent.transaction():
        await agent.fetchval("SELECT 1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with agent.transaction():
                await agent.execute("DROP TABLE orders")
        assert await agent.fetchval("SELECT 2") == 2
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with agent.transaction():
            await agent.execute("TRUNCATE orders")
    assert not agent.is_in_transaction()
    assert await agent.fetchval("SELECT 3") == 3


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_transaction_options(agent: Any, isolation: str) -> None:
    async with agent.transaction(isolation=isolation, readonly=True, deferrable=isolation == "serializable"):
        assert await agent.fetchval("SHOW transaction_isolation") == isolation.replace("_", " ")


async def test_copy_out_of_tables_and_queries(shop: Stack, agent: Any) -> None:
    taken = io.BytesIO()
    assert await agent.copy_from_query("SELECT id FROM orders ORDER BY id", output=taken, format="csv") == "COPY 1000"
    assert taken.getvalue().split() == [b"%d" % number for number in range(1, 1001)]
    taken = io.BytesIO()
    await agent.copy_from_table("products", output=taken, format="binary")
    assert taken.getvalue().startswith(b"PGCOPY\n\xff\r\n\0")


async def test_copy_in_after_a_person_agreed(shop: Stack) -> None:
    with deciding(shop, "async-copier"):
        connection = await asyncpg.connect(**place(shop, shop.token("async-copier")))
        rows = [(40_000 + number, 1, "active", NOON) for number in range(500)]
        done = await connection.copy_records_to_table("carts", records=rows)
        await connection.close()
    assert done == "COPY 500"
    assert shop.value("SELECT count(*) FROM carts WHERE id >= 40000") == 500
    shop.direct("DELETE FROM carts WHERE id >= 40000")


@pytest.mark.parametrize("copied", [False, True], ids=["execute", "copy"])
async def test_what_is_approved_for_so_many_rows_runs_behind_what_was_only_prepared(shop: Stack, copied: bool) -> None:
    """asyncpg prepares with Flush instead of Sync: ``copy_records_to_table`` asks for the columns' types that way."""
    agent = f"async-bounded-{copied}"
    with deciding(shop, agent, "approve", "--rows", "5"):
        connection = await asyncpg.connect(**place(shop, shop.token(agent)))
        if copied:
            rows = [(41_000 + number, 1, "active", NOON) for number in range(5)]
            assert await connection.copy_records_to_table("carts", records=rows) == "COPY 5"
        else:
            await connection.prepare("SELECT state FROM carts WHERE id = $1")
            assert await connection.execute("UPDATE carts SET state = state WHERE id = 3") == "UPDATE 1"
        await connection.close()
    shop.direct("DELETE FROM carts WHERE id >= 41000")


async def test_a_pool_resets_its_connections(shop: Stack) -> None:
    """``SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL`` after each use."""
    async with asyncpg.create_pool(**place(shop), min_size=2, max_size=4) as pool:
        async with pool.acquire() as connection:
            await connection.execute("SET application_name = 'mine'")
        found = await asyncio.gather(*[pool.fetchval("SELECT $1::int", number) for number in range(40)])
        assert found == list(range(40))
        async with pool.acquire() as connection:
            assert await connection.fetchval("SHOW application_name") != "mine"
            assert await connection.fetchval("SHOW standard_conforming_strings") == "on"
            assert await connection.fetchval("SHOW statement_timeout") == "30s"  # the reset came back to the target's


async def test_tls_without_asking_first(shop: Stack) -> None:
    connection = await asyncpg.connect(**place(shop, direct_tls=True))
    assert await connection.fetchval("SELECT 5") == 5
    await connection.close()


async def test_a_timeout_of_the_client_cancels_the_query(shop: Stack, agent: Any) -> None:
    query = "SELECT count(*) FROM orders AS a JOIN orders AS b ON a.id <> b.id JOIN orders AS c ON c.id <> b.id"
    with pytest.raises(TimeoutError):
        await agent.fetchval(query, timeout=0.3)
    assert await agent.fetchval("SELECT 1") == 1
    assert shop.value("SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'", query) == 0


async def test_what_a_person_refuses_is_an_error_with_the_persons_words(shop: Stack) -> None:
    with deciding(shop, "listens", "deny", "--note", "poll the table instead"):
        connection = await asyncpg.connect(**place(shop, shop.token("listens")))
        with pytest.raises(asyncpg.PostgresError, match="poll the table instead") as refused:
            await connection.add_listener("news", lambda *_: None)
        assert refused.value.sqlstate == SQLSTATES[DenialCode.DENIED]
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
