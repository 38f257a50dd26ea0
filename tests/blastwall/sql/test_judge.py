"""One statement to facts: its kind, what it names, and what it means for the next one."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from tests.blastwall.sql.judging import find, judged


@pytest.mark.parametrize(
    ("text", "kind", "name", "value"),
    [
        ("SELECT 1", "query", "", ""),
        ("COPY orders FROM STDIN", "copy_in", "", ""),
        ("COPY orders TO STDOUT", "copy_out", "", ""),
        ("SET application_name = 'x'", "set", "application_name", "x"),
        ("SET enable_seqscan = off", "set", "enable_seqscan", "off"),
        ("RESET ALL", "reset", "", ""),
        ("PREPARE p AS SELECT 1", "prepare", "p", ""),
        ("EXECUTE p", "execute", "p", ""),
        ("EXPLAIN EXECUTE p", "execute", "", ""),
        ("DECLARE c CURSOR FOR SELECT 1", "declare", "c", ""),
        ("CLOSE c", "close", "c", ""),
        ("DELETE FROM orders WHERE CURRENT OF c", "cursor_write", "", ""),
        ("SELECT 1 INTO fresh", "define", "", ""),
        ("SELECT pg_advisory_unlock_all()", "discard", "advisory locks", ""),
        ("SELECT pg_advisory_unlock_all() FROM orders", "query", "", ""),
        ("SELECT pg_advisory_unlock_all(), 1", "query", "", ""),
        ("SAVEPOINT a", "transaction", "a", ""),
    ],
)
def test_what_a_statement_is_to_its_session(text: str, kind: str, name: str, value: str) -> None:
    (one,) = find(text).statements
    assert (one.kind, one.name, one.value) == (kind, name, value)


@pytest.mark.parametrize(
    ("text", "makes"),
    [
        ("CREATE TABLE fresh (id int)", ("fresh", False)),
        ("CREATE TEMP TABLE fresh (id int)", ("fresh", True)),
        ("CREATE TABLE pg_temp.fresh (id int)", ("fresh", True)),
        ("CREATE TEMP TABLE fresh AS SELECT 1", ("fresh", True)),
        ("SELECT 1 INTO fresh", ("fresh", False)),
        ("SELECT 1 INTO fresh UNION SELECT 2 UNION SELECT 3", ("fresh", False)),
        ("SELECT 1 INTO TEMP fresh UNION ALL SELECT 2", ("fresh", True)),
        ("CREATE INDEX fresh ON orders (id)", None),
    ],
)
def test_what_it_makes_is_there_for_the_next_one(text: str, makes: tuple[str, bool] | None) -> None:
    (one,) = find(text).statements
    assert one.makes == makes
    after = judged(f"{text}; SELECT 1 FROM fresh")
    assert (after.effect is Effect.UNKNOWN) is (makes is None)


@pytest.mark.parametrize(
    ("text", "changes", "reads_only"),
    [
        ("SELECT 1", False, True),
        ("INSERT INTO orders (id) VALUES (1)", False, False),
        ("DROP TABLE orders", True, False),
        ("CREATE ROLE r", True, False),
        ("BEGIN", False, True),
    ],
)
def test_what_it_leaves_behind(text: str, changes: bool, reads_only: bool) -> None:
    (one,) = find(text).statements
    assert (one.changes_catalogue, one.reads_only) == (changes, reads_only)


@pytest.mark.parametrize(
    "text",
    ["CREATE ROLE r SUPERUSER", "GRANT ALL ON orders TO PUBLIC", "ALTER SYSTEM SET fsync = off", "DO 'BEGIN END'"],
)
def test_statements_with_a_fixed_answer(text: str) -> None:
    assert judged(text).effect is Effect.ADMINISTER
