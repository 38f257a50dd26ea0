"""What can be stored at all: a condition that all of it meets limits nothing. The promises are a real server's own texts."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from blastwall.model import Effect
from blastwall.protocols.postgres.classify import Surroundings, classify, offline
from blastwall.protocols.postgres.snapshot import FRESHNESS, take
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.promises import conditions
from rig.postgres import EmbeddedPostgres

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN share AS integer CHECK (VALUE >= 10) CHECK (VALUE <= 90);
CREATE DOMAIN deep AS share;
CREATE TABLE things (
    id integer, feels mood, state text CHECK (state IN ('a', 'b')), stars integer, part deep, price numeric,
    code text CHECK (length(code) = 3), at timestamptz CHECK (at > '2000-01-01'), free text,
    CONSTRAINT stars CHECK (stars >= 1 AND stars <= 5), CHECK (price < 100 OR stars = 5));
ALTER TABLE things ADD CONSTRAINT dear CHECK (price >= 5) NOT VALID;
CREATE TABLE events (id integer, day date) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE kinds (id integer, kind text) PARTITION BY LIST (kind);
CREATE TABLE kinds_1 PARTITION OF kinds FOR VALUES IN ('x', 'y');
"""
ALL = [
    "things WHERE state IN ('a', 'b')",
    "things WHERE state = 'a' OR state = 'b'",
    "things WHERE state <> 'zz'",
    "things WHERE state LIKE 'a%' OR state LIKE 'b%'",
    "things WHERE feels IN ('sad', 'ok', 'happy')",
    "things WHERE feels = ANY ('{sad,ok,happy}')",
    "things WHERE feels = ANY (enum_range(NULL::mood))",
    "things WHERE feels NOT IN ('angry')",
    "things WHERE stars BETWEEN 1 AND 5",
    "things WHERE stars > 0",
    "things WHERE stars IN (1, 2, 3, 4, 5)",
    "things WHERE part >= 10",
    "things WHERE part BETWEEN 0 AND 100",
    "things WHERE length(code) = 3",
    "events_1 WHERE day >= '2024-01-01' AND day < '2025-01-01'",
    "events_1 WHERE day > '2023-06-01'",
    "kinds_1 WHERE kind IN ('x', 'y', 'z')",
]
SOME = [
    "things WHERE state = 'a'",
    "things WHERE state <> 'a'",
    "things WHERE feels IN ('sad', 'ok')",
    "things WHERE stars BETWEEN 1 AND 4",
    "things WHERE stars IN (1, 2, 3, 4)",
    "things WHERE stars = 5 AND state IN ('a', 'b')",
    "things WHERE part > 10",
    "things WHERE price >= 5",  # not validated: rows of before may be cheaper
    "things WHERE price < 100",  # of two columns
    "things WHERE free IN ('a', 'b')",
    "events_1 WHERE day >= '2024-02-01'",
    "events WHERE day >= '2024-01-01' AND day < '2025-01-01'",
    "kinds_1 WHERE kind IN ('x', 'z')",
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    place = tmp_path_factory.mktemp("promises")
    place.chmod(0o711)
    with EmbeddedPostgres(place / "server", major=18) as server:
        server.psql(SCHEMA)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            yield connection


def ask(connection: psycopg.Connection, text: str) -> str:
    return str((connection.execute(text.encode()).fetchone() or ("",))[0])


@pytest.fixture(scope="module")
def around(database: psycopg.Connection) -> Surroundings:
    catalogue = take(lambda text: ask(database, text))
    assert Catalogue.from_json(catalogue.to_json()).to_json() == catalogue.to_json()
    return offline(catalogue)


@pytest.mark.parametrize("rows", ALL)
def test_what_all_that_can_be_stored_meets_is_no_limit(rows: str, around: Surroundings) -> None:
    facts = classify(f"DELETE FROM {rows}", around).facts
    assert not facts.bounded and facts.effect is Effect.DESTROY


@pytest.mark.parametrize("rows", SOME)
def test_what_spares_a_value_that_can_be_stored_is_one(rows: str, around: Surroundings) -> None:
    facts = classify(f"DELETE FROM {rows}", around).facts
    assert facts.bounded and facts.effect is Effect.WRITE


def test_a_label_or_a_domains_condition_that_is_added_is_noticed(database: psycopg.Connection) -> None:
    seen = {ask(database, FRESHNESS)}
    database.execute("ALTER TYPE mood ADD VALUE 'meh'")
    seen.add(ask(database, FRESHNESS))
    database.execute("ALTER DOMAIN share ADD CHECK (VALUE <> 50)")
    seen.add(ask(database, FRESHNESS))
    assert len(seen) == 3


def test_a_promise_that_does_not_read_promises_nothing() -> None:
    assert conditions("1 = ") == () and conditions("true; DROP TABLE things") == ()
    assert conditions("x" * 100_000) == ()
    assert len(conditions("((k IS NOT NULL) AND (k >= 0) AND (k < 100))")) == 3
