"""What is kept, and why something is not: single cases on a real server (random ones beside this)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from blastwall.model import Parameter
from blastwall.undo.capture import NoCapsule
from blastwall.undo.restore import restoring
from rig.postgres import EmbeddedPostgres
from tests.blastwall.sql.blast.seeing import Seer
from tests.blastwall.undo.world import Session

TABLES = """
CREATE TABLE plain (id int PRIMARY KEY, a text, price money);
CREATE TABLE t (id int PRIMARY KEY, a text, b int, made int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE bare (id int, a text);
CREATE TABLE heard (id int PRIMARY KEY, a text);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER hears AFTER INSERT ON heard FOR EACH STATEMENT EXECUTE FUNCTION nothing();
CREATE TABLE ruled (id int PRIMARY KEY, a text);
CREATE RULE other AS ON DELETE TO ruled DO INSTEAD NOTHING;
CREATE TABLE up (id int PRIMARY KEY, a text);
CREATE TABLE down () INHERITS (up);
CREATE TABLE split (id int, day date, a text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE split_one PARTITION OF split FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE split_two PARTITION OF split FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE one (id int PRIMARY KEY, other int);
CREATE TABLE two (id int PRIMARY KEY, other int REFERENCES one ON DELETE CASCADE);
ALTER TABLE one ADD FOREIGN KEY (other) REFERENCES two ON DELETE CASCADE;
CREATE VIEW seen AS SELECT * FROM t;
INSERT INTO t SELECT g, 'a' || g, g FROM generate_series(1, 9) g;
INSERT INTO child SELECT g, g FROM generate_series(1, 5) g;
INSERT INTO split SELECT g, date '2026-01-25' + g, 'x' FROM generate_series(1, 10) g;
INSERT INTO one VALUES (1, NULL); INSERT INTO two VALUES (1, 1); UPDATE one SET other = 1;
CREATE TABLE above (id int PRIMARY KEY);
CREATE TABLE made (a int REFERENCES above ON DELETE CASCADE, b int, g int GENERATED ALWAYS AS (b * 2) STORED, v text,
    PRIMARY KEY (a, g));
CREATE TABLE fixed (id int PRIMARY KEY, g int GENERATED ALWAYS AS (42) STORED, n int GENERATED ALWAYS AS IDENTITY,
    v bpchar, u int UNIQUE, w int, x int GENERATED ALWAYS AS (w + 1) STORED, y text, UNIQUE (x));
CREATE UNIQUE INDEX ON fixed (lower(y));
CREATE DOMAIN cash AS money;
CREATE TABLE paid (id int PRIMARY KEY, v cash[]);
INSERT INTO above VALUES (1); INSERT INTO made (a, b, v) VALUES (1, 1, 'x'), (1, 2, 'y'), (1, 3, 'z');
INSERT INTO fixed (id, v, u, w) VALUES (1, 'a   ', 1, 1), (2, '', 2, 2), (3, NULL, 3, 3);
INSERT INTO up VALUES (1, 'x'); INSERT INTO plain VALUES (1, 'x', 1);
"""


@pytest.fixture(scope="module")
def owner(postgres17: EmbeddedPostgres, database17: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres17.dsn(database17), autocommit=True) as connection:
        connection.execute(TABLES.encode())
        yield connection


@pytest.fixture(scope="module")
def session(owner: psycopg.Connection[Any]) -> Iterator[Session]:
    session = Session(owner.info.dsn + f" password={owner.info.password}")
    yield session
    session.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("UPDATE t SET id = id + 100", "It changes the primary key"),
        ("DELETE FROM bare", "no primary key"),
        ("DELETE FROM heard", "Triggers of public.heard"),
        ("DELETE FROM ruled", "has rules"),
        ("DELETE FROM up", "inherit"),
        ("DELETE FROM plain", "holds money"),
        ("DELETE FROM paid", "holds money"),
        ("DELETE FROM above", "primary key of public.made is computed"),
        ("UPDATE made SET v = 'n' WHERE b = 2", "primary key of public.made is computed"),
        ("UPDATE fixed SET n = DEFAULT WHERE id = 1", "no value but the server's own"),
        ("UPDATE fixed SET u = u - 1 WHERE id > 1", "unique column of several rows"),
        ("UPDATE fixed SET w = w - 1 WHERE id > 1", "unique column of several rows"),
        ("UPDATE fixed SET y = y || 'x' WHERE id > 1", "unique column of several rows"),
        ("DELETE FROM split_one", "spoken of by its own name"),
        ("DELETE FROM one", "in a circle"),
        ("DELETE FROM seen", "view"),
        ("DELETE FROM t WHERE random() > 2", "random"),
        ("DELETE FROM t; DELETE FROM child", "Only a single"),
        ("INSERT INTO t (id) VALUES (1)", "Only a single"),
        ("WITH x AS (DELETE FROM child RETURNING t) DELETE FROM t USING x WHERE t.id = x.t", "WITH"),
        ("DELETE FROM t WHERE id < 5", "more rows than are kept"),
        ("DELETE FROM t WHERE id < 3", "more rows than are kept"),
    ],
)
def test_what_is_not_kept_says_why_and_nothing_has_changed(
    owner: psycopg.Connection[Any], session: Session, text: str, reason: str
) -> None:
    with pytest.raises(NoCapsule, match=reason):
        session.change(text, most=3)
    assert owner.execute("SELECT count(*), (SELECT count(*) FROM child) FROM t").fetchone() == (9, 5)


@pytest.mark.parametrize(
    "text", ["DELETE FROM fixed", "UPDATE fixed SET v = 'n'", "UPDATE fixed SET u = 9 WHERE id = 1"]
)
def test_what_the_server_makes_itself_and_what_a_cast_would_shorten_come_back(
    owner: psycopg.Connection[Any], session: Session, text: str
) -> None:
    look = b"SELECT id, g, n, octet_length(v), v, u, w, x FROM fixed ORDER BY id"
    before = owner.execute(look).fetchall()
    assert before[0][:5] == (1, 42, 1, 4, "a   ")
    capsule = session.change(text)
    assert owner.execute(look).fetchall() != before
    assert session.undo(capsule) == "" and owner.execute(look).fetchall() == before


def test_values_that_are_bound_find_the_rows(owner: psycopg.Connection[Any], session: Session) -> None:
    before = owner.execute("SELECT * FROM t ORDER BY 1").fetchall()
    text = "UPDATE t SET a = $1 WHERE id = $2"
    capsule = session.change(text, Parameter(b"new", False, 25), Parameter(b"4", False, 23))
    assert [part.rows for part in capsule.parts] == [(("4", "a4"),)]
    assert session.undo(capsule) == "" and owner.execute("SELECT * FROM t ORDER BY 1").fetchall() == before


def test_rows_move_back_to_their_partitions(owner: psycopg.Connection[Any], session: Session) -> None:
    before = owner.execute("SELECT tableoid::regclass::text, * FROM split ORDER BY 2").fetchall()
    for text in ("DELETE FROM split WHERE id > 4", "UPDATE split SET a = 'y' WHERE id > 4"):
        capsule = session.change(text)
        assert capsule.rows == 6 and session.undo(capsule) == ""
        assert owner.execute("SELECT tableoid::regclass::text, * FROM split ORDER BY 2").fetchall() == before


def test_a_key_that_was_taken_meanwhile_is_not_overwritten(owner: psycopg.Connection[Any], session: Session) -> None:
    capsule = session.change("DELETE FROM t WHERE id = 9")
    owner.execute("INSERT INTO t (id, a) VALUES (9, 'somebody else')")
    assert "duplicate key" in session.undo(capsule)
    assert owner.execute("SELECT a FROM t WHERE id = 9").fetchone() == ("somebody else",)
    owner.execute("DELETE FROM t WHERE id = 9")
    assert session.undo(capsule) == ""


@pytest.mark.parametrize(
    ("text", "meanwhile"),
    [
        ("DELETE FROM t WHERE id = (SELECT max(id) FROM t)", "INSERT INTO t (id) VALUES (77)"),
        ("UPDATE t SET a = 'x' WHERE id = (SELECT max(id) FROM t)", "INSERT INTO t (id) VALUES (77)"),
    ],
)
def test_as_many_rows_but_others_than_were_kept_are_noticed(
    owner: psycopg.Connection[Any], session: Session, text: str, meanwhile: str
) -> None:
    before = owner.execute("SELECT * FROM t ORDER BY 1").fetchall()
    with pytest.raises(NoCapsule, match="other rows"):
        session.change(text, meanwhile=lambda: owner.execute(meanwhile.encode()))
    owner.execute("DELETE FROM t WHERE id = 77")
    assert owner.execute("SELECT * FROM t ORDER BY 1").fetchall() == before


def test_a_row_that_its_own_transaction_had_changed_before_is_kept_as_it_was_then(
    owner: psycopg.Connection[Any], session: Session
) -> None:
    capsule = session.change("UPDATE t SET a = 'second' WHERE id = 4", before="UPDATE t SET a = 'first' WHERE id = 4")
    assert session.undo(capsule) == ""
    assert owner.execute("SELECT a FROM t WHERE id = 4").fetchone() == ("first",)
    owner.execute("UPDATE t SET a = 'a4' WHERE id = 4")


def test_what_its_own_transaction_did_to_the_row_afterwards_is_a_change_since(
    owner: psycopg.Connection[Any], session: Session
) -> None:
    capsule = session.change("UPDATE t SET a = 'one' WHERE id = 4", after="UPDATE t SET a = 'two' WHERE id = 4")
    assert "changed since" in session.undo(capsule)
    assert owner.execute("SELECT a FROM t WHERE id = 4").fetchone() == ("two",)
    owner.execute("UPDATE t SET a = 'a4' WHERE id = 4")


def test_what_undoes_is_counted_like_any_other_change(owner: psycopg.Connection[Any], session: Session) -> None:
    """Whoever approves it is shown a number: it must not be the gateway that the gateway cannot read."""
    capsule = session.change("UPDATE t SET a = a || '!' WHERE id < 4")
    seer = Seer(owner.info.dsn + f" password={owner.info.password}")
    found = seer.see(restoring(capsule))
    assert (found.known, found.rows, found.rows_exact) == (True, 3, True), found.reasons
    assert session.undo(capsule) == ""
