"""What an agent may put into its startup packet, as drivers send it and as attackers would."""

from __future__ import annotations

import pytest

from blastwall.protocols.postgres.startup import judge_startup, unknown_options

DRIVERS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "libpq": (
        {"user": "agent", "database": "shop", "application_name": "psql", "client_encoding": "UTF8"},
        {"user": "agent", "database": "shop", "application_name": "psql", "client_encoding": "UTF8"},
    ),
    "pgjdbc": (
        {
            "user": "agent", "database": "shop", "client_encoding": "UTF8", "DateStyle": "ISO", "TimeZone": "Europe/Berlin",
            "extra_float_digits": "2", "application_name": "PostgreSQL JDBC Driver",
        },
        {
            "user": "agent", "database": "shop", "client_encoding": "UTF8", "DateStyle": "ISO", "TimeZone": "Europe/Berlin",
            "extra_float_digits": "2", "application_name": "PostgreSQL JDBC Driver",
        },
    ),
    "asyncpg with server_settings": (
        {"client_encoding": "'utf-8'", "user": "agent", "database": "shop", "jit": "off", "statement_timeout": "30s"},
        {"client_encoding": "UTF8", "user": "agent", "database": "shop", "jit": "off", "statement_timeout": "30s"},
    ),
    "node-postgres": (
        {"user": "agent", "client_encoding": "UTF8", "lock_timeout": "500", "idle_in_transaction_session_timeout": "1min"},
        {"user": "agent", "client_encoding": "UTF8", "lock_timeout": "500", "idle_in_transaction_session_timeout": "1min"},
    ),
    "sqlx, lib/pq": (
        {"user": "agent", "datestyle": "ISO, MDY", "timezone": "UTC", "client_encoding": "unicode", "extra_float_digits": "-15"},
        {"user": "agent", "DateStyle": "ISO, MDY", "TimeZone": "UTC", "client_encoding": "UTF8", "extra_float_digits": "-15"},
    ),
    "careful ones": (
        {
            "user": "agent", "INTERVALSTYLE": "iso_8601", "standard_conforming_strings": "on",
            "default_transaction_read_only": "ON", "TimeZone": "<+03>-03",
        },
        {
            "user": "agent", "IntervalStyle": "iso_8601", "standard_conforming_strings": "on",
            "default_transaction_read_only": "ON", "TimeZone": "<+03>-03",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_drivers_send_is_kept_under_canonical_names(driver: str) -> None:
    sent, kept = DRIVERS[driver]
    assert judge_startup(sent) == (kept, None)


@pytest.mark.parametrize(
    "name",
    [
        "replication", "options", "role", "session_replication_role", "session_authorization", "search_path",
        "Replication", "ROLE", "User", "Database", "default_tablespace", "row_security", "is_superuser", "bytea_output",
        "plpgsql.extra_warnings", "_pq", "", "no_such_thing", "application_name ", "local_preload_libraries",
        "log_statement", "transaction_read_only", "sess\u0131on_replication_role",
    ],
)  # fmt: skip
def test_w15_w16_everything_else_is_refused_by_name(name: str) -> None:
    kept, problem = judge_startup({"user": "agent", name: "on"})
    assert problem is not None and problem.startswith(f'startup parameter "{name}" is not accepted: ')
    assert kept == {"user": "agent"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_encoding", "SJIS"),
        ("client_encoding", "GB18030"),
        ("client_encoding", "SQL_ASCII"),
        ("client_encoding", "utf8x"),
        ("client_encoding", ""),
        ("client_encoding", "ｕｔｆ８"),
        ("TimeZone", "x" * 65),
        ("TimeZone", "UTC'; DROP"),
        ("TimeZone", "UTC\n"),
        ("TimeZone", ""),
        ("DateStyle", "ISO; x"),
        ("DateStyle", ""),
        ("IntervalStyle", "oracle"),
        ("extra_float_digits", "4"),
        ("extra_float_digits", "-16"),
        ("extra_float_digits", "1.0"),
        ("extra_float_digits", "٢"),
        ("extra_float_digits", "1\n"),
        ("statement_timeout", "0"),
        ("statement_timeout", "0s"),
        ("statement_timeout", "-1"),
        ("statement_timeout", "2147483648"),
        ("statement_timeout", "9999999999h"),
        ("statement_timeout", "5 d"),
        ("statement_timeout", "5s\n"),
        ("lock_timeout", "0"),
        ("standard_conforming_strings", "off"),
        ("default_transaction_read_only", "off"),
        ("jit", "maybe"),
    ],
)
def test_values_that_would_change_how_a_text_reads_or_lift_a_limit_are_refused(name: str, value: str) -> None:
    _, problem = judge_startup({"user": "agent", name: value})
    assert problem is not None and problem.startswith(f'startup parameter "{name}" does not accept the value')


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("extra_float_digits", "3"),
        ("extra_float_digits", "-15"),
        ("statement_timeout", "1"),
        ("statement_timeout", "2147483647"),
        ("statement_timeout", "2147483s"),
        ("statement_timeout", "35791 min"),
        ("lock_timeout", "596h"),
        ("TimeZone", "x" * 64),
        ("DateStyle", "ISO,DMY"),
    ],
)
def test_values_at_the_edge_are_kept(name: str, value: str) -> None:
    assert judge_startup({name: value}) == ({name: value}, None)


@pytest.mark.parametrize("value", ["2147484s", "35792min", "597h"])
def test_units_are_counted(value: str) -> None:
    assert judge_startup({"statement_timeout": value})[1] is not None


def test_an_encoding_is_refused_with_what_to_do() -> None:
    assert str(judge_startup({"client_encoding": "LATIN1"})[1]).endswith("connect with client_encoding=UTF8")


def test_w17_one_setting_in_two_spellings_is_refused() -> None:
    _, problem = judge_startup({"user": "agent", "TimeZone": "UTC", "timezone": "Asia/Tokyo"})
    assert problem == 'startup parameter "timezone" is given twice'


def test_application_names_are_made_printable_and_short() -> None:
    kept, problem = judge_startup({"application_name": "agent\n\x1b[31m é" + "x" * 100})
    assert problem is None
    assert kept["application_name"] == ("agent??[31m ?" + "x" * 100)[:63]


def test_a_problem_shows_no_control_characters_and_not_everything() -> None:
    _, problem = judge_startup({"\x1b]0;x\x07" + "y" * 500: "v"})
    assert problem is not None and problem.isprintable() and len(problem) < 200


def test_w18_protocol_options_are_negotiated_and_not_kept() -> None:
    sent = {"user": "agent", "_pq_.command_compression": "on", "_pq_.x": "1"}
    assert judge_startup(sent) == ({"user": "agent"}, None)
    assert unknown_options(sent) == ("_pq_.command_compression", "_pq_.x")
