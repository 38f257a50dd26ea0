"""Which conditions limit a change, and which only look as if they did. Tried on real rows too."""

from __future__ import annotations

import random
from collections.abc import Iterator

import psycopg
import pytest

from blastwall.model import Effect
from blastwall.sql.catalogue import Column
from rig.postgres import EmbeddedPostgres
from tests.blastwall.sql.judging import corpus, judged, shop, table

LIMITS = [
    "id = 1",
    "id = $1",
    "$1 = id",
    "orders.id = 1",
    "id IN (1, 2, 3)",
    "id = ANY ($1)",
    "id = ANY ('{1,2}')",
    "id = ANY (ARRAY[1, 2])",
    "id NOT IN (1, 2)",
    "status <> 'paid'",
    "status LIKE 'pa%'",
    "status LIKE $1",
    "status ~ '^a'",
    "status LIKE ''",
    "id < 100",
    "id BETWEEN 5 AND 10",
    "customer_id IS NULL",
    "customer_id IS NOT NULL",
    "EXISTS (SELECT 1 WHERE orders.id > 5000)",
    "total > 100",
    "total <= $1",
    "created_at < now() - interval '30 days'",
    "created_at < now() - $1::interval",
    "created_at < '2024-01-01'",
    "created_at < date_trunc('month', now())",
    "created_at < current_date - 30",
    "created_at::date = '2024-05-05'",
    "extract(year FROM created_at) = 2020",
    "lower(status) = 'new'",
    "coalesce(status, '') = 'x'",
    "id = 5 OR status = 'x'",
    "id = 5 AND true",
    "NOT (status = 'x')",
    "status IS DISTINCT FROM 'x'",
    "id IN (SELECT id FROM orders WHERE status = $1 ORDER BY id LIMIT 1000)",
    "id IN (SELECT id FROM orders LIMIT 10)",
    "ctid IN (SELECT ctid FROM orders WHERE status = 'x' LIMIT 100)",
    "customer_id IN (SELECT id FROM customers WHERE name = 'x')",
    "EXISTS (SELECT 1 FROM customers c WHERE c.id = orders.customer_id AND c.name = 'x')",
    "NOT EXISTS (SELECT 1 FROM customers c WHERE c.id = orders.customer_id)",
    "customer_id NOT IN (SELECT id FROM customers)",
    "id % 10 = 3",
    "md5(status) = 'abc'",
    "left(status, 3) = 'new'",
    "right(status, 1) IN ('d', 'w')",
    "substr(status, 1, 2) = 'pa'",
    "substring(status FROM 2) LIKE 'a%'",
    "substring(status FROM '[a-z]+') = 'paid'",
    "left(status, $1) = $2",
    "left(status, 1) > 'm'",
    "concat(status) = 'x'",
    "length(status) > 100",
    "length(status) <> 2",
    "customer_id = (SELECT id FROM customers WHERE name = 'x')",
    "(id, status) = (1, 'x')",
    "(id, status) IN ((1, 'a'), (2, 'b'))",
    "false",
    "1 = 0",
    "total > id",
    "customer_id = customer_id + 1",
    "CASE WHEN status = 'x' THEN true ELSE false END",
    "CASE status WHEN 'x' THEN 1 ELSE 0 END = 1",
]

NO_LIMITS = [
    "true",
    "1 = 1",
    "id = id",
    "id IS NOT NULL",
    "NOT (id IS NULL)",
    "id > 0",
    "id <> 0",
    "id > 5 OR id <= 5",
    "id > 0 OR id <= 0 OR id IS NULL",
    "id = 5 OR NOT (id = 5)",
    "id <> 5 OR id <> 6",
    "status LIKE '%a%' OR status NOT LIKE '%a%'",
    "customer_id IS NULL OR customer_id IS NOT NULL",
    "(id = 5) IS NOT NULL",
    "(id = id) IS TRUE",
    "(id = 5) IN (true, false)",
    "(id = 5)::int >= 0",
    "id BETWEEN -2147483648 AND 2147483647",
    "id < 99999999999",
    "status LIKE '%'",
    "status SIMILAR TO '%'",
    "status ~ '.*'",
    "status >= ''",
    "length(status) >= 0",
    "left(status, 0) = ''",
    "right(status, 0) = ''",
    "substr(status, 1, 0) = ''",
    "substring(status FROM 1 FOR 0) = ''",
    "repeat(status, 0) = ''",
    "md5(status) <> ''",
    "md5(status) >= '0'",
    "length(md5(status)) = 32",
    "concat(id) <> ''",
    "abs(id) >= 0",
    "coalesce(id, 0) = coalesce(id, 0)",
    "coalesce(true, id = 5)",
    "id - id = 0",
    "id * 0 = 0",
    "id || '' = id::text",
    "nullif(id, -1) IS NOT NULL",
    "CASE WHEN id = 1 THEN true ELSE true END",
    "(SELECT true)",
    "(SELECT count(*) FROM orders) >= 0",
    "id <= (SELECT max(id) FROM orders)",
    "ctid IS NOT NULL",
    "tableoid = 'orders'::regclass",
    "orders IS NOT NULL",
    "ROW(id) = ROW(id)",
    "now() > '2000-01-01'",
    "random() >= 0",
    "created_at < now()",
    "created_at < '2099-01-01'",
    "date_trunc('day', created_at) <= now()",
    "$1",
    "$1 OR id = $2",
    "($1 IS NULL OR id = $1)",
    "id <> ALL ('{}')",
    "id <> ANY ('{1,2}')",
    "EXISTS (SELECT 1)",
    "EXISTS (SELECT 1 FROM orders o2 WHERE o2.id = orders.id)",
    "EXISTS (SELECT count(*) FROM products p WHERE p.id = orders.id)",
    "NOT EXISTS (SELECT 1 FROM products p WHERE p.id = orders.id AND false)",
    "id IN (SELECT id FROM orders)",
    "id IN (SELECT id FROM orders LIMIT ALL)",
    "id IN (SELECT orders.id)",
    "id IN (SELECT generate_series(1, 1000000))",
    "id NOT IN (SELECT id FROM products WHERE 1 = 0)",
    "pg_typeof(id) = 'integer'::regtype",
    "NOT (NULL AND $1)",
    "customer_id IS NOT NULL OR coalesce(customer_id, 0) = 0",
    "customer_id IS NULL OR customer_id IS DISTINCT FROM NULL",
    "NOT EXISTS (SELECT 1 FROM products p WHERE p.id = NULL)",
]


@pytest.mark.parametrize("condition", LIMITS)
def test_a_limit(condition: str) -> None:
    for text in (f"DELETE FROM orders WHERE {condition}", f"UPDATE orders SET status = 'z' WHERE {condition}"):
        facts = judged(text)
        assert facts.bounded, facts.reason
        assert facts.effect is Effect.WRITE, facts.reason


@pytest.mark.parametrize("condition", NO_LIMITS)
def test_no_limit(condition: str) -> None:
    for text in (f"DELETE FROM orders WHERE {condition}", f"UPDATE orders SET status = 'z' WHERE {condition}"):
        facts = judged(text)
        assert not facts.bounded
        assert facts.effect is Effect.DESTROY, facts.reason
        assert "unbounded_write" in facts.flags


def test_a_delete_is_not_limited_by_a_mere_join_and_an_update_is() -> None:
    for joined in ("id IN (SELECT id FROM products)", "EXISTS (SELECT 1 FROM products p WHERE p.id = orders.id)"):
        assert not judged(f"DELETE FROM orders WHERE {joined}").bounded
        facts = judged(f"UPDATE orders SET status = 'x' WHERE {joined}")
        assert facts.bounded
        assert "joined_only" in facts.flags


@pytest.mark.parametrize(
    ("query", "bounded"),
    [
        ("VALUES (1, 'a'), (2, 'b')", True),
        ("SELECT $1::int, now()::text", True),
        ("SELECT * FROM unnest($1::int[], $2::text[])", True),
        ("SELECT id, status FROM orders WHERE id = 5", True),
        ("SELECT id, status FROM orders", False),
        ("TABLE orders", False),
        ("SELECT g, 'x' FROM generate_series(1, 100000) g", False),
        ("WITH w AS (SELECT id, status FROM orders) SELECT * FROM w", False),
    ],
)
def test_what_conflicts_change_is_limited_by_what_is_inserted(query: str, bounded: bool) -> None:
    text = f"INSERT INTO orders (id, status) {query} ON CONFLICT (id) DO UPDATE SET status = excluded.status"
    assert judged(text).bounded is bounded
    assert judged(f"WITH w AS ({text} RETURNING id) SELECT * FROM w").bounded is bounded
    assert judged(f"{text} WHERE orders.id = 5").bounded
    assert judged(f"{text} WHERE orders.id = excluded.id").bounded is bounded
    assert judged(f"INSERT INTO orders (id, status) {query} ON CONFLICT (id) DO NOTHING").bounded
    joined = text.replace(query, "SELECT id, name FROM products")
    assert judged(joined).bounded
    assert "joined_only" in judged(joined).flags


def test_literals_are_looked_at_only_when_they_matter() -> None:
    from tests.blastwall.sql.judging import find

    assert find("UPDATE orders SET status = 'a' WHERE id = 5").literal_independent
    assert not find("UPDATE orders SET status = 'a' WHERE id > 5").literal_independent
    assert find("DELETE FROM orders").literal_independent


def test_a_condition_that_is_too_long_or_too_deep_is_no_limit() -> None:
    wide = " OR ".join(f"(id > {number} AND total < {number})" for number in range(2000))
    assert not judged(f"DELETE FROM orders WHERE {wide}").bounded
    deep = "id = 5"
    for _ in range(80):
        deep = f"NOT ({deep})"
    assert not judged(f"DELETE FROM orders WHERE {deep}").bounded
    assert judged(f"DELETE FROM orders WHERE id = 5 AND ({wide})").bounded


def test_without_a_catalogue_nothing_is_taken_to_be_null() -> None:
    bare = corpus(catalogue=None)
    assert not judged("DELETE FROM orders WHERE note IS NOT NULL", bare).bounded
    assert judged("DELETE FROM orders WHERE note = 'x'", bare).bounded
    assert not judged("UPDATE a SET x = 1 FROM b WHERE id = 5", bare).bounded, "id may be the other table's"


def test_types_of_the_catalogue_bound_what_a_column_can_be() -> None:
    small = shop(relations=(table(20009, "tiny", Column(1, "n", 21, "pg_catalog", "int2", True)),))
    assert not judged("DELETE FROM tiny WHERE n < 40000", small).bounded
    assert judged("DELETE FROM tiny WHERE n < 30000", small).bounded


@pytest.fixture(scope="module")
def rows(postgres17: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    """A table that holds every combination of the values the conditions below speak of."""
    with psycopg.connect(postgres17.dsn(), autocommit=True) as connection:
        connection.execute(
            "CREATE TEMP TABLE t AS SELECT (row_number() OVER ())::int AS id, n, s, m FROM "
            "unnest(ARRAY[-2147483648, -100, -1, 0, 1, 2, 3, 5, 6, 99, 100, 101, 2147483647]) n, "
            "unnest(ARRAY['', 'a', 'A', 'x', '%', 'aa', 'zz', 'ba', 'bab', 'abcdefghij']) s, unnest(ARRAY[NULL, -5, 0, 1, 5, 2147483647]) m"
        )
        yield connection


NUMBERS = ["n", "n", "m", "0", "1", "-1", "5", "100"]
OPERATORS = ["=", "<>", "<", "<=", ">", ">="]


def number(chance: random.Random, depth: int) -> str:
    if depth > 2 or chance.random() < 0.6:
        return chance.choice(NUMBERS)
    one, other = number(chance, depth + 1), number(chance, depth + 1)
    return chance.choice(
        [
            f"({one} * {other}::bigint)",
            f"({one} - {other}::bigint)",
            f"abs({one}::bigint)",
            f"coalesce({one}, {other})",
            f"greatest({one}, {other})",
            f"CASE WHEN {one} > {other} THEN {one} ELSE {other} END",
            "length(s)",
            f"sign({one})",
        ]
    )


def condition(chance: random.Random, depth: int = 0) -> str:
    if depth > 3 or chance.random() < 0.35:
        return chance.choice(
            [
                f"{number(chance, 0)} {chance.choice(OPERATORS)} {number(chance, 0)}",
                f"s {chance.choice(OPERATORS)} '{chance.choice(['', 'a', 'x'])}'",
                f"{chance.choice(['n', 'm', 's'])} IS {chance.choice(['', 'NOT '])}NULL",
                f"s {chance.choice(['LIKE', 'NOT LIKE'])} '{chance.choice(['%', 'a%', '%a', ''])}'",
                chance.choice(["true", "false"]),
            ]
        )
    one, other = condition(chance, depth + 1), condition(chance, depth + 1)
    return chance.choice(
        [
            f"({one} OR {other})",
            f"({one} AND {other})",
            f"NOT ({one})",
            f"({one} OR NOT ({one}))",
            f"({one}) IS NOT NULL",
            f"({one}) IS TRUE",
            f"({one}) = ({other})",
            f"coalesce({one}, true)",
        ]
    )


def test_conditions_that_are_true_for_every_real_row_are_no_limits(rows: psycopg.Connection) -> None:
    """Random conditions over all combinations of values: what keeps no row must not be called a limit."""
    surroundings = shop(
        relations=(
            table(
                20009,
                "t",
                Column(1, "id", 23, "pg_catalog", "int4", True),
                Column(2, "n", 23, "pg_catalog", "int4", True),
                Column(3, "s", 25, "pg_catalog", "text", True),
                Column(4, "m", 23, "pg_catalog", "int4", False),
            ),
        )
    )
    chance = random.Random(20261122)
    everything, missed, limits = 0, [], 0
    for _ in range(1500):
        text = condition(chance)
        try:
            kept = rows.execute(f"SELECT count(*) FROM t WHERE ({text}) IS NOT TRUE").fetchone()
        except psycopg.errors.NumericValueOutOfRange:
            continue
        assert kept is not None
        bounded = judged(f"DELETE FROM t WHERE {text}", surroundings).bounded
        limits += bounded
        if kept[0] == 0:
            everything += 1
            if bounded:
                missed.append(text)
    assert everything > 200
    assert limits > 300
    assert missed == [], "\n".join(missed)
