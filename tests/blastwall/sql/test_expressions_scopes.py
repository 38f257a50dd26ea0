"""Random queries full of ambiguous names: what a server runs as a function call is never taken for a column.

``wipe`` is a column of one table and a function of any row and value that raises. A query that makes a server run it must not come
out as a read, whatever aliases, sub-queries, laterals, joins and WITH queries stand around it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import psycopg
import pytest

from blastwall.model import Effect
from blastwall.protocols.postgres import snapshot
from blastwall.sql.surroundings import Surroundings
from rig.postgres import EmbeddedPostgres
from tests.blastwall.sql.judging import judged

SCHEMA = """
CREATE TABLE t (id int, wipe int, k int);
CREATE TABLE u (id int, n int, k int);
CREATE TABLE w (id int, t t, u u, a u[]);
INSERT INTO t VALUES (1, 1, 1), (2, 2, 2);
INSERT INTO u VALUES (1, 1, 1), (2, 2, 2);
INSERT INTO w VALUES (1, (1, 1, 1), (1, 1, 1), ARRAY[(1, 1, 1)::u]);
CREATE VIEW v AS SELECT id, k AS other FROM u;
CREATE FUNCTION wipe(record) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'wiped'; END$$;
CREATE FUNCTION wipe(anyelement) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'wiped'; END$$;
"""
ALIASES = ["a", "b", "t", "u", "w", "x"]
NAMES = ["wipe", "id", "k", "t", "u", "a"]
QUERIES = 6000


class Queries:
    """A generator that mostly names what is in sight."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.sight: list[str] = []

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def alias(self) -> str:
        return self.chance.choice(self.sight[-6:]) if self.sight and self.often(0.9) else self.chance.choice(ALIASES)

    def field(self) -> str:
        return self.chance.choice(["wipe", "wipe", "id", "k"])

    def names(self, most: int = 2) -> str:
        return "(" + ", ".join(self.chance.sample(NAMES, self.chance.randint(1, most))) + ")"

    def scalar(self, depth: int) -> str:
        kind = self.chance.randrange(10 if depth < 3 else 8)
        if kind < 3:
            return f"{self.alias()}.{self.chance.choice(NAMES)}"
        if kind == 3:
            return self.chance.choice(NAMES)
        if kind == 4:
            return f"({self.alias()}).{self.field()}"
        if kind == 5:
            return f"({self.alias()}.{self.chance.choice(NAMES)}).{self.field()}"
        if kind == 6:
            return f"(({self.alias()}).{self.chance.choice(['t', 'u', 'id'])}).{self.field()}"
        if kind == 7:
            return self.chance.choice(["1", f"({self.alias()}.a[1]).{self.field()}", f"public.t.{self.field()}"])
        if kind == 8:
            return f"({self.query(depth + 1)})"
        return f"({self.query(depth + 1, row=True)}).{self.field()}"

    def item(self, depth: int) -> str:
        text, alias = self._item(depth)
        if alias:
            self.sight.append(alias)
        return text

    def _item(self, depth: int) -> tuple[str, str]:
        alias = self.chance.choice(ALIASES)
        kind = self.chance.randrange(10 if depth < 3 else 6)
        if kind < 3:
            table = self.chance.choice(["t", "u", "w", "v"])
            if self.often(0.4):
                return table, table
            return f"{table} AS {alias}{self.names() if self.often(0.25) else ''}", alias
        if kind == 3:
            return f"{self.chance.choice(['c1', 'c2'])} AS {alias}", alias
        if kind == 4:
            return f"(VALUES (1, 2)) AS {alias}{self.names(1) if self.often(0.5) else ''}", alias
        if kind == 5:
            made = self.chance.choice(["unnest(ARRAY[1, 2]) AS {0}", "unnest(ARRAY[1, 2]) AS {0}(wipe)"])
            if self.often(0.4):
                made = "json_to_record('{{}}') AS {0}(" + self.chance.choice(NAMES) + " int, zz int)"
            return made.format(alias), alias
        if kind < 8:
            lateral = "LATERAL " if self.often(0.5) else ""
            return f"{lateral}({self.query(depth + 1)}) AS {alias}{self.names() if self.often(0.3) else ''}", alias
        left, right = self.item(depth + 1), self.item(depth + 1)
        condition = f"{self.scalar(depth + 2)} IS NOT NULL" if self.often(0.5) else "true"
        joined = f"({left} {self.chance.choice(['JOIN', 'LEFT JOIN'])} {right} ON {condition})"
        if self.often(0.4):
            return f"{joined} AS {alias}{self.names(1) if self.often(0.3) else ''}", alias
        return joined, ""

    def query(self, depth: int = 0, *, row: bool = False) -> str:
        with_ = ""
        if self.often(0.3):
            recursive = "RECURSIVE " if self.often(0.3) else ""
            chosen = self.chance.sample(["c1", "c2", "t", "u"], self.chance.randint(1, 2))
            queries = [
                f"{name}{self.names(1) if self.often(0.3) else ''} AS ({self.query(depth + 1)})" for name in chosen
            ]
            with_ = f"WITH {recursive}{', '.join(queries)} "
        mark = len(self.sight)
        items = [self.item(depth) for _ in range(self.chance.choice([0, 1, 1, 1, 2, 2]))]
        if row:
            target = self.alias()
        elif items and self.often(0.2):
            target = "*" if self.often(0.6) else f"{self.alias()}.*"
        else:
            target = self.scalar(depth) + (f" AS {self.chance.choice(NAMES)}" if self.often(0.5) else "")
        text = f"{with_}SELECT {target}" + (f" FROM {', '.join(items)}" if items else "")
        if self.often(0.25):
            text += f" WHERE {self.scalar(depth)} IS NOT NULL"
        del self.sight[mark:]
        return text + (" LIMIT 1" if depth else "")


@pytest.fixture(scope="module", params=[17, 18])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[psycopg.Connection, Surroundings]]:
    embedded: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    name = f"scopes{request.param}"
    embedded.drop_database(name)
    embedded.create_database(name)
    with psycopg.connect(embedded.dsn(name), autocommit=True) as connection:
        connection.execute(SCHEMA)
        with connection.transaction():
            sections = {part: connection.execute(sql).fetchone()[0] for part, sql in snapshot.SECTIONS}
        catalogue = snapshot.assemble(sections)
        connection.execute("SET statement_timeout = '5s'")
        yield (
            connection,
            Surroundings(catalogue=catalogue, search_path=("public",), server_version=catalogue.server_version),
        )
    embedded.drop_database(name)


def test_what_the_server_runs_is_never_taken_for_a_column(server: tuple[psycopg.Connection, Surroundings]) -> None:
    connection, surroundings = server
    queries = Queries(surroundings.major)
    wiped, fine, missed, refused = 0, 0, [], 0
    for _ in range(QUERIES):
        text = queries.query()
        try:
            connection.execute(text)
        except psycopg.errors.RaiseException:
            wiped += 1
            if judged(text, surroundings).effect is not Effect.UNKNOWN:
                missed.append(text)
            continue
        except psycopg.Error:
            continue
        fine += 1
        refused += judged(text, surroundings).effect is not Effect.READ
    assert missed == [], "\n".join(missed)
    assert wiped > 40, "the generator must try"
    assert fine > 300
    assert refused < fine * 0.05, "what runs nothing should pass, with few exceptions"
