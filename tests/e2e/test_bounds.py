"""Approved changes that touch more rows than was approved: undone, with every way a client can send them (APR-030)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.store import Store
from blastwall.model import ApprovalState, DenialCode
from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.people import approving, awaited, decide
from tests.e2e.raw import FLUSH, SYNC, Client, bind, codes, describe, execute, kinds, parse, query, rows, run
from tests.e2e.stacks import Stack

BOUND, PENDING = SQLSTATES[DenialCode.BOUND], SQLSTATES[DenialCode.PENDING]
LOOK_SECONDS = 0.03

TABLES = """
CREATE TABLE parcels (id int PRIMARY KEY, weight int NOT NULL, note text NOT NULL DEFAULT 'n');
CREATE TABLE labels (id int PRIMARY KEY, parcel int REFERENCES parcels DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE skipped (id int PRIMARY KEY);
CREATE FUNCTION skip_odd() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN IF OLD.id % 2 = 1 THEN RETURN NULL; END IF; RETURN OLD; END $$;
CREATE TRIGGER odd BEFORE DELETE ON skipped FOR EACH ROW EXECUTE FUNCTION skip_odd();
ALTER TABLE parcels OWNER TO shop_agent;
ALTER TABLE labels OWNER TO shop_agent;
ALTER TABLE skipped OWNER TO shop_agent;
"""


@pytest.fixture(scope="module")
def place(shop: Stack) -> Iterator[Stack]:
    shop.direct(TABLES)
    yield shop
    shop.direct("DROP TABLE labels, parcels, skipped; DROP FUNCTION skip_odd()")


@pytest.fixture
def parcels(place: Stack) -> Stack:
    """Ten parcels, numbered from 1; the first two have labels."""
    place.direct(
        "TRUNCATE labels, parcels, skipped; INSERT INTO parcels SELECT i, 10 * i FROM generate_series(1, 10) i;"
        "INSERT INTO labels VALUES (1, 1), (2, 2); INSERT INTO skipped SELECT generate_series(1, 4)"
    )
    return place


def left(stack: Stack) -> list[int]:
    return [row[0] for row in stack.direct("SELECT id FROM parcels ORDER BY 1")]


class Form:
    """A way to send a statement with psycopg."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, connection: psycopg.Connection[Any], text: str) -> psycopg.Cursor[Any]:
        if self.name == "simple":
            return psycopg.ClientCursor(connection).execute(text.encode())
        return connection.cursor().execute(text.encode(), prepare=self.name == "prepared")


FORMS = [pytest.param(Form(name), id=name) for name in ("simple", "extended", "prepared")]


@pytest.mark.parametrize("form", FORMS)
def test_a_change_within_its_bound_is_answered_as_ever(parcels: Stack, form: Form) -> None:
    agent = f"within-{form.name}"
    with approving(parcels, agent, 3), parcels.connect(parcels.token(agent), autocommit=True) as connection:
        done = form(connection, "DELETE FROM parcels WHERE id BETWEEN 3 AND 5 RETURNING id, note")
        assert (done.statusmessage, sorted(done.fetchall())) == ("DELETE 3", [(3, "n"), (4, "n"), (5, "n")])
        assert connection.info.transaction_status.name == "IDLE"
        assert left(parcels) == [1, 2, 6, 7, 8, 9, 10], "and it is committed"
        assert form(connection, "UPDATE parcels SET weight = 0 WHERE id = 6").statusmessage == "UPDATE 1"
        assert form(connection, "SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("form", FORMS)
def test_apr_030_more_rows_than_were_approved_change_nothing(parcels: Stack, form: Form) -> None:
    agent = f"beyond-{form.name}"
    with approving(parcels, agent, 3), parcels.connect(parcels.token(agent), autocommit=True) as connection:
        for text in (
            "DELETE FROM parcels WHERE id > 6",
            "DELETE FROM parcels WHERE id > 6 RETURNING id",
            "UPDATE parcels SET weight = weight + 1 WHERE id > 6",
        ):
            with pytest.raises(psycopg.Error) as refused:
                form(connection, text)
            assert refused.value.sqlstate == BOUND
            assert refused.value.diag.message_detail == "it changed 4 rows, and was approved for at most 3"
            assert connection.info.transaction_status.name == "IDLE"
        assert form(connection, "SELECT count(*) FROM parcels").fetchone() == (10,)
    assert parcels.direct("SELECT sum(weight), count(*) FROM parcels") == [(550, 10)]
    found = [one["fields"] for one in parcels.recorded(agent) if one.get("name") == "row_bound"]
    assert [(one["bound"], one["rows"], one["outcome"]) for one in found] == [(3, 4, "rolled back")] * 3
    assert all(one["approval"].startswith("a-") for one in found)


@pytest.mark.parametrize("form", FORMS)
def test_in_a_transaction_it_fails_as_any_error_does(parcels: Stack, form: Form) -> None:
    agent = f"inside-{form.name}"
    with approving(parcels, agent, 3), parcels.connect(parcels.token(agent)) as connection:
        with pytest.raises(psycopg.Error) as refused:
            form(connection, "DELETE FROM parcels WHERE id > 3")
        assert refused.value.sqlstate == BOUND
        assert connection.info.transaction_status.name == "INERROR"
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            form(connection, "SELECT 1")
        connection.rollback()
        assert form(connection, "DELETE FROM parcels WHERE id = 10").rowcount == 1
        assert connection.info.transaction_status.name == "INTRANS"
        assert 10 in left(parcels), "committed when the client says so"
        connection.commit()
    assert left(parcels) == list(range(1, 10))


def test_the_clients_own_savepoint_brings_it_back(parcels: Stack) -> None:
    agent = "savepoints"
    beyond = b"DELETE FROM parcels WHERE id > 3"
    with approving(parcels, agent, 3), parcels.connect(parcels.token(agent)) as connection:
        connection.execute("UPDATE parcels SET weight = 1 WHERE id = 1")
        connection.execute("SAVEPOINT mine")
        with pytest.raises(psycopg.Error) as pending:
            connection.execute(beyond)
        assert pending.value.sqlstate == PENDING, "nobody waits for people while locks are held"
        answered(parcels, agent)
        connection.execute("ROLLBACK TO SAVEPOINT mine")
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(beyond)
        assert refused.value.sqlstate == BOUND
        connection.execute("ROLLBACK TO SAVEPOINT mine")
        assert connection.execute("SELECT count(*) FROM parcels").fetchone() == (10,)
        connection.commit()
    assert left(parcels) == list(range(1, 11))
    assert parcels.value("SELECT weight FROM parcels WHERE id = 1") == 1


def answered(stack: Stack, agent: str) -> None:
    """Wait until nothing of the agent's waits for an answer."""
    deadline = time.monotonic() + 30
    while waiting(stack, agent):
        assert time.monotonic() < deadline
        time.sleep(LOOK_SECONDS)


def waiting(stack: Stack, agent: str) -> bool:
    async def look() -> bool:
        store = Store(stack.state / "blastwall.db")
        try:
            found = await LocalApprovals(store, SystemClock()).ls(live=True)
            return any(
                one.request.principal.agent == agent and one.status.state is ApprovalState.REQUESTED for one in found
            )
        finally:
            store.close()

    return asyncio.run(look())


def test_every_message_is_the_one_the_server_would_send(parcels: Stack) -> None:
    """Simple and extended, described, in portions, with nothing in between that the client did not ask for."""
    with approving(parcels, "bytes", 4), Client(parcels) as client:
        client.log_in(parcels.token("bytes"))
        heard = client.ask(query("DELETE FROM parcels WHERE id IN (3, 8) RETURNING id"))
        assert kinds(heard) == "TDDCZ" and heard[-1].body == b"I" and heard[-2].body == b"DELETE 2\0"
        heard = client.ask(query("DELETE FROM parcels WHERE id >= 4"))
        assert kinds(heard) == "EZ" and heard[-1].body == b"I" and codes(heard) == [BOUND]
        some = parse("DELETE FROM parcels WHERE id IN ($1, 5, 6, 7) RETURNING id", "some")
        assert kinds(client.ask(some, describe("S", "some"), SYNC)) == "1tTZ"
        heard = client.ask(bind([b"4"], statement="some"), describe("P"), execute(rows=3), execute(rows=3), SYNC)
        assert kinds(heard) == "2TDDDsDCZ" and heard[-1].body == b"I"
        assert sorted(rows(heard)) == [[b"4"], [b"5"], [b"6"], [b"7"]] and heard[-2].body == b"DELETE 4\0"
        assert kinds(client.ask(run("UPDATE parcels SET weight = 1 WHERE id = 9"), SYNC)) == "12CZ"
        client.send(run("UPDATE parcels SET weight = 1 WHERE id BETWEEN 0 AND 99"), FLUSH)
        assert kinds(client.until("C")) == "12C" and parcels.value("SELECT weight FROM parcels WHERE id = 2") == 20
        assert kinds(client.ask(SYNC)) == "Z" and parcels.value("SELECT weight FROM parcels WHERE id = 2") == 1
        assert left(parcels) == [1, 2, 9, 10]


def test_a_batch_is_undone_as_a_whole(parcels: Stack) -> None:
    agent = "batches"
    good, bad = "UPDATE parcels SET weight = 7 WHERE id = 9", "DELETE FROM parcels WHERE id < 9"
    with approving(parcels, agent, 3), Client(parcels) as client:
        client.log_in(parcels.token(agent))
        for text in (good, bad):  # nobody waits for a person in the midst of a batch
            assert codes(client.ask(run(text), run("SELECT 1"), SYNC)) == [PENDING]
        answered(parcels, agent)
        heard = client.ask(run(good), run(bad), run("SELECT 1"), SYNC)
        assert kinds(heard) == "12C12EZ" and codes(heard) == [BOUND] and heard[-1].body == b"I"
    assert left(parcels) == list(range(1, 11))
    assert parcels.value("SELECT weight FROM parcels WHERE id = 9") == 90


@pytest.mark.parametrize("form", FORMS)
def test_what_only_the_commit_finds_is_the_statements_error(parcels: Stack, form: Form) -> None:
    agent = f"deferred-{form.name}"
    with approving(parcels, agent, 3), parcels.connect(parcels.token(agent), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as refused:
            form(connection, "DELETE FROM parcels WHERE id = 1")
        assert refused.value.diag.constraint_name == "labels_parcel_fkey"
        assert connection.info.transaction_status.name == "IDLE"
        with pytest.raises(psycopg.errors.NotNullViolation):
            form(connection, "UPDATE parcels SET weight = NULL WHERE id = 3")
        assert connection.info.transaction_status.name == "IDLE"
        assert form(connection, "DELETE FROM parcels WHERE id = 3").rowcount == 1
    assert left(parcels) == [1, 2, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("form", FORMS[:2])
def test_every_kind_of_change_is_counted(parcels: Stack, form: Form) -> None:
    agent = f"kinds-{form.name}"
    source = "(VALUES (1), (2), (30)) AS s (id)"
    kinds = {
        f"MERGE INTO parcels p USING {source} ON p.id = s.id WHEN MATCHED THEN UPDATE SET weight = 0 "
        "WHEN NOT MATCHED THEN INSERT VALUES (s.id, 0)": "MERGE 3",
        f"INSERT INTO parcels SELECT id, 0 FROM {source} ON CONFLICT (id) DO UPDATE SET weight = 5": "INSERT 0 3",
        f"INSERT INTO parcels SELECT id + 40, 0 FROM {source}": "INSERT 0 3",
        "DELETE FROM skipped WHERE id < 99": "DELETE 2",
    }
    for most, outcome in ((1, False), (3, True)):
        name = f"{agent}-{most}"
        with approving(parcels, name, most), parcels.connect(parcels.token(name), autocommit=True) as connection:
            for text, tag in kinds.items():
                if outcome:
                    assert form(connection, text).statusmessage == tag
                else:
                    with pytest.raises(psycopg.Error) as refused:
                        form(connection, text)
                    assert refused.value.sqlstate == BOUND, text
        assert len(left(parcels)) == (14 if outcome else 10)


def test_rows_that_are_loaded_are_counted(parcels: Stack) -> None:
    for most, before in ((2, 10), (3, 13)):
        agent = f"loads-{most}"
        with approving(parcels, agent, most), parcels.connect(parcels.token(agent), autocommit=True) as connection:
            try:
                with connection.cursor().copy("COPY parcels (id, weight) FROM STDIN") as copy:
                    for number in range(50, 53):
                        copy.write_row((number, 1))
                assert most == 3
            except psycopg.Error as refused:
                assert (refused.sqlstate, most) == (BOUND, 2)
            assert connection.execute("SELECT count(*) FROM parcels").fetchone() == (before,)


def test_a_prepared_change_is_counted_when_it_is_executed_by_name(parcels: Stack) -> None:
    agent = "by-name"
    form = Form("simple")
    with parcels.connect(parcels.token(agent), autocommit=True) as connection:
        with approving(parcels, agent, None):
            form(connection, "PREPARE p AS DELETE FROM parcels WHERE id > 2 AND id <= $1")
        with approving(parcels, agent, 3):
            assert form(connection, "EXECUTE p (5)").statusmessage == "DELETE 3"
            with pytest.raises(psycopg.Error) as refused:
                form(connection, "EXECUTE p (10)")
            assert refused.value.sqlstate == BOUND
    assert left(parcels) == [1, 2, 6, 7, 8, 9, 10]


def test_several_statements_in_one_text_are_counted_together(parcels: Stack) -> None:
    agent = "several"
    form = Form("simple")
    with approving(parcels, agent, 3), parcels.connect(parcels.token(agent), autocommit=True) as connection:
        form(connection, "DELETE FROM parcels WHERE id = 3; SELECT 1; UPDATE parcels SET weight = 1 WHERE id IN (4, 5)")
        with pytest.raises(psycopg.Error) as refused:
            form(connection, "DELETE FROM parcels WHERE id = 6; UPDATE parcels SET weight = 1 WHERE id IN (7, 8, 9)")
        assert refused.value.sqlstate == BOUND
        with pytest.raises(psycopg.Error) as refused:
            form(connection, "DELETE FROM parcels WHERE id = 7; COMMIT; DELETE FROM parcels WHERE id = 8")
        assert refused.value.sqlstate == BOUND
    assert left(parcels) == [1, 2, 4, 5, 6, 7, 8, 9, 10]


def test_what_nobody_counts_is_not_approved_for_a_number(parcels: Stack) -> None:
    agent = "hidden"
    text = b"WITH gone AS (DELETE FROM parcels WHERE id = 10 RETURNING id) SELECT count(*) FROM gone"
    with parcels.connect(parcels.token(agent), autocommit=True) as connection:
        with approving(parcels, agent, 3) as refused, pytest.raises(psycopg.Error):
            connection.execute(text)
        assert len(refused) == 1 and "nobody is told how many rows" in refused[0]
        assert left(parcels) == list(range(1, 11))
        with (
            parcels.connect(parcels.token(f"{agent}-2"), autocommit=True) as other,
            approving(parcels, f"{agent}-2", None),
        ):
            assert other.execute(text).fetchone() == (1,)
    assert left(parcels) == list(range(1, 10))


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_cancel_meanwhile_undoes_it_and_the_connection_goes_on(parcels: Stack, form: Form) -> None:
    agent = f"cancelled-{form.name}"
    outcome: list[str] = []
    with (
        approving(parcels, agent, 30),
        parcels.connect(parcels.token(agent), autocommit=True) as connection,
        psycopg.connect(parcels.superuser()) as other,
    ):
        other.execute("SELECT FROM parcels WHERE id = 7 FOR UPDATE")

        def work() -> None:
            try:
                form(connection, "DELETE FROM parcels WHERE id > 2")
            except psycopg.Error as fault:
                outcome.append(fault.sqlstate or "lost")

        working = threading.Thread(target=work)
        working.start()
        awaits_lock(parcels)
        connection.cancel_safe(timeout=10)
        working.join(20)
        other.rollback()
        assert outcome == ["57014"]
        assert connection.info.transaction_status.name == "IDLE"
        assert form(connection, "SELECT count(*) FROM parcels").fetchone() == (10,)


def test_a_client_that_leaves_meanwhile_has_changed_nothing(parcels: Stack) -> None:
    with (
        approving(parcels, "leaves", 30),
        psycopg.connect(parcels.superuser()) as other,
        Client(parcels) as client,
    ):
        other.execute("SELECT FROM parcels WHERE id = 7 FOR UPDATE")
        client.log_in(parcels.token("leaves"))
        client.send(query("DELETE FROM parcels WHERE id > 2"))
        awaits_lock(parcels)
        client.sock.close()
        deadline = time.monotonic() + 30
        while awaiting(parcels):
            assert time.monotonic() < deadline, "the gateway tells the database that nobody waits any more"
            time.sleep(LOOK_SECONDS)
        other.rollback()
    assert left(parcels) == list(range(1, 11))


def awaiting(stack: Stack) -> int:
    return int(stack.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def awaits_lock(stack: Stack) -> None:
    deadline = time.monotonic() + 30
    while not awaiting(stack):
        assert time.monotonic() < deadline
        time.sleep(LOOK_SECONDS)


def test_the_command_line_gives_the_number(parcels: Stack) -> None:
    outcome: list[str] = []

    def work() -> None:
        with parcels.connect(parcels.token("numbers"), autocommit=True) as connection:
            try:
                connection.execute("DELETE FROM parcels WHERE id > 2")
            except psycopg.Error as fault:
                outcome.append(fault.sqlstate or "lost")

    working = threading.Thread(target=work)
    working.start()
    decided = decide(parcels, awaited(parcels, "numbers").request.id, "approve", "--rows", "7")
    working.join(20)
    assert (decided["bound"], outcome) == (7, [BOUND])
    assert left(parcels) == list(range(1, 11))
