"""SQLAlchemy: Core, the ORM with a held DELETE in the middle, and reflection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import create_async_engine

from tests.e2e.people import deciding, requests
from tests.e2e.stacks import Stack
from tests.e2e.test_asyncpg import place


class Base(orm.DeclarativeBase):
    pass


class Cart(Base):
    __tablename__ = "carts"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    customer_id: orm.Mapped[int]
    state: orm.Mapped[str]
    updated_at: orm.Mapped[Any] = orm.mapped_column(sa.DateTime(timezone=True), insert_default=sa.func.now())


def engine_of(stack: Stack, token: str = "", **more: Any) -> sa.Engine:
    token = token or stack.token()
    url = sa.make_url(stack.uri()).set(drivername="postgresql+psycopg", password=token)
    return sa.create_engine(url, **more)


@pytest.fixture
def engine(shop: Stack) -> Iterator[sa.Engine]:
    engine = engine_of(shop)
    yield engine
    engine.dispose()


def test_inspection_is_answered_as_the_database_does(shop: Stack, engine: sa.Engine) -> None:
    past = sa.create_engine(shop.superuser().replace("postgresql:", "postgresql+psycopg:"))

    def seen(inspected: sa.Inspector) -> Any:
        return {
            "schemas": inspected.get_schema_names(),
            "tables": sorted(inspected.get_table_names()),
            "views": inspected.get_view_names(),
            "sequences": inspected.get_sequence_names(),
            **{
                table: (
                    [{**column, "type": str(column["type"])} for column in inspected.get_columns(table)],
                    inspected.get_pk_constraint(table),
                    inspected.get_foreign_keys(table),
                    sorted(inspected.get_indexes(table), key=str),
                    sorted(inspected.get_unique_constraints(table), key=str),
                    sorted(inspected.get_check_constraints(table), key=str),
                    inspected.get_table_comment(table),
                )
                for table in inspected.get_table_names()
            },
        }

    assert seen(sa.inspect(engine)) == seen(sa.inspect(past))
    past.dispose()


def test_reflection_and_core(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    metadata.reflect(engine)
    orders, customers = metadata.tables["orders"], metadata.tables["customers"]
    with engine.connect() as connection:
        query = (
            sa.select(customers.c.city, sa.func.count())
            .join_from(orders, customers)
            .where(orders.c.status.in_(["open", "paid"]), customers.c.id < 50)
            .group_by(customers.c.city)
            .order_by(customers.c.city)
        )
        rows = connection.execute(query).all()
        assert len(rows) == 5
        streamed = connection.execution_options(stream_results=True, yield_per=100).execute(sa.select(orders.c.id))
        assert sum(1 for _ in streamed) == 1000


def test_a_pooled_connection_that_was_read_only_is_used_again(shop: Stack) -> None:
    """Put back into the pool it asks for READ WRITE: psycopg in each BEGIN from then on, pg8000 for the session."""
    pg8000 = sa.make_url(shop.uri()).set(drivername="postgresql+pg8000", password=shop.token(), query={})
    context = ssl.create_default_context(cafile=shop.ca)
    for engine in (
        engine_of(shop, pool_size=1, max_overflow=0),
        sa.create_engine(pg8000, connect_args={"ssl_context": context}, pool_size=1, max_overflow=0),
    ):
        with engine.connect().execution_options(postgresql_readonly=True) as connection:
            assert connection.scalar(sa.text("SHOW transaction_read_only")) == "on"
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SHOW transaction_read_only")) == "off"
        engine.dispose()


def test_the_orm_reads_writes_and_deletes_with_a_person_in_between(shop: Stack) -> None:
    engine = engine_of(shop, shop.token("mapper"))
    try:
        with deciding(shop, "mapper") as decided:
            with orm.Session(engine) as session, session.begin():
                session.add(Cart(id=9400, customer_id=1, state="active"))
            with orm.Session(engine) as session, session.begin():
                cart = session.get_one(Cart, 9400)
                assert cart.state == "active"
                cart.state = "abandoned"
            with orm.Session(engine) as session, session.begin():
                session.delete(session.get_one(Cart, 9400))
        verbs = [filed.request.facts.verb for filed in requests(shop, "mapper")]
        assert verbs == ["insert", "update", "delete"]
        assert len(decided) == 3
        assert shop.value("SELECT count(*) FROM carts WHERE id = 9400") == 0
        (delete,) = [item for item in shop.asked("mapper") if (item["verb"], item["kind"]) == ("delete", "execute")]
        assert int(delete["parameters"][0].replace(" ", ""), 16) == 9400
    finally:
        engine.dispose()
        shop.direct("DELETE FROM carts WHERE id = 9400")


def test_a_bulk_delete_without_a_bound_is_refused_and_the_session_recovers(shop: Stack, engine: sa.Engine) -> None:
    with orm.Session(engine) as session:
        with pytest.raises(sa.exc.ProgrammingError, match="no-unbounded-writes"):
            session.execute(sa.delete(Cart))
        session.rollback()
        assert session.scalar(sa.select(sa.func.count()).select_from(Cart)) == 480
        with pytest.raises(sa.exc.ProgrammingError), session.begin_nested():
            session.execute(sa.text("DROP TABLE carts"))
        assert session.scalar(sa.select(sa.func.count()).select_from(Cart)) == 480
    assert shop.value("SELECT count(*) FROM carts") == 480


def test_create_all_is_held_and_drop_all_is_refused(shop: Stack) -> None:
    engine = engine_of(shop, shop.token("migrates"))
    metadata = sa.MetaData()
    table = sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("word", sa.Text))
    shop.direct("GRANT CREATE ON SCHEMA public TO shop_agent")
    try:
        with deciding(shop, "migrates") as decided:
            metadata.create_all(engine)
        assert len(decided) == 1
        with engine.connect() as connection:  # what was made a moment ago is known at once
            assert connection.execute(sa.select(table.c.word)).all() == []
        with pytest.raises(sa.exc.ProgrammingError, match="no-destruction"):
            metadata.drop_all(engine)
        assert shop.value("SELECT to_regclass('notes')::text") == "notes"
    finally:
        engine.dispose()
        shop.direct("DROP TABLE IF EXISTS notes")
        shop.direct("REVOKE CREATE ON SCHEMA public FROM shop_agent")


async def test_the_asynchronous_engine(shop: Stack) -> None:
    where = place(shop)
    url = sa.URL.create("postgresql+asyncpg", where["user"], where["password"], where["host"], where["port"], "shop")
    engine = create_async_engine(url, connect_args={"ssl": where["ssl"]}, pool_size=3)

    async def read(number: int) -> Any:
        async with engine.connect() as connection:
            return await connection.scalar(sa.select(sa.literal(number, sa.Integer)))

    assert await asyncio.gather(*map(read, range(12))) == list(range(12))
    await engine.dispose()
