"""What stands in a value's place: on real servers, for every type, on values that try to make it fail or show more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import psycopg
import pytest

from blastwall.masking.plan import Strategy
from blastwall.masking.strategies import Options, Unfit, shape_of, source_of, stand_in, table
from blastwall.protocols.postgres.snapshot import take
from blastwall.sql.catalogue import Catalogue, Column, Relation
from blastwall.sql.parser import deparse, parse
from rig.postgres import EmbeddedPostgres

TEXTS = ("", "a", "abcdefg", "abcdefgh", "é" * 9, "x" * 5000, "a@b", "a@b.example", "a@b@c.example", "@handle")
MORE = ("ann@mail.example", "ann@mail.example and more", "{}", "%s", "\\", "'", "\u200b@\u200b", "ANN@MAIL.EXAMPLE\n")
NUMBERS = ("0", "7", "-7", "99", "-99", "127")
TIMES = ("2026-11-22 13:14:15.678", "infinity", "-infinity", "0001-01-01", "9999-12-31 23:59:59", "4713-01-01 BC")
DATES = ("2026-11-22", "infinity", "-infinity", "5874897-12-31", "4714-11-24 BC", "0001-01-01", "9999-12-31")

#: Types as somebody would write them, and texts of values that they take.
TYPES: dict[str, tuple[str, ...]] = {
    "text": TEXTS + MORE,
    "varchar(2)": ("", "a", "ab"),
    "varchar(8)": ("", "abcdefgh", "a@b.c"),
    "varchar": TEXTS,
    "char(3)": ("abc", "a"),
    "char(20)": ("ann@mail.example", "123-45-6789"),
    "bpchar": ("ann@mail.example ",),
    "name": ("a", "abcdefgh" * 7),
    '"char"': ("a",),
    'text COLLATE "C"': TEXTS,
    'varchar(40) COLLATE "POSIX"': ("ann@mail.example", "123-45-6789"),
    "text COLLATE blurry": TEXTS,
    "cell": ("123-45-6789",),
    "strict_cell": ("123-45-6789",),
    "smallint": (*NUMBERS, "32767", "-32768"),
    "integer": (*NUMBERS, "2147483647", "-2147483648"),
    "bigint": (*NUMBERS, "9223372036854775807", "-9223372036854775808"),
    "numeric": (*NUMBERS, "NaN", "1" + "0" * 300, "0." + "0" * 300 + "1", "9." + "9" * 60),
    "numeric(3,2)": ("9.99", "-9.99", "0", "NaN"),
    "numeric(5,0)": ("99999", "-99999"),
    "positive": ("1", "99"),
    "real": (*NUMBERS, "NaN", "Infinity", "-Infinity", "3.4028235e38", "1e-45"),
    "double precision": (*NUMBERS, "NaN", "Infinity", "1.7976931348623157e308", "5e-324", "-1e300"),
    "money": ("92233720368547758.07", "-92233720368547758.08", "0"),
    "date": DATES,
    "timestamp": (*TIMES, "294276-12-31 23:59:59"),
    "timestamp(0)": TIMES,
    "timestamptz": (*TIMES, "294276-12-31 23:59:59+00"),
    "timestamptz(3)": TIMES,
    "birthday": ("1990-05-06",),
    "time(2)": ("13:14:15.678",),
    "interval day to second(1)": ("1 02:03:04.5",),
    "boolean": ("t", "f"),
    "uuid": ("7b4a2c9e-3f0d-4c47-9d2a-4f8f2f0e1a11",),
    "json": ('{"a": 1}', "null", '"x"'),
    "jsonb": ('{"a": 1}', "[]"),
    "xml": (),  # not every server takes a value
    "bytea": ("\\x00ff", ""),
    "inet": ("10.0.0.1/8",),
    "bit(4)": ("1010",),
    "varbit(9)": ("1",),
    "int[]": ("{1,2}", "{}"),
    "text[]": ("{a,b}", '{"ann@mail.example"}'),
    "varchar(5)[]": ("{abcde}",),
    "cell[]": ("{123-45-6789}",),
    "mood": ("fine",),
    "pair": ("(1,x)", "(,)"),
    "int4range": ("[1,5)",),
    "point": ("(1,2)",),
    "tsvector": ("a b",),
}
SETTING = """CREATE DOMAIN cell AS varchar(11) CHECK (VALUE ~ '^[0-9-]+$'); CREATE DOMAIN strict_cell AS cell NOT NULL;
CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN birthday AS date CHECK (VALUE > '1900-01-01');
CREATE TYPE mood AS ENUM ('fine'); CREATE TYPE pair AS (n int, s text)"""

WAYS: tuple[tuple[Strategy, Options], ...] = (
    (Strategy.REDACT, Options()),
    (Strategy.REDACT, Options(mark="it's gone", hide_nulls=True)),
    (Strategy.NULL, Options()),
    (Strategy.HASH, Options()),
    (Strategy.FAKE, Options()),
    (Strategy.PARTIAL, Options()),
    (Strategy.PARTIAL, Options(show=1)),
    (Strategy.PARTIAL, Options(keep="mail_domain")),
    (Strategy.TRUNCATE, Options()),
    (Strategy.TRUNCATE, Options(unit="month", bucket=Decimal(7))),
    (Strategy.TRUNCATE, Options(unit="quarter", bucket=Decimal(1_000_000_000_000))),
    (Strategy.TRUNCATE, Options(unit="day", bucket=Decimal("0.25"))),
)

Session = psycopg.Connection[tuple[object, ...]]


@dataclass
class Typed:
    """A server with a table that has a column of each type, one value to a row."""

    session: Session
    catalogue: Catalogue
    columns: dict[str, tuple[Relation, Column]]


@pytest.fixture(scope="module", params=[17, 18])
def typed(request: pytest.FixtureRequest) -> Iterator[Typed]:
    server: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    database: str = request.getfixturevalue(f"database{request.param}")
    with psycopg.connect(server.dsn(database), autocommit=True) as session:
        try:
            session.execute("CREATE COLLATION blurry (provider = icu, locale = 'und', deterministic = false)")
        except psycopg.errors.FeatureNotSupported:  # a server without ICU knows no other collation that could matter
            session.execute('CREATE COLLATION blurry FROM "C"')
        session.execute(SETTING.encode())
        for number, (type_, values) in enumerate(TYPES.items()):
            session.execute(f"CREATE TABLE t{number} (id int GENERATED ALWAYS AS IDENTITY, v {type_})".encode())
            for value in values:
                session.execute(f"INSERT INTO t{number} (v) VALUES (%s)".encode(), (value,))
            if type_ != "strict_cell":
                session.execute(f"INSERT INTO t{number} (v) VALUES (NULL)".encode())
        catalogue = take(lambda sql: str((session.execute(sql.encode()).fetchone() or ("",))[0]))
        found: dict[str, tuple[Relation, Column]] = {}
        for number, type_ in enumerate(TYPES):
            relation = catalogue.relation("public", f"t{number}", ())
            assert relation is not None
            found[type_] = relation, relation.columns[1]
        # Whatever the agent's session is set to, and whoever hides the names of types and functions.
        session.execute(
            """CREATE SCHEMA evil; CREATE DOMAIN evil.text AS int; CREATE DOMAIN evil.int8 AS date;
               CREATE FUNCTION evil."right"(text, int) RETURNS text LANGUAGE sql AS 'SELECT $1';
               SET search_path = evil, pg_catalog, public; SET timezone = 'Pacific/Kiritimati';
               SET datestyle = 'German'; SET intervalstyle = 'iso_8601'; SET xmloption = document;
               SET default_transaction_read_only = on"""
        )
        yield Typed(session, catalogue, found)


def rows(typed: Typed, type_: str, source: str) -> list[tuple[object, ...]]:
    relation, _ = typed.columns[type_]
    shown = source.replace("{}", '"c"."v"')
    query = f'SELECT ({shown})::pg_catalog.text, "c"."v"::pg_catalog.text FROM public.{relation.name} AS c ORDER BY id'
    return typed.session.execute(query.encode()).fetchall()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{WAYS.index(way)}" if isinstance(way, tuple) else "")
def test_no_value_makes_it_fail_and_the_type_stays(typed: Typed, way: tuple[Strategy, Options]) -> None:
    ran = 0
    for type_ in TYPES:
        relation, column = typed.columns[type_]
        try:
            source = source_of(*way, column, typed.catalogue)
        except Unfit:
            continue
        ran += 1
        rows(typed, type_, source)
        shown = source.replace("{}", "v")
        statement = f"SELECT {shown} AS v, v AS raw FROM public.{relation.name}"
        result = typed.session.execute(statement.encode()).pgresult
        assert result is not None
        (masked, raw) = ((result.ftype(number), result.fmod(number)) for number in range(2))
        assert masked == raw == (shape_of(column, typed.catalogue).oid, raw[1]), (type_, source)
        if shape_of(column, typed.catalogue).family in ("text", "texts") and type_ != '"char"':
            same = "pg_catalog.pg_collation_for(v) IS NOT DISTINCT FROM pg_catalog.pg_collation_for(raw)"
            found = typed.session.execute(f"SELECT {same} FROM ({statement}) AS x LIMIT 1".encode()).fetchone()
            assert found == (True,), (type_, source)
    assert ran == {
        Strategy.REDACT: len(TYPES),
        Strategy.NULL: len(TYPES),
        Strategy.HASH: 18,
        Strategy.FAKE: 18,
        Strategy.PARTIAL: 13,
    }.get(way[0], ran)
    assert ran > 5


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{WAYS.index(way)}" if isinstance(way, tuple) else "")
def test_the_gateways_parser_writes_it_back_the_same(typed: Typed, way: tuple[Strategy, Options]) -> None:
    for type_ in TYPES:
        _, column = typed.columns[type_]
        try:
            source = source_of(*way, column, typed.catalogue)
        except Unfit:
            continue
        text = f"SELECT {source.replace('{}', 'c.v')} AS v FROM public.t AS c"
        again = deparse(parse(text))
        assert deparse(parse(again)) == again
        assert parse(again).fingerprint == parse(text).fingerprint


def shown(typed: Typed, type_: str, strategy: Strategy, **options: object) -> dict[object, object]:
    """What is shown, by value; both as text."""
    _, column = typed.columns[type_]
    source = source_of(strategy, Options(**options), column, typed.catalogue)  # type: ignore[arg-type]  # by test
    return {raw: masked for masked, raw in rows(typed, type_, source)}


def test_redacting_leaves_no_value_and_keeps_what_is_absent(typed: Typed) -> None:
    for type_ in TYPES:
        seen = shown(typed, type_, Strategy.REDACT)
        assert len({masked for raw, masked in seen.items() if raw is not None}) <= 1, type_
        assert seen.get(None) is None
    assert shown(typed, "text", Strategy.REDACT)["a@b"] == "***"
    assert shown(typed, "varchar(2)", Strategy.REDACT)["a"] == "**"
    assert shown(typed, "text[]", Strategy.REDACT)["{a,b}"] == "{***}"
    assert shown(typed, "jsonb", Strategy.REDACT)["[]"] == '"***"'
    assert shown(typed, "integer", Strategy.REDACT)["7"] is None
    assert set(shown(typed, "text", Strategy.NULL).values()) == {None}
    assert set(shown(typed, "text", Strategy.REDACT, mark="gone", hide_nulls=True).values()) == {"gone"}


def test_what_the_database_shows_of_a_hash_or_fake_is_a_constant(typed: Typed) -> None:
    for strategy in (Strategy.HASH, Strategy.FAKE):
        assert set(shown(typed, "text", strategy).values()) == {"***", None}
        assert set(shown(typed, "integer", strategy).values()) == {None}


def test_the_last_characters_at_most_half_of_a_value(typed: Typed) -> None:
    seen = shown(typed, "text", Strategy.PARTIAL)
    assert seen["abcdefgh"] == "***efgh" and seen["abcdefg"] == "***" and seen[""] == "***"
    assert seen["x" * 5000] == "***xxxx" and seen["é" * 9] == "***éééé"
    assert shown(typed, "text", Strategy.PARTIAL, show=1)["a@b"] == "***b"
    assert shown(typed, "cell", Strategy.PARTIAL)["123-45-6789"] == "***6789"
    assert shown(typed, "char(20)", Strategy.PARTIAL)["123-45-6789"] == "***6789"


def test_a_mail_address_shows_its_domain_and_nothing_else_shows_anything(typed: Typed) -> None:
    for type_ in ("text", "text COLLATE blurry", 'text COLLATE "C"'):
        seen = shown(typed, type_, Strategy.PARTIAL, keep="mail_domain")
        assert seen["a@b.example"] == "***@b.example", type_
        assert seen["a@b"] == "***@b"
        assert seen[None] is None
        assert {seen[value] for value in ("a@b@c.example", "@handle", "abcdefgh", "")} == {"***"}
    more = shown(typed, "text", Strategy.PARTIAL, keep="mail_domain")
    assert more["ann@mail.example and more"] == more["\u200b@\u200b"] == more["ANN@MAIL.EXAMPLE\n"] == "***"


def test_numbers_go_down_to_their_bucket(typed: Typed) -> None:
    for type_ in ("smallint", "integer", "bigint", "numeric", "real", "double precision"):
        seen = shown(typed, type_, Strategy.TRUNCATE)
        assert [seen[number] for number in NUMBERS] == ["0", "0", "0", "90", "-90", "120"], type_
    assert shown(typed, "integer", Strategy.TRUNCATE)["-2147483648"] == "-2147483640"
    assert shown(typed, "numeric(3,2)", Strategy.TRUNCATE, bucket=Decimal("0.25"))["9.99"] == "9.75"
    reals = shown(typed, "real", Strategy.TRUNCATE)
    assert {reals["NaN"], reals["Infinity"]} == {None} and reals["1e-45"] == "0"
    assert shown(typed, "positive", Strategy.TRUNCATE)["99"] == "90"


def test_dates_and_times_go_down_to_their_year_in_utc(typed: Typed) -> None:
    # The session writes dates the German way, and its clock is 14 hours ahead.
    dates = shown(typed, "date", Strategy.TRUNCATE)
    assert dates["22.11.2026"] == "01.01.2026" and dates["infinity"] == "infinity"
    assert dates["31.12.5874897"] is None and dates["24.11.4714 BC"] is None
    assert shown(typed, "date", Strategy.TRUNCATE, unit="quarter")["22.11.2026"] == "01.10.2026"
    assert shown(typed, "birthday", Strategy.TRUNCATE)["06.05.1990"] == "01.01.1990"
    times = shown(typed, "timestamp", Strategy.TRUNCATE, unit="day")
    assert times["22.11.2026 13:14:15.678"] == "22.11.2026 00:00:00"
    zoned = shown(typed, "timestamptz", Strategy.TRUNCATE)
    assert zoned["23.11.2026 03:14:15.678 +14"] == "01.01.2026 14:00:00 +14"


def test_what_does_not_fit_says_what_would(typed: Typed) -> None:
    def advice(type_: str, strategy: Strategy, **options: object) -> str:
        with pytest.raises(Unfit) as caught:
            source_of(strategy, Options(**options), typed.columns[type_][1], typed.catalogue)  # type: ignore[arg-type]
        return str(caught.value)

    assert "partial does not fit the type pg_catalog.int4, only text, varchar" in advice("integer", Strategy.PARTIAL)
    assert "redact and null fit every type" in advice("jsonb", Strategy.HASH)
    assert "fake does not fit the type pg_catalog.date" in advice("birthday", Strategy.FAKE)
    assert "hides nothing" in advice("date", Strategy.TRUNCATE, unit="day")
    assert "whole bucket" in advice("integer", Strategy.TRUNCATE, bucket=Decimal("2.5"))
    assert "truncate does not fit the type pg_catalog.text" in advice("text", Strategy.TRUNCATE)


def test_a_type_nobody_knows_is_masked_as_well() -> None:
    column = Column(1, "x", 99999, "far", "Away")
    catalogue = Catalogue(server_version=170000, database="d")
    assert stand_in(column, catalogue) == 'CAST(NULL AS "far"."Away")'


def test_every_expression_names_everything_with_its_schema() -> None:
    """Bare operators, and functions without a schema, would be the agent's to define."""
    for strategy, ways in table().items():
        for text in _texts(ways) if strategy not in ("families", "sink") else ():
            bare = re.sub(r"'[^']*'|OPERATOR\(pg_catalog\.[^)]+\)|pg_catalog\.\w+", " ", text)
            assert not re.search(r"\w\(", bare), (strategy, bare)
            assert not re.search(r"::\w", bare), (strategy, bare)
            assert not set("<>=+/%~|*") & set(bare), (strategy, bare)


def _texts(ways: object) -> list[str]:
    return [text for value in ways.values() for text in _texts(value)] if isinstance(ways, dict) else [str(ways)]
