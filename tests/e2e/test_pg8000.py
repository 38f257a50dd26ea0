"""pg8000: a driver in pure Python with its own reading of the protocol."""

from __future__ import annotations

import io
import ssl
from collections.abc import Iterator

import pg8000.dbapi
import pg8000.native
import pytest

from tests.e2e.stacks import Stack


@pytest.fixture
def agent(shop: Stack) -> Iterator[pg8000.native.Connection]:
    context = ssl.create_default_context(cafile=shop.ca)
    connection = pg8000.native.Connection(
        "shop", host=shop.host, port=shop.port, database="shop", password=shop.token(), ssl_context=context, timeout=20
    )
    yield connection
    connection.close()


def test_simple_and_extended_queries(agent: pg8000.native.Connection) -> None:
    assert agent.run("SELECT count(*) FROM orders") == [[1000]]  # without parameters: a simple query
    assert agent.run("SELECT id, name FROM products WHERE id = :id", id=7) == [[7, "Shelf no. 7"]]
    assert [column["name"] for column in agent.columns or []] == ["id", "name"]
    assert agent.run("SELECT CAST(:a AS int) + 1", a=41) == [[42]]


def test_prepared_statements(agent: pg8000.native.Connection) -> None:
    statement = agent.prepare("SELECT id FROM orders WHERE id = :id")
    assert [statement.run(id=number) for number in range(1, 20)] == [[[number]] for number in range(1, 20)]
    statement.close()


def test_a_refusal_and_what_follows(shop: Stack, agent: pg8000.native.Connection) -> None:
    for statement, values in (("DROP TABLE orders", {}), ("DELETE FROM orders WHERE :yes", {"yes": True})):
        with pytest.raises(pg8000.native.DatabaseError) as refused:
            agent.run(statement, **values)
        assert refused.value.args[0]["C"] == "42501"
        assert refused.value.args[0]["M"].startswith("blastwall: this statement is not permitted")
        assert agent.run("SELECT 1") == [[1]]
    assert shop.value("SELECT count(*) FROM orders") == 1000


def test_dbapi_transactions_recover(shop: Stack) -> None:
    context = ssl.create_default_context(cafile=shop.ca)
    with pg8000.dbapi.connect(
        "shop", host=shop.host, port=shop.port, database="shop", password=shop.token(), ssl_context=context, timeout=20
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT id FROM orders WHERE id < %s ORDER BY id", (4,))
        assert [row[0] for row in cursor.fetchall()] == [1, 2, 3]
        with pytest.raises(pg8000.dbapi.DatabaseError):
            cursor.execute("TRUNCATE orders")
        with pytest.raises(pg8000.dbapi.DatabaseError) as failed:
            cursor.execute("SELECT 1")
        assert failed.value.args[0]["C"] == "25P02"
        connection.rollback()
        cursor.execute("SELECT 1")
        assert cursor.fetchone()[0] == 1


def test_copy_out(agent: pg8000.native.Connection) -> None:
    taken = io.BytesIO()
    agent.run("COPY (SELECT id FROM products ORDER BY id) TO STDOUT", stream=taken)
    assert taken.getvalue().split() == [b"%d" % number for number in range(1, 41)]
