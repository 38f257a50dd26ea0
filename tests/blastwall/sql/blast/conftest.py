"""One small shop to foresee changes of, on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from rig.postgres import EmbeddedPostgres
from tests.blastwall.sql.blast.seeing import Seer

SHOP = """
CREATE TABLE makers (id int PRIMARY KEY, name text);
CREATE TABLE goods (
  id int PRIMARY KEY, maker int REFERENCES makers ON DELETE CASCADE ON UPDATE CASCADE, name text, price numeric
);
CREATE TABLE notes (id int PRIMARY KEY, good int REFERENCES goods ON DELETE SET NULL, by_maker int REFERENCES makers);
CREATE TABLE kept (id int PRIMARY KEY, good int NOT NULL REFERENCES goods ON DELETE RESTRICT);
CREATE TABLE bosses (id int PRIMARY KEY, boss int REFERENCES bosses ON DELETE CASCADE);
INSERT INTO makers SELECT g, 'maker ' || g FROM generate_series(1, 10) AS g;
INSERT INTO goods SELECT g, 1 + g % 10, 'good ' || g, g FROM generate_series(1, 100) AS g;
INSERT INTO notes SELECT g, g FROM generate_series(1, 50) AS g;
INSERT INTO kept VALUES (1, 100);
INSERT INTO bosses SELECT g, NULLIF(g / 2, 0) FROM generate_series(1, 20) AS g;
CREATE FUNCTION fickle(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT $1';
CREATE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
UPDATE bosses SET boss = 20 WHERE id = 1;
"""


@pytest.fixture(scope="module")
def dsn(postgres17: EmbeddedPostgres, database17: str) -> str:
    """A database with the shop in it."""
    with psycopg.connect(postgres17.dsn(database17), autocommit=True) as connection:
        connection.execute(SHOP.encode())
    return postgres17.dsn(database17)


@pytest.fixture(scope="module")
def run(dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The owner's own connection."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def seer(dsn: str) -> Iterator[Seer]:
    seer = Seer(dsn)
    yield seer
    seer.close()
