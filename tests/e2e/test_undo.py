"""What an approved change overwrote, kept and brought back: with real clients, through the gateway and its approvals."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from cli.__main__ import run as cli
from tests.e2e.conftest import Start
from tests.e2e.people import approving
from tests.e2e.stacks import ROOT, Stack

TABLES = """
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, born date, seen timestamptz DEFAULT now(), tags text[]);
CREATE TABLE pets (
  owner int REFERENCES people ON DELETE CASCADE, number int, name text, PRIMARY KEY (owner, number)
);
CREATE TABLE letters (id int PRIMARY KEY, reader int REFERENCES people ON DELETE SET NULL, text text);
CREATE TABLE watched (id int PRIMARY KEY, name text);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER tells AFTER UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE people OWNER TO shop_agent;
ALTER TABLE pets OWNER TO shop_agent;
ALTER TABLE letters OWNER TO shop_agent;
ALTER TABLE watched OWNER TO shop_agent;
"""
ROWS = """
TRUNCATE people, pets, letters, watched;
INSERT INTO people SELECT i, 'Zwiebelfisch ' || i, date '2000-01-01' + i, now(), ARRAY['a"b', NULL] FROM generate_series(1, 5) i;
INSERT INTO pets SELECT 1 + i % 3, i, 'pet ' || i FROM generate_series(1, 6) i;
INSERT INTO letters SELECT i, i, 'dear ' || i FROM generate_series(1, 4) i;
INSERT INTO watched VALUES (1, 'one')
"""
NAMES = ("people", "pets", "letters", "watched")
Run = Callable[[psycopg.Connection[Any], str], object]


def simple(connection: psycopg.Connection[Any], text: str) -> object:
    return psycopg.ClientCursor(connection).execute(text.encode())


def extended(connection: psycopg.Connection[Any], text: str) -> object:
    return connection.cursor().execute(text.encode(), prepare=True)


@pytest.fixture(scope="module")
def place(start: Start) -> Iterator[Stack]:
    """The shipped configuration, which keeps up to 20 rows here."""

    def keep(document: dict[str, Any]) -> None:
        document["approvals"]["undo"] = {"rows": 20}
        document["approvals"]["page"] = {"listen": "127.0.0.1:0"}

    stack = start("undo", ROOT / "config", "shop", keep, masked=False)
    stack.direct(TABLES)
    yield stack


@pytest.fixture
def kept(place: Stack) -> Stack:
    place.direct(ROWS)
    return place


def contents(stack: Stack) -> dict[str, list[tuple[Any, ...]]]:
    return {name: stack.direct(f"SELECT * FROM {name} ORDER BY 1, 2") for name in NAMES}


def change(stack: Stack, agent: str, text: str, run: Run = simple, *, autocommit: bool = True) -> str:
    """Have it approved and run it; the approval's id."""
    with approving(stack, agent, 50), stack.connect(stack.token(agent), autocommit=autocommit) as connection:
        run(connection, text)
        connection.commit()
    found = [one["fields"] for one in stack.recorded(agent) if one.get("name") == "undo_capsule"]
    assert found, "that something was kept, or why not, is on record"
    return str(found[-1]["approval"])


@dataclass(frozen=True)
class Done:
    """What a command said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def undo(stack: Stack, id: str, *words: str, who: str = "ada", group: str = "owners") -> Done:
    """``blastwall undo``, in this process: another one would take seconds to start."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli(["undo", id, "--as", who, "--group", group, "--state", str(stack.state), *words])
    return Done(code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(("run", "autocommit"), [(simple, True), (simple, False), (extended, True), (extended, False)])
def test_deleted_rows_come_back_with_all_that_went_with_them(kept: Stack, run: Run, autocommit: bool) -> None:
    before = contents(kept)
    agent = f"deletes-{run.__name__}-{autocommit}"
    id = change(kept, agent, "DELETE FROM people WHERE id <= 2", run, autocommit=autocommit)
    assert len(contents(kept)["people"]) == 3 and len(contents(kept)["pets"]) == 2
    printed = undo(kept, id)
    assert printed.returncode == 0 and "Zwiebelfisch 1" in printed.stdout
    assert contents(kept) != before, "printing changes nothing"
    with approving(kept, "undo", 50):
        done = undo(kept, id, "--apply")
    assert done.returncode == 0, done.stderr
    assert contents(kept) == before


def test_of_two_changes_that_differ_in_a_number_each_keeps_its_own_rows(kept: Stack) -> None:
    """What a text does is known by the one before; which rows it touches is not."""
    agent = "differs"
    with approving(kept, agent, 50), kept.connect(kept.token(agent), autocommit=True) as connection:
        simple(connection, "DELETE FROM people WHERE id = 5")
        middle = contents(kept)
        simple(connection, "DELETE FROM people WHERE id = 1")
    notes = [one["fields"] for one in kept.recorded(agent) if "fields" in one]
    seen = [fields["blast"]["cascaded_rows"] for fields in notes if "blast" in fields and "questions" in fields]
    assert seen == [0, 3], "nothing goes with the fifth; two pets and a letter go with the first"
    last = [fields["approval"] for fields in notes if "capsule" in fields][-1]
    with approving(kept, "undo", 50):
        done = undo(kept, str(last), "--apply")
    assert done.returncode == 0, done.stderr
    assert contents(kept) == middle


@pytest.mark.parametrize("run", [simple, extended])
def test_updated_rows_are_set_back_unless_somebody_changed_them_since(kept: Stack, run: Run) -> None:
    before = contents(kept)
    agent = f"updates-{run.__name__}"
    id = change(kept, agent, "UPDATE people SET name = upper(name), born = NULL WHERE id > 2", run)
    kept.direct("UPDATE people SET tags = '{}' WHERE id = 4")
    meddled = contents(kept)
    with approving(kept, "undo", 50):
        refused = undo(kept, id, "--apply")
    assert refused.returncode == 1 and "only 2 of 3 rows are as the change left them" in refused.stderr
    assert contents(kept) == meddled
    kept.direct(ROWS)
    again = contents(kept)
    id = change(kept, f"{agent}-2", "UPDATE people SET name = upper(name), born = NULL WHERE id > 2", run)
    with approving(kept, "undo", 50):
        done = undo(kept, id, "--apply")
    assert done.returncode == 0, done.stderr
    assert contents(kept) == again and before["people"][0][0] == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("UPDATE watched SET name = 'x' WHERE id = 1", "Triggers of public.watched run code"),
        ("UPDATE people SET id = id + 100 WHERE id = 5", "It changes the primary key"),
        ("UPDATE orders SET status = status WHERE id <= 21", "It touches more rows than are kept (20)."),
        ("DELETE FROM people WHERE id = 77", "It touched no row."),
    ],
)
def test_where_it_cannot_be_undone_it_runs_and_the_reason_is_on_record(kept: Stack, text: str, reason: str) -> None:
    agent = f"unkept-{reason[:14].strip().replace(' ', '-').lower()}"
    id = change(kept, agent, text, extended)
    (found,) = [one["fields"] for one in kept.recorded(agent) if one.get("name") == "undo_capsule"]
    assert found["capsule"] == "" and reason in found["reason"]
    refused = undo(kept, id)
    assert refused.returncode != 0 and "nothing was kept" in refused.stderr


def test_only_whom_policy_lets_sees_it_and_that_is_on_record(kept: Stack) -> None:
    id = change(kept, "guards", "DELETE FROM people WHERE id = 3")
    refused = undo(kept, id, who="ina", group="interns")
    assert refused.returncode == 1 and "no rule permits undo" in refused.stderr
    assert "Zwiebelfisch" not in refused.stdout + refused.stderr
    assert undo(kept, id).returncode == 0
    lying = [path for path in (kept.state / "undo").iterdir() if path.name.startswith(id)]
    assert len(lying) == 1 and b"Zwiebelfisch" not in lying[0].read_bytes() and lying[0].stat().st_mode & 0o077 == 0


def test_the_raw_values_are_in_no_recording_and_no_log(kept: Stack) -> None:
    change(kept, "raw", "DELETE FROM people WHERE id = 4", extended)
    assert not any("Zwiebelfisch" in str(one) for one in kept.recorded("raw"))
    assert "Zwiebelfisch" not in kept.log


def test_what_was_never_committed_is_not_undone(kept: Stack) -> None:
    before = contents(kept)
    with approving(kept, "rolls-back", 50), kept.connect(kept.token("rolls-back")) as connection:
        extended(connection, "UPDATE people SET name = 'x' WHERE id = 1")
        connection.rollback()
    (found,) = [one["fields"] for one in kept.recorded("rolls-back") if one.get("name") == "undo_capsule"]
    with approving(kept, "undo", 50):
        refused = undo(kept, str(found["approval"]), "--apply")
    assert refused.returncode == 1 and "never committed" in refused.stderr
    assert contents(kept) == before


def test_a_locked_row_fails_the_statement_as_it_would_have(kept: Stack) -> None:
    """The gateway waits for the same lock as the statement, and its error is the statement's."""
    before = contents(kept)
    with (
        approving(kept, "locked", 50),
        kept.connect(kept.token("locked"), autocommit=True) as connection,
        psycopg.connect(kept.superuser()) as other,
    ):
        connection.execute("SET lock_timeout = '200ms'")
        other.execute("SELECT FROM people WHERE id = 2 FOR UPDATE")
        for run in (simple, extended):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                run(connection, "DELETE FROM people WHERE id <= 2")
            assert connection.info.transaction_status.name == "IDLE"
        other.rollback()
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (5,)
    assert contents(kept) == before
