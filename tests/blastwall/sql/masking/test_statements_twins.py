"""Two databases that differ in masked values only answer alike whatever is asked: a difference is a value that got through.

Statements are drawn from the server's own catalogue of functions and operators. That the databases do differ is proved by
the same statements without their masks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from blastwall.masking.patterns import names
from blastwall.masking.plan import Predicates, Strategy
from blastwall.masking.rules import Rule, Rules
from blastwall.protocols.postgres import snapshot
from blastwall.protocols.postgres.classify import classify, offline
from blastwall.sql.masking import with_views
from blastwall.sql.surroundings import Surroundings
from rig.postgres import EmbeddedPostgres

STATEMENTS = 250
ROWS = 16
PLAIN = {"id": "int4", "g": "int4", "name": "text", "note": "text", "doc": "jsonb"}
TYPES = {"text": "text", "int4": "int4", "numeric": "numeric", "date": "date", "jsonb": "jsonb", "bool": "bool"}
MASKED = {f"{way}_{type_}": type_ for way in ("shown", "used") for type_ in TYPES}  # predicates: deny, allow
LITERALS = {
    "text": "'n1'", "int4": "3", "numeric": "1.5", "date": "'2020-02-02'::date", "jsonb": """'{"k": 1}'::jsonb""", "bool": "true",
}  # fmt: skip
MOVING = (
    "pg_",
    "current_",
    "txid",
    "random",
    "age",
    "timeofday",
    "lo_",
    "has_",
    "row_security",
    "obj_",
    "col_",
    "to_reg",
)

FUNCTIONS = """
SELECT r.typname, p.proname, array(SELECT t.typname::text FROM unnest(p.proargtypes) WITH ORDINALITY u (o, n)
    JOIN pg_type t ON t.oid = u.o ORDER BY u.n)
FROM pg_proc p JOIN pg_type r ON r.oid = p.prorettype
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provolatile <> 'v' AND NOT p.proretset
  AND p.pronargs BETWEEN 1 AND 3 ORDER BY p.oid
"""
OPERATORS = """
SELECT r.typname, o.oprname, l.typname, t.typname FROM pg_operator o JOIN pg_type l ON l.oid = o.oprleft
JOIN pg_type t ON t.oid = o.oprright JOIN pg_type r ON r.oid = o.oprresult ORDER BY o.oid
"""


class Author:
    """Draws statements. ``calls`` and ``signs`` are functions and operators by the type that they give."""

    def __init__(self, session: psycopg.Connection[Any], dice: random.Random) -> None:
        self.dice = dice
        self.calls: dict[str, list[tuple[str, list[str]]]] = {}
        self.signs: dict[str, list[tuple[str, str, str]]] = {}
        for gives, name, takes in session.execute(FUNCTIONS).fetchall():
            if gives in TYPES and set(takes) <= set(TYPES) and not name.startswith(MOVING):
                self.calls.setdefault(gives, []).append((name, takes))
        for gives, name, left, right in session.execute(OPERATORS).fetchall():
            if {gives, left, right} <= set(TYPES):
                self.signs.setdefault(gives, []).append((name, left, right))

    def column(self, table: str, type_: str, *, plain: bool) -> str:
        fitting = [name for name, of in PLAIN.items() if of == type_]
        fitting += [] if plain else [f"used_{type_}"] * 3
        return f"{table}.{self.dice.choice(fitting)}" if fitting else LITERALS[type_]

    def value(self, tables: list[str], type_: str, depth: int, *, plain: bool = False) -> str:
        """An expression of that type; ``plain``: of columns that are not masked."""
        dice = self.dice

        def inner(of: str) -> str:
            return self.value(tables, of, depth - 1, plain=plain)

        way = dice.random()
        if depth == 0 or way < 0.25:
            return self.column(dice.choice(tables), type_, plain=plain) if way < 0.9 else LITERALS[type_]
        if way < 0.55 and self.calls.get(type_):
            name, takes = dice.choice(self.calls[type_])
            return f'pg_catalog."{name}"({", ".join(inner(each) for each in takes)})'
        if way < 0.8 and self.signs.get(type_):
            sign, left, right = dice.choice(self.signs[type_])
            return f"({inner(left)} OPERATOR(pg_catalog.{sign}) {inner(right)})"
        if way < 0.9:
            return f"(CASE WHEN {inner('bool')} THEN {inner(type_)} ELSE {inner(type_)} END)"
        return f"coalesce({inner(type_)}, (SELECT {self.column('s', type_, plain=plain)} FROM people s LIMIT 1))"

    def shown(self, table: str) -> str:
        return f"{table}.{self.dice.choice([*MASKED, *PLAIN])}"

    def query(self) -> str:
        dice = self.dice
        tables = ["p", "q"][: dice.choice((1, 1, 2))]
        source = (
            "people p"
            if len(tables) == 1
            else f"people p {dice.choice(('', 'LEFT ', 'FULL '))}JOIN seen q ON q.id = p.g"
        )
        condition = dice.choice(("", f" WHERE {self.value(tables, 'bool', 2, plain=True)}", " WHERE p.id > 4"))
        some = [self.shown(dice.choice(tables)), self.value(tables, dice.choice(list(TYPES)), 2), self.shown("p")]
        value = self.value(tables, dice.choice(["text", "int4", "numeric", "date"]), 1)
        return dice.choice(
            (
                f"SELECT {', '.join(some)} FROM {source}{condition}",
                f"SELECT p.*, {some[1]} FROM {source}{condition} ORDER BY {value}, p.id",
                f"SELECT p.g, count({some[0]}), max({value}), count(*) FILTER (WHERE {some[1]} IS NULL) FROM {source}"
                f"{condition} GROUP BY {dice.choice(('p.g', 'ROLLUP (p.g)', 'p.g, p.name'))} ORDER BY 1, 2, 3",
                f"SELECT p.id, rank() OVER (PARTITION BY p.g ORDER BY {value}), {some[0]} FROM {source}{condition}",
                f"SELECT x.* FROM (SELECT {some[0]} AS a, {some[1]} AS b FROM {source}{condition}) AS x",
                f"SELECT x.a FROM people p, LATERAL (SELECT {self.value(['p'], 'text', 1)} AS a) AS x",
                f"WITH x AS (SELECT p.id, {some[1]} AS a FROM {source}) SELECT count(x.a), json_agg(x.a) FROM x",
                f"SELECT {some[0]} FROM {source} UNION ALL SELECT {some[0]} FROM {source}",
                f"SELECT {some[2]} FROM people p WHERE p.id IN (SELECT p.id FROM {source}{condition})",
                f"COPY (SELECT {', '.join(some)} FROM {source}{condition}) TO STDOUT (FORMAT csv)",
                f"UPDATE people p SET note = name{condition.replace('q.', 'p.')} RETURNING {self.shown('p')}, p.id",
                f"DELETE FROM people p WHERE p.id < 5 RETURNING *, {self.shown('p')}",
                f"EXPLAIN (COSTS off) SELECT {some[0]} FROM {source}{condition}",
            )
        )


@dataclass
class Twins:
    first: psycopg.Connection[Any]
    second: psycopg.Connection[Any]
    around: Surroundings


def _fill(session: psycopg.Connection[Any], chance: random.Random) -> None:
    columns = ", ".join(f"{name} {type_}" for name, type_ in MASKED.items())
    session.execute(
        f"CREATE TABLE people (id int PRIMARY KEY, g int, name text, note text, doc jsonb, {columns}); "
        "CREATE VIEW seen AS SELECT * FROM people".encode()
    )
    for number in range(1, ROWS + 1):
        word, digits = "".join(chance.choices("abcdefgh", k=6)), chance.randrange(100, 999)
        values: dict[str, object] = {
            "text": word, "int4": digits, "numeric": f"{digits}.5", "date": f"19{digits % 90 + 10}-03-{digits % 18 + 10}",
            "jsonb": f'{{"k": "{word}"}}', "bool": chance.random() < 0.5,
        }  # fmt: skip
        row = [number, number % 4, f"n{number % 5}", f"note {number % 3}", '{"k": 1}']
        row += [None if number % 7 == 3 else values[type_] for type_ in MASKED.values()]
        marks = ", ".join(["%s"] * len(row))
        session.execute(f"INSERT INTO people VALUES ({marks})".encode(), row)


@pytest.fixture(scope="module")
def twins(postgres17: EmbeddedPostgres) -> Iterator[Twins]:
    sessions = []
    for name in ("twin_a", "twin_b"):
        postgres17.drop_database(name)
        postgres17.create_database(name)
        session = psycopg.connect(postgres17.dsn(name), autocommit=True)
        _fill(session, random.Random(name))
        sessions.append(session)
    catalogue = snapshot.take(lambda sql: sessions[0].execute(sql.encode()).fetchall()[0][0])
    rules = Rules(
        (
            Rule(Strategy.REDACT, names("public.people.shown_*", 3)),
            Rule(Strategy.REDACT, names("public.people.used_*", 3), predicates=Predicates.ALLOW),
        )
    )
    yield Twins(
        sessions[0], sessions[1], replace(offline(catalogue), plan=with_views(rules.plan(catalogue), catalogue))
    )
    for name, session in zip(("twin_a", "twin_b"), sessions, strict=True):
        session.close()
        postgres17.drop_database(name)


def answer(session: psycopg.Connection[Any], text: str) -> list[object]:
    """Rows, tag and number; of an error its code alone, as the gateway lets no more through where something is masked."""
    with session.transaction(force_rollback=True):
        try:
            if text.startswith("COPY"):
                with session.cursor().copy(text.encode()) as copied:
                    return [bytes(each) for each in copied]
            cursor = session.execute(text.encode())
            return [cursor.fetchall(), cursor.statusmessage, cursor.rowcount]
        except psycopg.Error as failed:
            return [failed.sqlstate]


def test_databases_that_differ_in_masked_values_only_answer_alike(twins: Twins) -> None:
    author = Author(twins.first, random.Random(8))
    ran = told = 0
    for _ in range(STATEMENTS):
        text = author.query()
        finding = classify(text, twins.around)
        assert finding.error is None and "internal_error" not in finding.facts.flags, text
        if finding.facts.refusal:
            continue
        masked = finding.masked or text
        first = answer(twins.first, masked)
        assert first == answer(twins.second, masked), (text, masked)
        ran += len(first) > 1
        told += answer(twins.first, text) != answer(twins.second, text)
    assert ran > STATEMENTS // 4, "most were refused, or failed"
    assert told > STATEMENTS // 8, "without masks they hardly differ: the proof is none"
