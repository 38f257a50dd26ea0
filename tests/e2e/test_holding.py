"""Statements that wait for a person: approved, denied, too late, withdrawn; each exactly once."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from blastwall.model import ApprovalState, DenialCode
from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.people import awaited, decide, deciding, requests
from tests.e2e.raw import FLUSH, SYNC, Client, codes, kinds, query, run
from tests.e2e.stacks import Stack

PENDING, DENIED, WITHDRAWN = (SQLSTATES[code] for code in (DenialCode.PENDING, DenialCode.DENIED, DenialCode.WITHDRAWN))
FORMS = [psycopg.Cursor, psycopg.ClientCursor]


class Carts:
    """Rows of their own for a test, seen past the gateway."""

    def __init__(self, shop: Stack, first: int, count: int = 5) -> None:
        self.shop = shop
        self.range = (first, first + count - 1)
        shop.direct(
            "INSERT INTO carts SELECT i, 1, 'active', now() FROM generate_series(%s::int, %s::int) AS i", *self.range
        )

    @property
    def left(self) -> list[int]:
        return [
            row[0]
            for row in self.shop.direct("SELECT id FROM carts WHERE id BETWEEN %s AND %s ORDER BY 1", *self.range)
        ]

    def gone(self) -> None:
        self.shop.direct("DELETE FROM carts WHERE id BETWEEN %s AND %s", *self.range)


@pytest.fixture
def carts(shop: Stack, request: pytest.FixtureRequest) -> Any:
    numbers = request.config.stash.setdefault(_NEXT, iter(range(50_000, 90_000, 10)))
    carts = Carts(shop, next(numbers))
    yield carts
    carts.gone()


_NEXT = pytest.StashKey[Any]()


def code(connection: psycopg.Connection[Any], statement: str) -> str:
    """ "" when it ran, else the SQLSTATE."""
    try:
        connection.execute(statement.encode())
    except psycopg.Error as refused:
        return refused.sqlstate or "lost"
    return ""


@pytest.mark.parametrize("form", FORMS)
def test_a_bounded_delete_waits_and_runs_once_when_approved(
    shop: Stack, carts: Carts, form: type[psycopg.Cursor[Any]]
) -> None:
    agent = f"deletes-{form.__name__}"
    first = carts.left[0]
    heard: list[str] = []
    with (
        deciding(shop, agent, "approve", "--note", "fine") as decided,
        shop.connect(shop.token(agent), autocommit=True) as connection,
    ):
        connection.add_notice_handler(lambda notice: heard.append(f"{notice.message_primary} {notice.message_detail}"))
        done = form(connection).execute("DELETE FROM carts WHERE id = %s", (first,))
        assert done.statusmessage == "DELETE 1"
    assert len(decided) == 1
    assert heard[0].startswith(f"blastwall: held for approval {decided[0]} by owners, for up to 60 s")
    assert f"blastwall approvals approve {decided[0]}" in heard[0]
    assert carts.left == list(range(first + 1, first + 5))
    (filed,) = requests(shop, agent)
    assert filed.status.state is ApprovalState.REDEEMED and filed.status.by == ("olga",)
    assert filed.request.statement.text.startswith("DELETE FROM carts WHERE id = ")
    happened = {item["name"]: item["fields"] for item in shop.recorded(agent) if item["type"] == "happened"}
    assert happened["approval_decided"]["by"] == ["olga"] and happened["approval_decided"]["note"] == "fine"
    assert happened["approval_redeemed"]["approval"] == decided[0]


def test_an_unbounded_delete_is_not_even_asked_about(shop: Stack) -> None:
    with shop.connect(shop.token("unbounded"), autocommit=True) as connection:
        for statement in (
            "DELETE FROM carts",
            "DELETE FROM carts WHERE true",
            "UPDATE carts SET state = 'active' WHERE 1 = 1",
        ):
            assert code(connection, statement) == "42501"
    assert requests(shop, "unbounded") == []
    assert shop.value("SELECT count(*) FROM carts WHERE id <= 480") == 480


def test_what_a_person_denies_does_not_run_now_or_when_repeated(shop: Stack, carts: Carts) -> None:
    statement = f"DELETE FROM carts WHERE id = {carts.left[0]}"
    with shop.connect(shop.token("denied"), autocommit=True) as connection:
        with deciding(shop, "denied", "deny", "--note", "ask Ben first"), pytest.raises(psycopg.Error) as refused:
            connection.execute(statement.encode())
        assert refused.value.sqlstate == DENIED
        assert refused.value.diag.message_detail == "olga refused it: ask Ben first"
        started = time.monotonic()
        assert code(connection, statement) == DENIED
        assert time.monotonic() - started < 5, "nobody is asked twice"
    assert len(requests(shop, "denied")) == 1
    assert len(carts.left) == 5


def test_a_hold_that_ends_leaves_a_ticket_that_is_good_for_the_identical_statement_once(
    shop: Stack, variants: Stack, carts: Carts
) -> None:
    statement = f"UPDATE carts SET customer_id = customer_id + 1 WHERE id = {carts.left[0]}"
    token = variants.token("late")
    with variants.connect(token, autocommit=True) as connection:
        started = time.monotonic()
        with pytest.raises(psycopg.Error) as pending:
            connection.execute(statement.encode())
        assert 0.9 < time.monotonic() - started < 5
        assert pending.value.sqlstate == PENDING
        (filed,) = requests(variants, "late")
        assert f"ticket {filed.request.id}" in (pending.value.diag.message_primary or "")
        assert "identical statement" in (pending.value.diag.message_hint or "")
        decide(variants, filed.request.id)
        assert code(connection, statement + " ") == PENDING, "one byte more is another statement"
        assert code(connection, statement) == ""
        assert code(connection, statement) == PENDING, "once"
    assert shop.value("SELECT customer_id FROM carts WHERE id = %s", carts.left[0]) == 2


def test_a_ticket_belongs_to_the_session_not_to_the_connection(shop: Stack, variants: Stack, carts: Carts) -> None:
    statement = f"DELETE FROM carts WHERE id = {carts.left[0]}"
    token = variants.token("moves")
    with variants.connect(token, autocommit=True) as connection:
        assert code(connection, statement) == PENDING
    decide(variants, requests(variants, "moves")[0].request.id)
    with variants.connect(variants.token("other"), autocommit=True) as other:
        assert code(other, statement) == PENDING, "another agent's approval is not mine"
    with variants.connect(variants.token("moves"), autocommit=True) as other:
        assert code(other, statement) == PENDING, "another token is another session"
    with variants.connect(token, autocommit=True) as connection:
        assert code(connection, statement) == ""
    assert len(carts.left) == 4


def test_an_approval_is_used_by_one_of_two_connections(shop: Stack, carts: Carts) -> None:
    statement = f"UPDATE carts SET customer_id = customer_id + 1 WHERE id = {carts.left[0]}"
    token = shop.token("twice")
    results: list[str] = []

    def wait() -> None:
        with shop.connect(token, autocommit=True) as connection:
            results.append(code(connection, statement))

    waiting = [threading.Thread(target=wait) for _ in range(2)]
    for one in waiting:
        one.start()
    filed = awaited(shop, "twice")
    deadline = time.monotonic() + 10
    while len(shop.session("twice")["connections"]) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)  # both wait by now; if the second came late it asks anew, and the count below still holds
    decide(shop, filed.request.id)
    for one in waiting:
        one.join(0.5)
    for filed in requests(shop, "twice"):
        if filed.status.state is ApprovalState.REQUESTED:
            decide(shop, filed.request.id, "deny")
    for one in waiting:
        one.join()
    assert sorted(results)[0] == "" and sorted(results)[1] in (PENDING, DENIED)
    assert shop.value("SELECT customer_id FROM carts WHERE id = %s", carts.left[0]) == 2


def test_a_cancel_request_withdraws_what_waits_and_the_connection_goes_on(shop: Stack, carts: Carts) -> None:
    with shop.connect(shop.token("cancels"), autocommit=True) as connection:
        outcome: list[str] = []
        statement = f"DELETE FROM carts WHERE id = {carts.left[0]}"
        held = threading.Thread(target=lambda: outcome.append(code(connection, statement)))
        held.start()
        filed = awaited(shop, "cancels")
        connection.cancel_safe(timeout=5)
        held.join(10)
        assert outcome == [WITHDRAWN]
        assert awaited(shop, "cancels", ApprovalState.WITHDRAWN).request.id == filed.request.id
        assert connection.execute("SELECT 1").fetchone() == (1,)
    shop.blastwall("approvals", "approve", filed.request.id, "--as", "olga", code=1)
    assert len(carts.left) == 5


def test_nobody_approves_for_themselves_or_without_the_right(shop: Stack, carts: Carts) -> None:
    statement = f"DELETE FROM carts WHERE id = {carts.left[0]}"
    with shop.connect(shop.token("serves", on_behalf_of="olga"), autocommit=True) as connection:
        outcome: list[str] = []
        held = threading.Thread(target=lambda: outcome.append(code(connection, statement)))
        held.start()
        id = awaited(shop, "serves").request.id
        for words in (("--as", "olga"), ("--as", "ina", "--group", "interns"), ("--as", "serves")):
            assert "refused: " in shop.blastwall("approvals", "approve", id, *words, code=1)
        assert held.is_alive()
        decide(shop, id, by="otto")
        held.join(10)
        assert outcome == [""]


def test_inside_a_transaction_only_the_first_write_waits(shop: Stack, carts: Carts) -> None:
    """Whoever holds locks does not wait for people: the second gets its ticket at once, and the transaction fails."""
    first, second = carts.left[:2]
    with shop.connect(shop.token("locks")) as connection:
        with deciding(shop, "locks") as decided:
            connection.execute("DELETE FROM carts WHERE id = %s", (first,))
            started = time.monotonic()
            with pytest.raises(psycopg.Error) as pending:
                connection.execute("DELETE FROM carts WHERE id = %s", (second,))
            assert pending.value.sqlstate == PENDING
            assert time.monotonic() - started < 1
        assert connection.info.transaction_status.name == "INERROR"
        connection.rollback()
    assert len(decided) in (1, 2)
    assert len(carts.left) == 5


def test_inside_an_open_batch_only_the_first_write_waits(shop: Stack, carts: Carts) -> None:
    """A flushed write holds its locks until Sync, though no transaction was begun by name."""
    first, second = carts.left[:2]
    with deciding(shop, "flushes"), Client(shop) as client:
        client.log_in(shop.token("flushes"))
        client.send(run(f"DELETE FROM carts WHERE id = {first}"), FLUSH)
        assert kinds(client.until("C")) == "12C"
        started = time.monotonic()
        assert codes(client.ask(run(f"DELETE FROM carts WHERE id = {second}"), SYNC)) == [PENDING]
        assert time.monotonic() - started < 1
    assert len(carts.left) == 5, "and with the refusal the batch is undone"


def test_an_approved_execute_is_for_the_text_that_was_prepared(variants: Stack, carts: Carts) -> None:
    id = carts.left[0]
    with variants.connect(variants.token("prepares"), autocommit=True) as connection:

        def prepare(text: str) -> None:
            """Naming a write needs a person, too."""
            assert code(connection, f"PREPARE p AS {text}") == PENDING
            decide(variants, requests(variants, "prepares")[-1].request.id)
            assert code(connection, f"PREPARE p AS {text}") == ""

        prepare(f"DELETE FROM carts WHERE id = {id}")
        assert code(connection, "EXECUTE p") == PENDING
        decide(variants, requests(variants, "prepares")[-1].request.id)
        connection.execute("DEALLOCATE p")
        prepare(f"DELETE FROM carts WHERE id BETWEEN {id} AND {id + 4}")
        assert code(connection, "EXECUTE p") == PENDING, "the same words, another meaning"
        assert len(carts.left) == 5
        connection.execute("DEALLOCATE p")
        prepare(f"DELETE FROM carts WHERE id = {id}")
        assert code(connection, "EXECUTE p") == ""
    assert len(carts.left) == 4


@pytest.mark.parametrize("named", [False, True])
def test_an_approval_of_a_cursors_row_is_for_no_other_row(variants: Stack, carts: Carts, named: bool) -> None:
    """The text says nothing of the row: the cursor moves on, or is another, and the words stay the same."""
    agent, delete = f"cursors-{named}", "DELETE FROM carts WHERE CURRENT OF c"
    with variants.connect(variants.token(agent), autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("DECLARE c CURSOR FOR SELECT * FROM carts ORDER BY id")
        connection.execute("FETCH c")
        connection.execute("SAVEPOINT s")
        if named:
            assert code(connection, f"PREPARE p AS {delete}") == PENDING
            decide(variants, requests(variants, agent)[-1].request.id)
            connection.execute("ROLLBACK TO s")
            assert code(connection, f"PREPARE p AS {delete}") == ""
            connection.execute("SAVEPOINT s")
        words = "EXECUTE p" if named else delete
        assert code(connection, words) == PENDING
        decide(variants, requests(variants, agent)[-1].request.id)
        connection.execute("ROLLBACK TO s")
        connection.execute("FETCH c")
        assert code(connection, words) == PENDING
        connection.execute("ROLLBACK")
    assert len(carts.left) == 5


def test_an_approval_does_not_outlive_a_change_of_what_it_is_about(shop: Stack, variants: Stack, carts: Carts) -> None:
    statement = f"DELETE FROM carts WHERE id = {carts.left[0]}"
    token = variants.token("changes")
    with variants.connect(token, autocommit=True) as connection:
        assert code(connection, statement) == PENDING
    decide(variants, requests(variants, "changes")[0].request.id)
    shop.direct("ALTER TABLE carts ADD COLUMN remark text")
    try:
        with variants.connect(token, autocommit=True) as connection:
            assert code(connection, statement) == PENDING
        assert len(carts.left) == 5
    finally:
        shop.direct("ALTER TABLE carts DROP COLUMN remark")


def test_a_session_does_not_tire_its_approvers_out(variants: Stack) -> None:
    with Client(variants) as client:
        client.log_in(variants.token("asks"))
        client.send(b"".join(query(f"UPDATE carts SET state = state WHERE id = {number}") for number in range(40)))
        found = [code for _ in range(40) for code in codes(client.until("Z"))]
    assert found == [PENDING] * 32 + [SQLSTATES[DenialCode.BUDGET]] * 8
    assert len(requests(variants, "asks")) == 32


def test_a_held_statement_and_its_answer_are_in_the_record(shop: Stack, carts: Carts) -> None:
    statement = f"DELETE FROM carts WHERE id = {carts.left[0]}"
    with deciding(shop, "recorded"), shop.connect(shop.token("recorded"), autocommit=True) as connection:
        connection.execute(statement.encode())
    names = [item.get("name") or item["type"] for item in shop.recorded("recorded")]
    order = [names.index(name) for name in ("approval_requested", "approval_decided", "approval_redeemed")]
    assert order == sorted(order)
    asked = [item for item in shop.asked("recorded") if item["text"] == statement]
    assert [item["verdict"] for item in asked] == ["permit"] and asked[0]["approval"]
