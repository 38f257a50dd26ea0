"""Orders of messages and states of a session that are rare, against the running gateway: it serves the others meanwhile."""

from __future__ import annotations

import psycopg
import pytest

from tests.e2e.stacks import Stack


def test_ddl_in_a_transaction_that_fails_with_the_same_text_holds_nobody_up(variants: Stack) -> None:
    with variants.connect(target="watched", autocommit=True) as connection:
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("CREATE TEMP TABLE of_none (id integer); SELECT 1 / 0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        with variants.connect(target="watched") as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
        connection.execute("ROLLBACK")
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1000,)
