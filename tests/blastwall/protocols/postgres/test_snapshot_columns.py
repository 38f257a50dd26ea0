"""What real servers tell of columns, keys and views: masking is decided by it."""

from __future__ import annotations

import psycopg

from blastwall.sql.catalogue import ForeignKey
from tests.blastwall.protocols.postgres.test_snapshot import Session, dsn, found, server, session, take

__all__ = ["dsn", "server", "session"]  # fixtures


def test_exact_types_can_be_cast_to_whatever_the_search_path(session: Session) -> None:
    written = {
        "a": ("varchar(20)", "character varying(20)"),
        "b": ("varchar", "pg_catalog.varchar"),
        "c": ("char(3)", "character(3)"),
        "d": ('"char"', "pg_catalog.char"),
        "e": ("numeric(12,2)", "numeric(12,2)"),
        "f": ("timestamp(3)", "timestamp(3) without time zone"),
        "g": ("timestamptz", "pg_catalog.timestamptz"),
        "h": ("interval day to second(2)", "interval day to second(2)"),
        "i": ("bit(4)", "bit(4)"),
        "j": ("varchar(5)[]", "character varying(5)[]"),
        "k": ("int[][]", "pg_catalog._int4"),
        "l": ('"Odd one"."Mood (x)"', '"Odd one"."Mood (x)"'),
        "m": ('"Odd one"."Mood (x)"[]', '"Odd one"."_Mood (x)"'),
        "n": ("pg_catalog.inet", "pg_catalog.inet"),
        "o": ("cell", "public.cell"),
        "p": ("varbit(7)", "bit varying(7)"),
        "q": ("time(0) with time zone", "time(0) with time zone"),
    }
    session.execute(
        """CREATE SCHEMA "Odd one"; CREATE TYPE "Odd one"."Mood (x)" AS ENUM ('fine');
           CREATE DOMAIN cell AS varchar(7); CREATE SCHEMA evil; CREATE DOMAIN evil.inet AS text"""
    )
    session.execute(
        f"CREATE TABLE typed ({', '.join(f'{name} {made}' for name, (made, _) in written.items())})".encode()
    )
    plain = take(session)
    session.execute("SET search_path = evil, pg_catalog, public")
    for catalogue in (plain, take(session)):
        typed = found(catalogue, "typed", "public")
        assert {column.name: column.type_text for column in typed.columns} == {
            name: text for name, (_, text) in written.items()
        }
        for column in typed.columns:
            cell = session.execute(f"SELECT CAST(NULL AS {column.type_text})".encode())
            session.execute(f"CREATE TEMP TABLE echo AS SELECT CAST(NULL AS {column.type_text}) AS x".encode())
            stored = session.execute(
                "SELECT atttypid, atttypmod FROM pg_catalog.pg_attribute WHERE attrelid = 'pg_temp.echo'::regclass"
                " AND attnum = 1"
            )
            assert stored.fetchone() == (column.type_oid, column.type_modifier), (column, cell)
            session.execute("DROP TABLE echo")
    cell_type = plain.type("public", "cell", ())
    assert cell_type and cell_type.base_modified == "character varying(7)"


def test_what_people_said_of_columns(session: Session) -> None:
    session.execute("COMMENT ON COLUMN customers.ssn IS 'pii:ssn \"quoted\"'; COMMENT ON TABLE customers IS 'table'")
    customers = found(take(session), "customers")
    assert {column.name: column.comment for column in customers.columns if column.comment} == {
        "ssn": 'pii:ssn "quoted"'
    }
    assert not any(column.labels for column in customers.columns)


def test_keys_tell_which_columns_a_conflict_speaks_of(session: Session) -> None:
    session.execute(
        """CREATE TABLE keyed (a int, b int, c text, d text, e int, PRIMARY KEY (b, a) INCLUDE (e));
           CREATE UNIQUE INDEX ON keyed (lower(c)) INCLUDE (e); CREATE UNIQUE INDEX ON keyed (d) WHERE c = 'x';
           CREATE INDEX ON keyed (e);
           CREATE TABLE late (a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, EXCLUDE USING hash (a WITH =));
           CREATE TABLE pointing (x int, y int, FOREIGN KEY (y, x) REFERENCES keyed (b, a))"""
    )
    catalogue = take(session)
    keyed, late, pointing = (found(catalogue, name) for name in ("keyed", "late", "pointing"))
    assert keyed.primary_key == (2, 1)
    assert set(keyed.unique) == {(1, 2), (3, 5), (3, 4)}  # an expression's index tells of its included columns too
    assert late.primary_key == () and set(late.unique) == {(1,)}
    assert pointing.foreign_keys == (ForeignKey((2, 1), keyed.oid, (2, 1)),)
    assert pointing.unique == () and pointing.primary_key == ()


def test_generated_columns_tell_what_they_are_computed_from(session: Session) -> None:
    session.execute(
        """CREATE TABLE computed (a int, b int, c int GENERATED ALWAYS AS (b + 1) STORED, d int DEFAULT 3,
             e int GENERATED ALWAYS AS (a * b) STORED)"""
    )
    computed = found(take(session), "computed")
    assert {column.name: column.computed_from for column in computed.columns} == {
        "a": (),
        "b": (),
        "c": (2,),
        "d": (),
        "e": (1, 2),
    }


def test_views_tell_their_query(session: Session) -> None:
    session.execute("CREATE SCHEMA other; CREATE TABLE other.orders (n int)")
    session.execute("CREATE VIEW both_orders AS SELECT o.id, n FROM orders AS o, other.orders")
    catalogue = take(session)
    assert "FROM orders o,\n    other.orders" in found(catalogue, "both_orders").definition
    assert "count(*) AS orders" in found(catalogue, "mv").definition
    assert found(catalogue, "orders").definition == "" == found(catalogue, "pg_stats").definition


def test_a_table_that_somebody_rewrites_does_not_make_everybody_wait(dsn: str, session: Session) -> None:
    whole = take(session)
    with psycopg.connect(dsn) as other:
        other.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
        session.execute("SET lock_timeout = '1ms'")
        meanwhile = take(session)
        assert found(meanwhile, "v_customers").definition == "" != found(meanwhile, "mv").definition
        other.rollback()
    assert found(take(session), "v_customers") == found(whole, "v_customers")
    session.execute("BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
    assert take(session).version == whole.version, "one's own locks are no hindrance"
    session.execute("ROLLBACK")
