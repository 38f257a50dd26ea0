"""The table of PostgreSQL's own functions, against the lists of the threat catalogue and against real servers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import psycopg
import pytest

from blastwall.model import Effect
from blastwall.policy.vocabulary import FLAGS
from blastwall.sql import functions
from blastwall.sql.functions import function_table
from rig.postgres import EmbeddedPostgres

TABLE = function_table()


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("pg_read_file", "file_read"),
        ("lo_import", "file_read"),
        ("query_to_xml", "sql_string_exec"),
        ("ts_stat", "sql_string_exec"),
        ("ts_rewrite", "sql_string_exec"),  # one of its overloads runs SQL
        ("set_config", "session_state"),
        ("nextval", "sequence_write"),
        ("pg_sleep", "dos"),
        ("pg_terminate_backend", "backend_control"),
        ("pg_logical_emit_message", "replication_wal"),
        ("pg_advisory_xact_lock", "advisory_lock"),
        ("pg_stat_get_activity", "other_sessions"),
        ("pg_restore_attribute_stats", "stats_write"),
        ("lo_get", "large_object"),
        ("pg_notify", "notify"),
        ("brin_summarize_new_values", "index_maintenance"),
        ("record_out", "internal"),
        ("fmgr_c_validator", "internal"),
    ],
)
def test_what_reaches_beyond_the_statement_is_administration(name: str, category: str) -> None:
    found = TABLE.find(name, 17) or TABLE.find(name, 18)
    assert found is not None
    assert found.category.name == category
    assert found.category.effect is Effect.ADMINISTER
    assert found.category.flag == f"function:{category}"


@pytest.mark.parametrize(
    "name", ["lower", "count", "now", "random", "jsonb_build_object", "pg_table_is_visible", "age"]
)
def test_what_computes_is_a_read(name: str) -> None:
    found = TABLE.find(name, 15)
    assert found is not None
    assert found.category.effect is Effect.READ
    assert found.category.flag == ""


def test_a_name_is_free_for_anybody_on_a_server_that_does_not_ship_it() -> None:
    assert TABLE.find("any_value", 15) is None
    assert TABLE.find("any_value", 16) is not None
    assert TABLE.find("pg_read_file_old", 17) is None
    assert TABLE.find("no_such_function", 17) is None
    assert TABLE.find("lower", 12) == TABLE.find("lower", 13)  # older and newer servers are read as the nearest major
    assert TABLE.find("lower", 99) == TABLE.find("lower", 18)


def test_attribute_notation_reaches_functions_of_one_argument() -> None:
    assert TABLE.callable_on_value("pg_read_file")
    assert not TABLE.callable_on_row("pg_read_file"), "it takes a text, which no row of a table is"
    for name in ("to_json", "record_out", "concat", "quote_literal", "count"):
        assert TABLE.callable_on_row(name), name
    assert not TABLE.callable_on_value("substr")
    assert not TABLE.callable_on_value("customer_id")


@pytest.mark.parametrize(
    ("schema", "name", "beyond"),
    [
        (None, "dblink_exec", True),
        ("public", "crosstab4", True),
        ("cron", "schedule", True),
        ("aws_s3", "query_export_to_s3", True),
        ("public", "http_get", True),
        ("public", "similarity", False),
        (None, "uuid_generate_v4", False),
    ],
)
def test_extensions_that_do_more_than_compute_are_listed(schema: str | None, name: str, beyond: bool) -> None:
    assert TABLE.reaches_beyond(schema, name) is beyond


def test_every_flag_of_a_category_is_in_the_vocabulary() -> None:
    flags = {builtin.category.flag for builtin in TABLE.builtins.values()} | {TABLE.extension.flag}
    assert flags - {""} <= FLAGS


def test_the_table_loads_quickly() -> None:
    function_table.cache_clear()
    best = min(_seconds() for _ in range(5))
    assert best < 0.03


def _seconds() -> float:
    function_table.cache_clear()
    before = time.perf_counter()
    function_table()
    return time.perf_counter() - before


@pytest.fixture(scope="module", params=[17, 18])
def shipped(request: pytest.FixtureRequest) -> Iterator[tuple[int, list[tuple[str, str, bool, list[str]]]]]:
    """(major, rows of pg_proc: name, volatility, whether PUBLIC may call it, input types)."""
    server: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    with psycopg.connect(server.dsn()) as connection:
        yield (
            request.param,
            connection.execute(
                "SELECT proname, provolatile, proacl IS NULL, array(SELECT format_type(t, NULL) FROM unnest(proargtypes) t) "
                "FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
            ).fetchall(),
        )


def test_the_table_knows_every_function_a_server_ships(
    shipped: tuple[int, list[tuple[str, str, bool, list[str]]]],
) -> None:
    major, rows = shipped
    assert len(rows) > 3000
    assert sorted({name for name, *_ in rows if TABLE.find(name, major) is None}) == []


def test_nothing_that_a_server_keeps_from_public_is_a_read(
    shipped: tuple[int, list[tuple[str, str, bool, list[str]]]],
) -> None:
    """A function whose EXECUTE is revoked from PUBLIC is dangerous by the server's own judgement."""
    major, rows = shipped
    reads = {name for name, _, public, _ in rows if not public and _is_read(name, major)}
    assert reads == set()


def test_every_volatile_function_that_is_a_read_was_reviewed(
    shipped: tuple[int, list[tuple[str, str, bool, list[str]]]],
) -> None:
    major, rows = shipped
    reviewed = {"reviewed_volatile", "size_info", "sequence_read"}
    volatile = {name for name, volatility, _, _ in rows if volatility == "v" and _is_read(name, major)}
    unreviewed = {name for name in volatile if TABLE.builtins[name].category.name not in reviewed}
    # Counters of the statistics system and other values that change while one looks, and nothing else.
    assert {name for name in unreviewed if not name.startswith(("pg_stat_get_", "pg_"))} <= {"xmlvalidate"}
    assert not {name for name in unreviewed if any(word in name for word in ("file", "write", "reset", "lock", "set_"))}


def _is_read(name: str, major: int) -> bool:
    found = TABLE.find(name, major)
    return found is not None and found.category.effect is Effect.READ


def test_the_file_holds_one_readable_line_for_each_name() -> None:
    from importlib.resources import files

    lines = files("blastwall.sql").joinpath("functions.jsonl").read_text("utf-8").splitlines()
    names = [json.loads(line)["name"] for line in lines]
    assert names == sorted(names)
    assert len(names) == len(set(names)) == len(TABLE.builtins)
    assert functions.OLDEST == 13
