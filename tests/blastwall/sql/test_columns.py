"""Names of result columns, compared with what a server calls them."""

from __future__ import annotations

import psycopg
import pytest

from blastwall.sql.columns import column_name, target_columns
from blastwall.sql.parser import parse
from blastwall.sql.scope import Source
from rig.postgres import EmbeddedPostgres

EXPRESSIONS = [
    "1",
    "'a'",
    "1 + 1",
    "lower('A')",
    "pg_catalog.lower('A')",
    "'1'::int4",
    "('1'::text)::int",
    "lower('A')::text",
    "CASE WHEN true THEN 1 END",
    "CASE WHEN true THEN 1 ELSE lower('a')::int END",
    "CASE WHEN true THEN 'a' ELSE 'b'::text END",
    "coalesce(1, 2)",
    "greatest(1, 2)",
    "least(1, 2)",
    "nullif(1, 2)",
    "ARRAY[1]",
    "ROW(1, 2)",
    "(ARRAY[1])[1]",
    "EXISTS (SELECT 1)",
    "ARRAY(SELECT 1)",
    "(SELECT 1 AS x)",
    "(SELECT lower('a'))",
    "(SELECT 1 AS a UNION SELECT 1 AS b)",
    "1 IN (SELECT 1)",
    "current_date",
    "current_user",
    "session_user",
    "localtimestamp",
    "extract(year FROM now())",
    "now() AT TIME ZONE 'UTC'",
    "position('a' IN 'b')",
    "trim('a ')",
    "overlay('a' PLACING 'b' FROM 1)",
    "'a' COLLATE \"C\"",
    "- 5",
    "NOT true",
    "true AND false",
    "1 IS NULL",
    "'a' LIKE 'b'",
    "count(*) FILTER (WHERE true)",
    "sum(1) OVER ()",
    "(information_schema._pg_expandarray(ARRAY[1])).n",
    "interval '1 day'",
    "date '2024-01-01'",
    "row_to_json(ROW(1)) ->> 'f1'",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_column_is_called_what_the_server_calls_it(text: str, postgres18: EmbeddedPostgres) -> None:
    target = parse(f"SELECT {text}").statements[0].stmt.select_stmt.target_list[0]
    with psycopg.connect(postgres18.dsn()) as connection:
        description = connection.execute(f"SELECT {text}").description
    assert description is not None
    assert column_name(target.res_target.val) == description[0].name


def columns(text: str, *sources: Source) -> tuple[str, ...] | None:
    select = parse(text).statements[0].stmt.select_stmt
    return target_columns(select.target_list, lambda: sources)


def test_stars_are_what_they_expand_to() -> None:
    a, b = Source("a", ("x", "y")), Source("b", ("z",))
    assert columns("SELECT *, 1 AS n", a, b) == ("x", "y", "z", "n")
    assert columns("SELECT b.*, a.x", a, b) == ("z", "x")


def test_a_star_over_something_unknown_makes_all_unknown() -> None:
    assert columns("SELECT 1 AS n, *", Source("f")) is None
    assert columns("SELECT c.*", Source("a", ("x",))) is None
    assert columns("SELECT (f(1)).*", Source("a", ("x",))) is None


def test_long_names_are_cut() -> None:
    assert columns(f'SELECT 1 AS "{"n" * 80}"') == ("n" * 63,)


def test_an_absurdly_nested_expression_has_no_name() -> None:
    value = "1"
    for _ in range(150):
        value = f"({value} COLLATE x)"
    target = parse(f"SELECT {value}").statements[0].stmt.select_stmt.target_list[0]
    assert column_name(target.res_target.val) == "?column?"
