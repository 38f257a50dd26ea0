"""What SET may set, RESET may reset and SHOW may show."""

from __future__ import annotations

import psycopg
import pytest

from blastwall.policy.vocabulary import FLAGS
from blastwall.sql.settings import flag_of, may_reset, may_show, objection, settings
from rig.postgres import EmbeddedPostgres

PATH = ("public", "Sales")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("application_name", ["psql - é"]),
        ("TimeZone", ["Europe/Amsterdam"]),
        ("timezone", [-7]),
        ("DateStyle", ["ISO, MDY"]),
        ("datestyle", ["ISO", "DMY"]),
        ("extra_float_digits", [3]),
        ("extra_float_digits", ["-15"]),
        ("client_encoding", ["UTF8"]),
        ("client_encoding", ["utf-8"]),
        ("standard_conforming_strings", ["on"]),
        ("standard_conforming_strings", [True]),
        ("statement_timeout", [5000]),
        ("statement_timeout", ["5s"]),
        ("statement_timeout", ["1.5 min"]),
        ("lock_timeout", ["1ms"]),
        ("search_path", ["public", "Sales"]),
        ("transaction_isolation", ["Repeatable Read"]),
        ("default_transaction_read_only", ["on"]),
        ("default_transaction_read_only", [False]),
        ("default_transaction_deferrable", ["off"]),
        ("bytea_output", ["hex"]),
        ("intervalstyle", ["iso_8601"]),
    ],
)
def test_harmless_values_pass(name: str, values: list[object]) -> None:
    assert objection(name, values, PATH) == ""


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("work_mem", ["10GB"]),
        ("role", ["postgres"]),
        ("app.tenant", ["7"]),
        ("row_security", ["on"]),
        ("default_transaction_read_only", ["maybe"]),
        ("application_name", ["a" * 257]),
        ("application_name", ["a\nb"]),
        ("application_name", ["a", "b"]),
        ("datestyle", ["ISO", "evil"]),
        ("datestyle", [""]),
        ("extra_float_digits", [4]),
        ("extra_float_digits", ["0x1"]),
        ("client_encoding", ["SJIS"]),
        ("client_encoding", ["LATIN1"]),
        ("standard_conforming_strings", ["off"]),
        ("standard_conforming_strings", [False]),
        ("transaction_read_only", ["off"]),
        ("statement_timeout", [0]),
        ("statement_timeout", ["0"]),
        ("statement_timeout", ["-5"]),
        ("statement_timeout", ["0.2ms"]),
        ("statement_timeout", ["900us"]),
        ("statement_timeout", ["1e9"]),
        ("statement_timeout", ["5 fortnights"]),
        ("search_path", ["public"]),
        ("search_path", ["Sales", "public"]),
        ("search_path", ["public, Sales"]),
        ("search_path", ["PUBLIC", "Sales"]),
        ("search_path", []),
    ],
)
def test_everything_else_meets_an_objection(name: str, values: list[object]) -> None:
    assert objection(name, values, PATH).startswith((" to", ", which"))


def test_limits_in_time_are_flagged_for_whoever_enforces_them() -> None:
    assert flag_of("Statement_Timeout", ["5s"]) == "timeout"
    assert flag_of("application_name", ["x"]) == ""
    assert {flag_of(name, [value]) for name in settings().rules for value in ("on", "off")} - {""} <= FLAGS


@pytest.mark.parametrize(
    ("value", "flag"), [("off", "read_write"), (False, "read_write"), (" F ", "read_write"), ("ON", "")]
)
def test_turning_read_only_off_is_flagged_as_read_write_is(value: str | bool, flag: str) -> None:
    assert flag_of("Default_Transaction_Read_Only", [value]) == flag


@pytest.mark.parametrize("name", ["search_path", "SERVER_VERSION", "transaction_isolation", "TimeZone"])
def test_ordinary_settings_may_be_shown(name: str) -> None:
    assert may_show(name)


@pytest.mark.parametrize(
    "name", ["all", "hba_file", "data_directory", "primary_conninfo", "app.secret", "ssl_key_file"]
)
def test_files_commands_and_the_applications_own_settings_may_not(name: str) -> None:
    assert not may_show(name)


def test_only_what_cannot_widen_anything_may_be_reset() -> None:
    assert may_reset("Application_Name")
    assert not any(
        may_reset(name) for name in ("search_path", "role", "statement_timeout", "client_encoding", "row_security")
    )
    assert settings().reset <= set(settings().rules)


def test_no_listed_setting_is_a_superusers(postgres18: EmbeddedPostgres) -> None:
    """The names exist, and SHOW's list holds nothing the server itself hides from ordinary roles."""
    with psycopg.connect(postgres18.dsn()) as connection:
        known = {name.lower(): context for name, context in connection.execute("SELECT name, context FROM pg_settings")}
        hidden = {
            row[0]
            for row in connection.execute(
                "SELECT name FROM pg_settings WHERE 'SUPERUSER_ONLY' = ANY (pg_settings_get_flags(name)) "
                "OR name ~ '(file|directory|command|conninfo|preload|passphrase)'"
            )
        }
    assert all(known[name] == "user" for name in settings().rules if name in known)
    elsewhere = {"is_superuser", "role", "session_authorization", "lc_collate", "lc_ctype"}  # hidden, or gone since 16
    assert {name for name in settings().show if name not in known} <= elsewhere
    assert not hidden & settings().show
