"""What is undone is as it was: random tables, keys, types, foreign keys and changes, under odd settings of the session.

Each change is committed and undone, and then every table must hold what it held before; when somebody has changed a row
meanwhile, the undoing must refuse and change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from blastwall.undo.capture import NoCapsule
from rig.postgres import EmbeddedPostgres
from tests.blastwall.undo.world import Session

SCHEMAS, CHANGES, ROWS = 8, 20, 12
ODD = {"DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard", "extra_float_digits": "-3", "bytea_output": "escape"}

KEYS = {
    "int": "{n}", "text": "'k''{n} \\ x'", "uuid": "'00000000-0000-0000-0000-0000000000{n:02}'", "date": "date '2026-01-01' + {n}",
    "numeric(9,2)": "{n}.25", "timestamptz": "timestamptz '2026-01-02 03:04:05+06' + interval '1 hour' * {n}",
    "char(6)": "'c{n}'",
}  # fmt: skip
VALUES = {
    "text": ["NULL", "''", "'it''s'", "E'tab\\tline\\n'", "'ünï ☃'", "'back\\slash'"],
    "float8": ["0.1", "1e300", "'NaN'", "'-Infinity'", "1.0/3", "NULL"],
    "numeric": ["1.10", "'NaN'", "12345678901234567890.000001"],
    "bytea": ["'\\x00ff5c27'", "NULL"],
    "interval": ["'-1 mons +3 days -04:05:06.7'", "'1 year'", "NULL"],
    "timestamp": ["'infinity'", "'2026-02-01 03:04:05.678901'", "'0044-03-15 BC'"],
    "date": ["'2026-02-01'", "'-infinity'", "NULL"],
    "jsonb": ["'{\"a\": [1, null]}'", "'\"x\"'"],
    "json": ["'{\"a\":  1}'"],
    "int4[]": ["'{1,NULL,3}'", "'{}'"],
    "text[]": ["ARRAY['a,b', 'c\"d', NULL, '']"],
    "bool": ["true", "NULL"],
    "bit(3)": ["B'101'"],
    "inet": ["'10.0.0.1/8'", "'::1'"],
    "point": ["'(1.5,-2)'"],
    "int4range": ["'[1,5)'", "'empty'"],
    "colour": ["'red'", "'dark blue'"],
    "price": ["1.5", "NULL"],
    "pair": ["ROW(1, 'a,\"b\"')", "NULL"],
}
TYPES = """
CREATE TYPE colour AS ENUM ('red', 'dark blue');
CREATE DOMAIN price AS numeric CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
"""


class World:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.tables: list[tuple[str, list[str], list[str]]] = []  # name, key columns, others
        self._made: list[tuple[str, list[str], str]] = []

    def make(self) -> str:
        dice = self.dice
        texts: list[str] = []
        keys = sorted(KEYS)
        for number in range(dice.randint(2, 4)):
            name = dice.choice([f"t{number}", f'T "q" {number}'])
            quoted = '"' + name.replace('"', '""') + '"'
            kind = dice.choice(keys)
            composite = dice.random() < 0.4
            columns = [f"id {kind}"] + (["sub int"] if composite else [])
            own = ["id", "sub"] if composite else ["id"]
            others: list[str] = []
            for place, other in enumerate(dice.sample(sorted(VALUES), dice.randint(2, 5))):
                columns.append(f"c{place} {other}")
                others.append(f"c{place} {other}")
            if dice.random() < 0.5:
                columns.append("made int GENERATED ALWAYS AS (length(COALESCE(r, ''))) STORED")
            columns.append("r text")
            if dice.random() < 0.4:
                columns.append("n int GENERATED ALWAYS AS IDENTITY")
            columns.append(f"PRIMARY KEY ({', '.join(own)})")
            parents: list[tuple[list[str], str, list[str]]] = []
            for parent, pkey, pkind in [*self._made, (quoted, own, kind)]:
                if dice.random() > 0.7:
                    continue
                place = len(parents)
                names = [f"f{place}_{each}" for each in pkey]
                action = dice.choice(["CASCADE", "CASCADE", "SET NULL", "NO ACTION"])
                columns[-1:-1] = [f"{names[0]} {pkind}", *(f"{each} int" for each in names[1:])]
                columns.append(
                    f"FOREIGN KEY ({', '.join(names)}) REFERENCES {parent} ({', '.join(pkey)}) ON DELETE {action}"
                )
                parents.append((names, parent, pkey))
            texts.append(f"CREATE TABLE {quoted} ({', '.join(columns)})")
            self._made.append((quoted, own, kind))
            for row in range(ROWS):
                given = {"id": KEYS[kind].format(n=row), "r": f"'r{row}'"} | ({"sub": "1"} if composite else {})
                for other in others:
                    column, of = other.split(" ", 1)
                    given[column] = f"({dice.choice(VALUES[of])})::{of}"
                texts.append(f"INSERT INTO {quoted} ({', '.join(given)}) VALUES ({', '.join(given.values())})")
            for names, parent, pkey in parents:
                sets = f"({', '.join(names)}) = (SELECT {', '.join(pkey)} FROM {parent} AS p ORDER BY md5(p.id::text || k.r) LIMIT 1)"
                texts.append(f"UPDATE {quoted} AS k SET {sets} WHERE k.r < 'r{dice.randint(1, 9)}'")
            self.tables.append((quoted, own, others))
        return ";\n".join(texts)

    def forget(self) -> None:
        self.tables, self._made = [], []

    def change(self) -> str:
        dice = self.dice
        table, _, others = dice.choice(self.tables)
        where = dice.choice(
            ["r < 'r3'", "r LIKE 'r1%'", f"r = 'r{dice.randint(0, ROWS)}'", "true",
             f"EXISTS (SELECT FROM {self.tables[0][0]} AS o WHERE o.r = t.r AND o.r > 'r5')"]
        )  # fmt: skip
        if dice.random() < 0.6:
            return f"DELETE FROM {table} AS t WHERE {where}"
        sets = ["r = r || '!'"]
        for other in dice.sample(others, dice.randint(0, len(others))):
            column, kind = other.split(" ", 1)
            sets.append(f"{column} = ({dice.choice(VALUES[kind])})::{kind}")
        return f"UPDATE {table} AS t SET {', '.join(sets)} WHERE {where}"


def contents(connection: psycopg.Connection[Any], tables: list[str]) -> dict[str, list[str]]:
    """Every row of every table as text, under the server's own settings."""
    found = {}
    for table in tables:
        found[table] = sorted(str(row[0]) for row in connection.execute(f"SELECT t::text FROM {table} AS t".encode()))
    return found


@pytest.fixture(scope="module")
def dsn(postgres17: EmbeddedPostgres, database17: str) -> Iterator[str]:
    dsn = postgres17.dsn(database17)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TYPES.encode())
    yield dsn


@pytest.mark.parametrize("seed", range(SCHEMAS))
def test_what_was_undone_is_as_it_was_before(dsn: str, seed: int) -> None:
    world = World(seed)
    owner: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True)
    owner.execute("SET extra_float_digits = 3")
    done = kept = 0
    try:
        owner.execute(world.make().encode())
        tables = [table for table, _, _ in world.tables]
        session = Session(dsn, ODD if seed % 2 else {})
        for _ in range(CHANGES):
            before = contents(owner, tables)
            text = world.change()
            try:
                capsule = session.change(text)
            except ValueError as refused:
                assert "foreign key" in str(refused), (text, refused)
                continue
            except NoCapsule as reason:
                assert "circle" in str(reason), (text, reason)
                continue
            done += 1
            kept += capsule.rows
            after = contents(owner, tables)
            if capsule.rows and world.dice.random() < 0.3 and _meddle(owner, capsule):
                meddled = contents(owner, tables)
                assert session.undo(capsule), f"{text}: somebody changed a row meanwhile"
                assert contents(owner, tables) == meddled, "and nothing is undone by halves"
                session.close()
                owner.execute("; ".join(f"DROP TABLE {table} CASCADE" for table in tables).encode())
                world.forget()
                owner.execute(world.make().encode())
                tables = [table for table, _, _ in world.tables]
                session = Session(dsn, ODD if seed % 2 else {})
                continue
            assert session.undo(capsule) == "", text
            assert contents(owner, tables) == before, (text, after)
        session.close()
        assert done > CHANGES // 3 and kept > 10
    finally:
        owner.execute("; ".join(f"DROP TABLE IF EXISTS {table} CASCADE" for table, _, _ in world.tables).encode())
        owner.close()


def _meddle(owner: psycopg.Connection[Any], capsule: Any) -> bool:
    """Change a row that the undoing would touch; False: there is none."""
    for part in capsule.parts:
        if not part.deleted:
            return bool(owner.execute(f"UPDATE {part.table} SET r = r WHERE true".encode()).rowcount)
    return False
