"""EXECUTE: foreseen as what was prepared, with its values; and what is foreseen is what the server then does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from blastwall.blast import Blast
from tests.blastwall.sql.blast.seeing import Seer


@pytest.mark.parametrize(
    ("prepare", "execute", "rows"),
    [
        ("PREPARE p AS DELETE FROM goods WHERE id <= $1", "EXECUTE p(7)", 7),
        ("PREPARE p(int) AS DELETE FROM goods WHERE id <= $1", "EXECUTE p('7')", 7),
        (
            "PREPARE p(text, int[]) AS DELETE FROM goods WHERE name LIKE $1 AND id = ANY ($2)",
            "EXECUTE p('good 1%', '{1,2,10}')",
            2,
        ),
        ("PREPARE p(int, int) AS UPDATE goods SET price = $2 WHERE id < $1", "EXECUTE p(4, 0)", 3),
        ("PREPARE p AS DELETE FROM goods WHERE maker IS NOT DISTINCT FROM $1", "EXECUTE p(NULL)", 0),
        ("PREPARE p(int) AS INSERT INTO makers SELECT $1 + g FROM generate_series(1, 5) g", "EXECUTE p(-100)", 5),
        ("PREPARE p AS DELETE FROM goods", "EXECUTE p", 100),
        ("SELECT 1; PREPARE p AS DELETE FROM goods WHERE id = 1", "EXECUTE p", 1),
        ("PREPARE p(int) AS DELETE FROM goods WHERE id <= $1", "EXPLAIN (ANALYZE) EXECUTE p(7)", 7),
    ],
)
def test_it_does_what_was_prepared(seer: Seer, prepare: str, execute: str, rows: int) -> None:
    seer.prepare("p", prepare)
    found = seer.see(execute)
    assert (found.known, found.rows, found.rows_exact) == (True, rows, True), found.reasons
    (told,) = [reason for reason in found.reasons if reason.startswith("It runs what was prepared: ")]
    assert "PREPARE" not in told and any(word in told for word in ("DELETE FROM goods", "UPDATE goods", "INSERT INTO"))


def test_what_the_protocol_prepared_has_the_types_it_was_given(seer: Seer) -> None:
    seer.prepare("p", "DELETE FROM goods WHERE name = $1", 18)  # "char": one byte of it
    assert (seer.see("EXECUTE p('good 5')").known, seer.see("EXECUTE p('good 5')").rows) == (True, 0)
    seer.prepare("p", "DELETE FROM goods WHERE name = $1")
    assert seer.see("EXECUTE p('good 5')").rows == 1


@pytest.mark.parametrize(
    ("prepare", "execute", "why"),
    [
        ("PREPARE p(int) AS DELETE FROM goods WHERE id <= $1", "EXECUTE other(7)", "does not know"),
        ("PREPARE p(int) AS DELETE FROM goods WHERE id <= $1", "EXECUTE p(3 + 4)", "no plain constants"),
        ("PREPARE p(int) AS DELETE FROM goods WHERE id <= $1", "EXECUTE p('7'::int)", "no plain constants"),
        ("PREPARE p(text) AS DELETE FROM goods WHERE name = $1", "EXECUTE p(1e3)", "no plain constants"),
        ("PREPARE p(int) AS DELETE FROM goods WHERE id <= $1", "EXECUTE p(2.5)", "Counting it failed"),
        ("PREPARE p(int) AS DELETE FROM goods WHERE id <= $1", "EXECUTE p(1, 2)", "another number of values"),
        ("PREPARE p(nothing) AS DELETE FROM goods WHERE name = $1", "EXECUTE p('x')", "declares a type"),
        ("PREPARE p(SETOF int) AS DELETE FROM goods WHERE id = $1", "EXECUTE p(1)", "declares a type"),
        ("PREPARE p AS UPDATE goods SET name = $1 WHERE name = $1", "EXECUTE p('good 5')", "several places"),
        ("PREPARE p AS DELETE FROM goods WHERE id = $2", "EXECUTE p(1)", "no value is bound"),
        ("PREPARE p AS DELETE FROM goods WHERE fickle(id) = 1", "EXECUTE p", "do more than read"),
        ("PREPARE p AS WITH d AS (DELETE FROM goods RETURNING 1) SELECT * FROM d", "EXECUTE p", "in a query"),
        ("TRUNCATE goods", "EXECUTE p", "no query and no change"),
    ],
)
def test_what_cannot_be_told_is_unknown(seer: Seer, prepare: str, execute: str, why: str) -> None:
    seer.prepare("p", prepare)
    found = seer.see(execute)
    assert not found.known and any(why in reason for reason in found.reasons), found.reasons
    assert found.context()["rows"] == 2**63 - 1


def test_one_that_reads_changes_nothing(seer: Seer) -> None:
    seer.prepare("p", "PREPARE p AS SELECT * FROM goods WHERE id = $1")
    found = seer.see("EXECUTE p(1)")
    assert (found.known, found.rows, found.irreversible, found.tables) == (True, 0, False, ())


TYPES = (
    "int",
    "bigint",
    "smallint",
    "numeric",
    "text",
    "varchar(3)",
    "char(2)",
    "float8",
    "bool",
    "date",
    '"char"',
    "oid",
)
COLUMNS = (
    "i int",
    "t text",
    "v varchar(4)",
    "c char(3)",
    "n numeric(6, 2)",
    "f float8",
    "b bool",
    "d date",
    "s smallint",
)
VALUES = (
    "1", "0", "-1", "12", "2.5", "-2.50", "10.0", "'1'", "'12'", "'ab'", "'abc '", "''", "'2026-01-02'", "'t'", "true",
    "false", "NULL", "1e2", "'2.5'", "'0x10'", "'x''y'", "99999999999", "007",
)  # fmt: skip


@pytest.fixture(scope="module")
def table(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE zoo ({', '.join(COLUMNS)})".encode())
        for index in range(40):
            pick = random.Random(index)
            row = (
                pick.choice((0, 1, 12, -1, None, 2, 3)), pick.choice(("1", "12", "ab", "abc ", "", "true", "2.5", "x'y")),
                pick.choice(("1", "ab", "abc", "2.5", "10.0")), pick.choice(("1", "ab", "t", "12")),
                pick.choice((1, 2.5, -2.5, 10, 12)), pick.choice((1, 2.5, -1, 12, 100)), pick.choice((True, False, None)),
                pick.choice(("2026-01-02", "2026-01-03")), pick.choice((1, 12, -1)),
            )  # fmt: skip
            connection.execute("INSERT INTO zoo VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)", row)
        yield connection
        connection.execute("DROP TABLE zoo")


@pytest.mark.parametrize("seed", range(8))
def test_what_is_foreseen_of_random_values_is_what_happens(table: psycopg.Connection[Any], dsn: str, seed: int) -> None:
    """A count that calls itself exact is never another than the server's own; what the server refuses counts nothing."""
    pick, seer = random.Random(seed), Seer(dsn)
    compared = 0
    for _ in range(40):
        columns = pick.sample([each.split()[0] for each in COLUMNS], 2)
        sign = pick.choice(("=", "<>", "<=", ">"))
        declared = pick.choice((f"({pick.choice(TYPES)}, {pick.choice(TYPES)})", "", ""))
        change = pick.choice(("DELETE FROM zoo WHERE", "UPDATE zoo SET i = i WHERE"))
        prepare = (
            f"PREPARE p{declared} AS {change} {columns[0]} {sign} $1 {pick.choice(('AND', 'OR'))} {columns[1]} = $2"
        )
        execute = f"EXECUTE p({pick.choice(VALUES)}, {pick.choice(VALUES)})"
        seer.prepare("p", prepare)
        found, happened = seer.see(execute), done(table, prepare, execute)
        if found.known and found.rows_exact and happened is not None:
            assert found.rows == happened, (prepare, execute)
            compared += 1
    assert compared >= 4


def done(connection: psycopg.Connection[Any], prepare: str, execute: str) -> int | None:
    """How many rows it changes; None when the server refuses. Nothing stays."""
    low = connection.pgconn
    try:
        low.exec_(b"BEGIN")
        if low.exec_(prepare.encode()).error_message:
            return None
        result = low.exec_(execute.encode())
        return None if result.error_message else result.command_tuples
    finally:
        low.exec_(b"ROLLBACK")
        low.exec_(b"DEALLOCATE ALL")


def test_a_blast_of_execute_is_one_like_any_other(seer: Seer) -> None:
    seer.prepare("p", "PREPARE p(int) AS DELETE FROM makers WHERE id = $1")
    found = seer.see("EXECUTE p(3)")
    direct: Blast = seer.see("DELETE FROM makers WHERE id = 3")
    assert (found.tables, found.cascaded_rows, found.locks) == (direct.tables, direct.cascaded_rows, direct.locks)
    assert found.cascaded_rows > 0
