"""Masked columns through a real gateway and a real database: no byte that a client receives holds a canary.

The canaries are the values of masked columns as the database has them; searched for are they, and what a client or a
server easily makes of them, in the raw bytes of every message.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
import yaml
from psycopg import errors

from tests.e2e.conftest import Start
from tests.e2e.raw import SYNC, Client, bind, codes, describe, execute, message, parse, query
from tests.e2e.stacks import ROOT, Stack

SETUP = """
CREATE TABLE people (
  id integer PRIMARY KEY, name text NOT NULL, ssn text NOT NULL UNIQUE, email varchar(80) NOT NULL, token uuid NOT NULL,
  note text, CHECK (length(ssn) > 3)
);
INSERT INTO people VALUES
  (1, 'Ada', 'CANARY-ssn-1', 'canary.one@example.test', 'ca9a2100-0000-4000-8000-000000000001', 'mail to b@example.test'),
  (2, 'Ben', 'CANARY-ssn-2', 'canary.two@example.test', 'ca9a2100-0000-4000-8000-000000000002', NULL),
  (3, 'Cay', 'CANARY-ssn-3', 'canary.three@example.test', 'ca9a2100-0000-4000-8000-000000000003', 'card 4111111111111111');
COMMENT ON COLUMN people.email IS 'pii:email';
COMMENT ON COLUMN people.token IS 'pii:token';
CREATE VIEW names AS SELECT id, name FROM people;
CREATE TABLE elder (id integer, name text NOT NULL);
CREATE TABLE younger (ssn text) INHERITS (elder);
INSERT INTO younger VALUES (1, 'Ada', 'CANARY-ssn-1');
CREATE TABLE lent (id integer, ssn text);
INSERT INTO lent VALUES (1, 'CANARY-ssn-1');
CREATE TABLE decoy (id integer PRIMARY KEY, name text NOT NULL, ssn text NOT NULL, email varchar(80), token uuid, note text);
INSERT INTO decoy VALUES (9, 'Zoe', 'CANARY-decoy', 'canary.decoy@example.test', 'ca9a2100-0000-4000-8000-000000000009', '');
CREATE TABLE deferred (id integer PRIMARY KEY, ssn text, CONSTRAINT one UNIQUE (ssn) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO deferred VALUES (1, 'CANARY-ssn-1'), (2, 'CANARY-ssn-2');
CREATE TABLE notes (id integer, body text);
INSERT INTO notes VALUES (1, 'write to alice@example.test'), (2, 'nothing');
"""
CANARIES = [
    "CANARY-ssn-1", "CANARY-ssn-2", "CANARY-ssn-3", "canary.one@example.test", "canary.two@example.test",
    "canary.three@example.test", "ca9a2100-0000-4000-8000-000000000001", "CANARY-decoy", "canary.decoy@example.test",
]  # fmt: skip


def traces(value: str) -> list[bytes]:
    """The value, and what is easily made of it."""
    raw = value.encode()
    forms = [raw, raw[::-1], base64.b64encode(raw), raw.hex().encode(), hashlib.md5(raw).hexdigest().encode()]
    forms += [raw.upper(), raw.lower(), value.encode("utf-16-le")]
    if value.startswith("ca9a"):
        forms.append(bytes.fromhex(value.replace("-", "")))
    return forms


def clean(received: bytes) -> None:
    found = [trace for value in CANARIES for trace in traces(value) if trace in received]
    assert not found, found


@pytest.fixture(scope="module")
def people(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A database of people; ssn is redacted, email is hashed and token is faked at the sink."""
    config: Path = tmp_path_factory.mktemp("masked") / "config"
    shutil.copytree(ROOT / "config", config)
    columns = [
        {"column": "public.*.ssn", "strategy": "redact"},
        {"comment": "pii:email", "strategy": "hash", "predicates": "equality"},
        {"comment": "pii:token", "strategy": "hash"},
    ]
    shop = {"detectors": "mask", "columns": columns}
    (config / "masking.yaml").write_text(yaml.safe_dump({"version": 1, "targets": {"shop": shop}}))
    shutil.rmtree(config / "policies")
    (config / "policies").mkdir()
    (config / "policies" / "all.cedar").write_text('@id("all")\npermit (principal, action, resource);\n')

    def at_once(document: dict[str, Any]) -> None:
        document["targets"]["shop"]["hold_seconds"] = 0.0

    stack = start("people", config, "shop", at_once)
    stack.direct(SETUP)
    stack.direct("ALTER TABLE lent OWNER TO shop_agent")
    stack.direct("GRANT CREATE ON SCHEMA public TO shop_agent")
    stack.direct("GRANT ALL ON people, names, elder, younger, decoy, deferred, notes TO shop_agent")
    return stack


@pytest.fixture
def agent(people: Stack) -> Iterator[psycopg.Connection[Any]]:
    with people.connect(autocommit=True) as connection:
        yield connection


def told(failed: psycopg.Error) -> str:
    """All that an error says."""
    shown = failed.diag
    return " ".join(str(getattr(shown, name)) for name in dir(shown) if not name.startswith("_"))


class Tap(Client):
    """A client that keeps every byte it receives."""

    received = b""

    def frame(self) -> Any:
        frame = super().frame()
        self.received += frame.kind.encode() + frame.body
        return frame


@pytest.fixture
def tap(people: Stack) -> Iterator[Tap]:
    with Tap(people) as client:
        client.log_in()
        yield client
        clean(client.received)


ALL = "SELECT * FROM people ORDER BY id"


# ------------------------------------------------------------ rows


def hashed(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("hash:")


@pytest.mark.parametrize("binary", [False, True])
def test_rows_show_masks_in_both_formats(agent: psycopg.Connection[Any], binary: bool) -> None:
    rows = agent.execute(ALL, binary=binary).fetchall()
    assert [row[:3] for row in rows] == [(1, "Ada", "***"), (2, "Ben", "***"), (3, "Cay", "***")]
    assert all(hashed(row[3]) for row in rows)
    assert len({row[3] for row in rows}) == 3
    assert all(row[4].version == 8 for row in rows), "a hashed uuid is a uuid"
    assert [row[5] for row in rows] == ["mail to " + "*" * 14, None, "card " + "*" * 16]


def test_every_way_of_asking_shows_the_same(people: Stack, agent: psycopg.Connection[Any]) -> None:
    shown = agent.execute(ALL).fetchall()
    assert psycopg.ClientCursor(agent).execute(ALL).fetchall() == shown, "a simple query"
    for _ in range(3):
        assert agent.execute(ALL, prepare=True).fetchall() == shown
    with agent.pipeline():
        first, second = agent.execute(ALL), agent.execute(ALL, binary=True)
        assert first.fetchall() == second.fetchall() == shown
    agent.execute(f"PREPARE p AS {ALL}")
    assert agent.execute("EXECUTE p").fetchall() == shown
    with agent.transaction():
        agent.execute(f"DECLARE c CURSOR FOR {ALL}")
        assert agent.execute("FETCH 2 FROM c").fetchall() + agent.execute("FETCH ALL FROM c").fetchall() == shown
    with agent.transaction(), agent.cursor("named") as named:
        named.itersize = 2
        assert list(named.execute(ALL)) == shown
    assert agent.execute(f"WITH x AS ({ALL}) SELECT * FROM x").fetchall() == shown
    with people.connect(autocommit=True) as other:
        assert other.execute(ALL).fetchall() == shown, "equal values stay equal, in every session"


async def test_asyncpg_shows_the_same(people: Stack, agent: psycopg.Connection[Any]) -> None:
    """It describes each text once, asks for binary, and reads cursors in parts."""
    shown = [tuple(map(str, row)) for row in agent.execute(ALL).fetchall()]
    context = ssl.create_default_context(cafile=people.ca)
    connection = await asyncpg.connect(
        host=people.host, port=people.port, user="shop", database="shop", password=people.token(), ssl=context
    )
    try:
        for _ in range(3):
            assert [tuple(map(str, row)) for row in await connection.fetch(ALL)] == shown
        async with connection.transaction():
            read = [tuple(map(str, row)) async for row in connection.cursor(ALL, prefetch=1)]
        assert read == shown
        assert await connection.fetchval("SELECT id FROM people WHERE email = $1", CANARIES[4]) == 2
        copied = io.BytesIO()
        await connection.copy_from_query("SELECT id, ssn, email FROM people", output=copied, format="csv")
        clean(copied.getvalue())
        assert copied.getvalue().count(b"hash:") == 3
    finally:
        await connection.close()


def test_sqlalchemy_shows_the_same(people: Stack, agent: psycopg.Connection[Any]) -> None:
    shown = agent.execute(ALL).fetchall()
    engine = sqlalchemy.create_engine(
        people.uri().replace("postgresql:", "postgresql+psycopg:"), connect_args={"password": people.token()}
    )
    with engine.connect() as connection:
        table = sqlalchemy.Table("people", sqlalchemy.MetaData(), autoload_with=connection)
        rows = connection.execute(sqlalchemy.select(table).order_by(table.c.id)).fetchall()
        assert [tuple(row) for row in rows] == shown
    engine.dispose()


def test_raw_bytes_of_every_protocol_path(tap: Tap) -> None:
    assert len([f for f in tap.ask(query(ALL)) if f.kind == "D"]) == 3
    for results in ((), (1,), (0,)):
        tap.ask(parse(ALL), bind(results=results), execute(), SYNC)
        tap.ask(parse(ALL), bind(results=results), describe("P"), execute(), SYNC)
        tap.ask(
            parse(ALL, "s"),
            describe("S", "s"),
            bind(statement="s", results=results),
            execute(),
            SYNC,
        )
        heard = tap.ask(bind(statement="s", results=results), execute(rows=1), execute(rows=1), execute(), SYNC)
        assert len([f for f in heard if f.kind == "D"]) == 3
        tap.ask(message("C", b"Ss\0"), SYNC)
    tap.ask(query(f"BEGIN; DECLARE c CURSOR FOR {ALL}; FETCH ALL FROM c; COMMIT"))
    tap.ask(query("BEGIN"))
    tap.ask(query(f"DECLARE c CURSOR FOR {ALL}"))
    heard = tap.ask(describe("P", "c"), execute("c"), SYNC)
    assert len([f for f in heard if f.kind == "D"]) == 3, "SQL's cursors are the wire's portals"
    tap.ask(query("COMMIT"))
    tap.ask(query(f"PREPARE q AS {ALL}"))
    heard = tap.ask(bind(statement="q"), execute(), SYNC)
    assert len([f for f in heard if f.kind == "D"]) == 3, "and its prepared statements"


@pytest.mark.parametrize("form", ["", "(FORMAT csv)", "(FORMAT csv, HEADER)", "(DELIMITER '|')"])
def test_copied_lines_show_masks(people: Stack, tap: Tap, form: str) -> None:
    for what in ("people", "(SELECT * FROM people)", "people (id, email)"):
        heard = tap.ask(query(f"COPY {what} TO STDOUT {form}"))
        lines = [frame.body for frame in heard if frame.kind == "d"]
        assert len(lines) == 3 + ("HEADER" in form)
        assert b"hash:" in lines[-1]


def test_a_form_of_copy_that_cannot_be_masked_is_withheld(tap: Tap) -> None:
    for form in ("(FORMAT binary)", "(FORMAT csv, FORCE_QUOTE *)"):
        heard = tap.ask(query(f"COPY people TO STDOUT {form}"))
        assert [frame.kind for frame in heard] == ["E", "Z"]
    assert [f.kind for f in tap.ask(query("COPY people (id, ssn) TO STDOUT (FORMAT binary)"))][:1] == ["H"]


def test_returned_rows_show_masks(people: Stack, tap: Tap) -> None:
    assert [
        frame.values[-1]
        for frame in tap.ask(query("UPDATE people SET note = 'x' WHERE id = 1 RETURNING *"))
        if frame.kind == "D"
    ] == [b"x"]
    people.direct("UPDATE people SET note = 'mail to b@example.test' WHERE id = 1")


# ------------------------------------------------------------ words

TELLING = [
    ("23502", "INSERT INTO people (id, name, ssn, email, token) VALUES (7, NULL, 'x', 'x', gen_random_uuid())"),
    ("23502", "UPDATE people SET name = NULL WHERE id = 1"),
    ("23505", "UPDATE people SET id = 2 WHERE id = 1"),
    ("23505", "INSERT INTO people SELECT 8, 'x', 'CANARY-ssn-1', 'x', gen_random_uuid(), NULL"),
    ("23514", "INSERT INTO people VALUES (9, 'x', 'x', 'x', gen_random_uuid(), NULL)"),
    ("22P02", "UPDATE people SET note = note::int::text WHERE id = 3"),
    ("22012", "SELECT 1 / (id - 2), ssn, email FROM people ORDER BY id"),
    ("22001", "UPDATE people SET email = repeat('canary.one@example.test', 9) WHERE id = 1"),
    ("23502", "UPDATE names SET name = NULL WHERE id = 1"),  # through a view without a masked column
    ("23502", "MERGE INTO names n USING notes o ON n.id = o.id WHEN MATCHED THEN UPDATE SET name = NULL"),
    ("23502", "UPDATE elder SET name = NULL WHERE id = 1"),  # of a child that has one
]


@pytest.mark.parametrize(("code", "text"), TELLING)
def test_errors_say_nothing_of_rows(people: Stack, tap: Tap, code: str, text: str) -> None:
    """NOT NULL and CHECK print the failing row, unique constraints the key, casts the value."""
    for ask in ((query(text),), (parse(text), bind(), execute(), SYNC)):
        assert codes(tap.ask(*ask)) == [code]
    assert people.value("SELECT count(*) FROM people") == 3


def test_what_is_checked_at_the_end_says_nothing_either(people: Stack, tap: Tap) -> None:
    text = "UPDATE deferred SET id = id + 0, ssn = 'CANARY-ssn-2' WHERE id = 1"
    tap.ask(query("BEGIN"))
    assert not codes(tap.ask(query(text)))
    assert codes(tap.ask(query("COMMIT"))) == ["23505"]
    assert codes(tap.ask(parse(text), bind(), execute(), SYNC)) == ["23505"]
    assert people.value("SELECT ssn FROM deferred WHERE id = 1") == "CANARY-ssn-1"


def test_a_trigger_that_talks_is_not_heard(people: Stack, tap: Tap) -> None:
    people.direct(
        "CREATE FUNCTION talk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE NOTICE 'row %', NEW; PERFORM pg_notify('jobs', NEW.ssn); RETURN NEW; END $$"
    )
    people.direct("CREATE TRIGGER talk BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION talk()")
    try:
        heard = tap.ask(query("UPDATE people SET note = note WHERE id = 2"))
        assert heard[-1].kind == "Z"
    finally:
        people.direct("DROP FUNCTION talk CASCADE")


def test_untouched_statements_keep_the_servers_own_words(agent: psycopg.Connection[Any]) -> None:
    with pytest.raises(errors.InvalidTextRepresentation, match='"abc"') as failed:
        agent.execute("SELECT 'abc'::int")
    assert failed.value.diag.statement_position is not None
    with pytest.raises(errors.InvalidTextRepresentation, match=r'"\*+"'):
        agent.execute("SELECT 'alice@example.test'::int")


# ------------------------------------------------------------ what changes underneath


def test_a_table_swapped_under_a_prepared_statement_is_not_shown(people: Stack, tap: Tap) -> None:
    tap.ask(parse("SELECT * FROM decoy", "s"), SYNC)
    people.direct("ALTER TABLE decoy RENAME TO kept; ALTER TABLE people RENAME TO decoy")
    try:
        heard = tap.ask(bind(statement="s"), execute(), SYNC)
        assert "E" in [frame.kind for frame in heard]
        assert not [frame for frame in heard if frame.kind == "D"]
        clean(tap.received)
    finally:
        people.direct("ALTER TABLE decoy RENAME TO people; ALTER TABLE kept RENAME TO decoy")


# ------------------------------------------------------------ the record, and the agent


def test_the_agent_is_told_once_in_a_session(people: Stack) -> None:
    token = people.token("told")
    told = []
    for _ in range(2):
        with Tap(people) as client:
            client.log_in(token)
            told.append(b"blastwall: masking is on" in client.received)
    assert told == [True, False]


def test_the_recording_has_the_masks_and_says_where_they_are(people: Stack) -> None:
    with people.connect(people.token("recorded"), autocommit=True) as connection:
        connection.execute(ALL).fetchall()
        connection.execute("SELECT id FROM people WHERE email = %s", (CANARIES[3],)).fetchall()
        connection.execute("SELECT body FROM notes ORDER BY id").fetchall()
    (entry,) = people.settled("recorded")
    with entry.open() as file:
        clean(file.read())
    shown = people.played(entry)
    first, _, third = [value for value in shown if value["type"] == "table"]
    assert first["masked"] == [[2, 3, 4, 5], [2, 3, 4], [2, 3, 4, 5]]
    assert [rule.partition(" ")[0] for rule in first["hidden"]] == [
        "public.people.ssn",
        "public.people.email",
        "public.people.token",
    ]
    assert (third["rows"], third["masked"]) == ([["write to " + "*" * 18], ["nothing"]], [[0], []])
    (asked,) = [value for value in shown if value["type"] == "asked" and value["parameters"]]
    assert asked["parameters"] == ["***"]
    told = people.blastwall("recordings", "play", entry.id, "--speed", "1000")
    assert "▒ ***" in told
    assert "values masked by the gateway" in told


# ------------------------------------------------------------ names that mean something else by then

HIDDEN = ["BEGIN", "SAVEPOINT s", "DROP TABLE lent", "CREATE TABLE lent (id integer)"]
WANTED = "SELECT upper(ssn) FROM lent"


@pytest.mark.parametrize("back", ["ROLLBACK", "ROLLBACK TO s", "ROLLBACK AND CHAIN"])
def test_what_a_rollback_brings_back_is_masked_again(people: Stack, tap: Tap, back: str) -> None:
    """In the transaction the name means a table without a masked column; behind its end it means the old one."""
    for heard in (tap.ask(query(text)) for text in HIDDEN):
        assert not codes(heard)
    assert codes(tap.ask(query(f"{back}; {WANTED}"))) == ["42501"]
    tap.ask(query("ROLLBACK"))
    for text in HIDDEN:
        tap.ask(query(text))
    batch = parse(back) + bind() + execute() + parse(WANTED) + bind() + execute() + SYNC
    assert codes(tap.ask(batch)) == ["42501"]
    tap.ask(query("ROLLBACK"))
    for text in (*HIDDEN, back):
        tap.ask(query(text))
    assert codes(tap.ask(query(WANTED))) == ["42501"], "and in a message of its own"
    tap.ask(query("ROLLBACK"))
    shown = [frame.values for frame in tap.ask(query("SELECT id, ssn FROM lent")) if frame.kind == "D"]
    assert shown == [[b"1", b"***"]]


def test_a_table_of_the_sessions_own_does_not_lend_its_name(tap: Tap) -> None:
    for made, gone in (
        (["CREATE TEMP TABLE lent (ssn text)"], "DROP TABLE pg_temp.lent"),
        (["CREATE TEMP TABLE lent (ssn text)"], "DISCARD ALL"),
        (["BEGIN", "CREATE TEMP TABLE lent (ssn text)"], "ROLLBACK"),
        (["CREATE TEMP VIEW lent AS SELECT 'a' AS ssn"], "SET search_path = public, pg_temp"),
    ):
        for text in made:
            tap.ask(query(text))
        assert codes(tap.ask(query(f"{gone}; {WANTED}"))) == ["42501"] or gone == "DISCARD ALL"
        tap.ask(query(gone))
        assert codes(tap.ask(query(WANTED))) == ["42501"]
        tap.ask(query("ROLLBACK"))
        tap.ask(query("DROP VIEW IF EXISTS pg_temp.lent"))
        tap.ask(query("RESET search_path"))
