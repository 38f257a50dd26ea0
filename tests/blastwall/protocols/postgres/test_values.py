"""Values, checked against what a server itself prints for them."""

from __future__ import annotations

import struct

import psycopg
import pytest

from blastwall.protocols.postgres.values import MAX_CELL, show

LITERALS = [
    (16, "true::bool"),
    (16, "false::bool"),
    (21, "(-32768)::int2"),
    (23, "2147483647::int4"),
    (20, "(-9223372036854775808)::int8"),
    (26, "4294967295::oid"),
    (700, "1.5::float4"),
    (701, "(-0.1)::float8"),
    (1700, "0::numeric"),
    (1700, "12345678901234567890.000100::numeric"),
    (1700, "(-0.00001234)::numeric"),
    (1700, "1e20::numeric"),
    (1700, "100000000::numeric(20,4)"),
    (1700, "'NaN'::numeric"),
    (1700, "'-Infinity'::numeric"),
    (25, "'Grüße 漢字'::text"),
    (1043, "'vc'::varchar"),
    (1042, "'ab'::char(2)"),
    (19, "'a_name'::name"),
    (1082, "'2026-11-22'::date"),
    (1082, "'infinity'::date"),
    (1083, "'12:34:56.789'::time"),
    (1114, "'2026-11-22 10:00:00.5'::timestamp"),
    (1184, "'2026-11-22 10:00:00+00'::timestamptz"),
    (1184, "'-infinity'::timestamptz"),
    (2950, "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid"),
    (3802, """'{"a": [1, null]}'::jsonb"""),
    (114, """'{"a":1}'::json"""),
    (17, "'\\xdeadbeef'::bytea"),
]


@pytest.fixture(scope="module")
def connection(postgres18, database18):
    with psycopg.connect(postgres18.dsn(database18), autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection


@pytest.mark.parametrize(("type_id", "literal"), LITERALS)
def test_binary_values_read_as_the_server_prints_them(connection, type_id, literal):
    (printed,) = connection.execute(f"SELECT ({literal})::text").fetchone()
    if type_id == 16:
        printed = {"t": "true", "f": "false"}.get(printed, printed)
    cursor = connection.cursor(binary=True)
    cursor.execute(f"SELECT {literal}")
    raw = cursor.pgresult.get_value(0, 0)
    assert cursor.pgresult.ftype(0) == type_id
    shown = show(raw, type_id, 1)
    if type_id in (700, 701):
        assert float(shown) == float(printed)
    elif type_id in (1083, 1114):
        assert shown.rstrip("0") == printed.rstrip("0")
    elif type_id == 1184:
        assert shown in (printed, printed.replace("+00", "") + "+00")
    else:
        assert shown == printed
    # Without knowing the format the same bytes read the same, binary or text.
    assert show(raw, type_id, None) == shown
    assert show(printed.encode(), type_id, None) == printed


def test_text_is_shown_as_it_is():
    assert show(b"2026-11-22", 1082, 0) == "2026-11-22"
    assert show(b"bad \xff utf8", 25, 0) == "bad \\xff utf8"


@pytest.mark.parametrize(
    "type_id", [16, 20, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1700, 2950, 3802, 17, 99_999]
)
@pytest.mark.parametrize(
    "value", [b"", b"\0", b"\xff" * 3, b"\xff" * 8, b"\x7f" * 16, struct.pack(">hhHh", 9000, 1, 0, 1), b"\2" * 5000]
)
def test_values_that_lie_about_their_type_are_hexadecimal(type_id, value):
    shown = show(value, type_id, 1)
    assert len(shown) <= MAX_CELL + 1
    assert show(value, type_id, None)[: MAX_CELL + 1] is not None


def test_long_values_are_cut():
    assert show(b"x" * 100_000, 25, 0) == "x" * MAX_CELL + "…"
