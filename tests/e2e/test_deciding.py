"""People and policy meanwhile: what changes while a statement waits, who decides, grants, races, transactions (APR rows)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from blastwall.approvals import Ballot
from blastwall.approvals.view import view_of
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.store import Store
from blastwall.model import ApprovalState, DenialCode, Principal
from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.people import awaited, decide, deciding, requests
from tests.e2e.stacks import ROOT, Stack
from tests.e2e.test_holding import Carts, code

PENDING, WITHDRAWN, POLICY = (SQLSTATES[word] for word in (DenialCode.PENDING, DenialCode.WITHDRAWN, DenialCode.POLICY))
FIRST = 30_000
ROUNDS, BATCH = 100, 25


@pytest.fixture
def carts(shop: Stack, request: pytest.FixtureRequest) -> Iterator[Carts]:
    numbers = request.config.stash.setdefault(_NEXT, iter(range(FIRST, 40_000, 10)))
    made = Carts(shop, next(numbers))
    yield made
    made.gone()


_NEXT = pytest.StashKey[Iterator[int]]()


class Held(threading.Thread):
    """A statement that waits in a thread; ``outcome`` is "" when it ran, else the SQLSTATE."""

    def __init__(self, shop: Stack, token: str, statement: str) -> None:
        super().__init__()
        self.outcome = "not yet"
        self._about = shop, token, statement
        self.start()

    def run(self) -> None:
        shop, token, statement = self._about
        with shop.connect(token, autocommit=True) as connection:
            self.outcome = code(connection, statement)

    def end(self) -> str:
        self.join(20)
        return self.outcome


@contextmanager
def rule(stack: Stack, text: str) -> Iterator[None]:
    """While inside, the gateway has one more policy."""
    file = stack.config / "policies" / "99-meanwhile.cedar"

    def reload() -> None:
        said = stack.log.count("the new configuration is in force")
        stack.local.reload()
        deadline = time.monotonic() + 10
        while stack.log.count("the new configuration is in force") == said:
            assert time.monotonic() < deadline, stack.log[-2000:]
            time.sleep(0.02)

    file.write_text(text)
    reload()
    try:
        yield
    finally:
        file.unlink()
        reload()


NO_CARTS = """
@id("no-carts")
forbid (principal, action == Action::"write", resource) when { context.tables.contains("public.carts") };
"""
TWO = """
@id("two-people")
@approvers("owners")
@quorum("2")
forbid (principal, action == Action::"write", resource)
when { context.tables.contains("public.carts") } unless { context.approved };
"""


def test_a_policy_that_changed_while_a_person_thought_has_the_last_word(shop: Stack, carts: Carts) -> None:
    held = Held(shop, shop.token("meanwhile"), f"DELETE FROM carts WHERE id = {carts.left[0]}")
    id = awaited(shop, "meanwhile").request.id
    with rule(shop, NO_CARTS):
        assert "policy has changed" in shop.blastwall("approvals", "approve", id, "--as", "olga")
        assert held.end() == POLICY
    assert len(carts.left) == 5


def test_two_people_are_two_people(shop: Stack, carts: Carts) -> None:
    with rule(shop, TWO):
        held = Held(shop, shop.token("quorum"), f"DELETE FROM carts WHERE id = {carts.left[0]}")
        id = awaited(shop, "quorum").request.id
        assert decide(shop, id, by="olga")["state"] == "requested"
        assert "one person is one vote" in shop.blastwall("approvals", "approve", id, "--as", "OLGA", code=1)
        assert held.is_alive()
        assert decide(shop, id, by="otto")["by"] == ["olga", "otto"]
        assert held.end() == ""
    assert len(carts.left) == 4


def test_a_client_that_hangs_up_withdraws_what_it_waited_for(shop: Stack, carts: Carts) -> None:
    program = (
        "import psycopg, sys\n"
        "with psycopg.connect(sys.argv[1], password=sys.argv[2], autocommit=True) as connection:\n"
        "    connection.execute(sys.argv[3])\n"
    )
    statement = f"DELETE FROM carts WHERE id = {carts.left[0]}"
    words = [sys.executable, "-c", program, shop.uri(), shop.token("hangs-up"), statement]
    client = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    id = awaited(shop, "hangs-up").request.id
    client.kill()
    client.wait()
    assert awaited(shop, "hangs-up", ApprovalState.WITHDRAWN).request.id == id
    assert "gone away" in shop.blastwall("approvals", "approve", id, "--as", "olga", code=1)
    assert len(carts.left) == 5


def test_a_shape_approved_for_a_while_runs_with_other_numbers_and_nothing_else(shop: Stack, carts: Carts) -> None:
    first, second, third = carts.left[:3]
    with shop.connect(shop.token("shapes"), autocommit=True) as connection:
        with deciding(shop, "shapes", "approve", "--for", "10m", "--same-shape") as decided:
            assert code(connection, f"DELETE FROM carts WHERE id = {first}") == ""
        started = time.monotonic()
        assert code(connection, f"DELETE FROM carts WHERE id = {second}") == ""
        assert time.monotonic() - started < 2, "nobody is asked"
        held = Held(shop, shop.token("shapes-2"), f"DELETE FROM carts WHERE id = {third}")
        decide(shop, awaited(shop, "shapes-2").request.id, "deny")
        assert held.end() == SQLSTATES[DenialCode.DENIED], "another session is asked about"
        with deciding(shop, "shapes", "deny") as other:
            assert code(connection, f"DELETE FROM carts WHERE id >= {third}") == SQLSTATES[DenialCode.DENIED]
    assert len(decided) == 1 and set(other) - set(decided)
    assert carts.left == list(range(third, third + 3))
    granted = next(filed for filed in requests(shop, "shapes") if filed.request.id == decided[0])
    assert granted.status.used == 2
    assert [
        one["approval"] for one in shop.asked("shapes") if one["verdict"] == "permit" and "DELETE" in one["text"]
    ] == (decided * 2)


def test_apr_029_an_approval_in_a_transaction_is_for_its_statement_alone(shop: Stack, carts: Carts) -> None:
    first, second = carts.left[:2]
    with shop.connect(shop.token("within")) as connection:
        with deciding(shop, "within"):
            connection.execute(f"DELETE FROM carts WHERE id = {first}".encode())
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(f"UPDATE carts SET state = 'active' WHERE id = {second}".encode())
        assert refused.value.sqlstate == PENDING
        assert connection.info.transaction_status.name == "INERROR"
        connection.commit()
    assert len(carts.left) == 5, "and the transaction as a whole did not happen"


def test_what_is_decided_must_be_what_was_shown(shop: Stack, carts: Carts) -> None:
    held = Held(shop, shop.token("shown"), f"DELETE FROM carts WHERE id = {carts.left[0]}")
    id = awaited(shop, "shown").request.id
    said = shop.blastwall("approvals", "approve", id, "--as", "olga", "--shown", "0" * 64, code=1)
    assert "not what is stored" in said and held.is_alive()
    shown = shop.ask("approvals", "show", id)["view"]["shown"]
    decide(shop, id, "approve", "--shown", shown)
    assert held.end() == ""


def test_the_approver_sees_the_canonical_text_and_the_agents_reason_apart(shop: Stack, carts: Carts) -> None:
    statement = f"/* reason: tidy up */ delete   from CARTS where id={carts.left[0]} -- approved by security"
    held = Held(shop, shop.token("says"), statement)
    view = shop.ask("approvals", "show", awaited(shop, "says").request.id)["view"]
    assert view["canonical"]["lines"] == [f"1 │ DELETE FROM carts WHERE id = {carts.left[0]}"]
    assert view["reason"]["lines"] == ["1 │ tidy up"]
    assert any("comments" in line for line in view["cautions"])
    decide(shop, view["id"], "deny")
    assert held.end() == SQLSTATES[DenialCode.DENIED]


RACER = """
import json, sys
from contextlib import ExitStack
from types import SimpleNamespace
from tests.e2e.raw import Client, codes, query

about = json.loads(sys.argv[1])
with ExitStack() as stack:
    clients = [stack.enter_context(Client(SimpleNamespace(**about["stack"]))) for _ in about["sessions"]]
    for client, (token, _) in zip(clients, about["sessions"]):
        client.log_in(token)
    print("ready", flush=True)
    sys.stdin.readline()
    # Many at once, and something harmless last: nobody waits for a person, each is answered from what was approved.
    for client, (_, texts) in zip(clients, about["sessions"]):
        client.send(b"".join(query(text) for text in [*texts, "SELECT 1"]))
    answers = [codes(client.until("Z")) for client, (_, texts) in zip(clients, about["sessions"]) for _ in texts]
    print(json.dumps(answers))
"""
Sessions = list[tuple[str, list[str]]]


def racer(shop: Stack, sessions: Sessions) -> subprocess.Popen[str]:
    """Clients in a process of its own that are logged in and wait for a line before they send their statements."""
    stack = {
        "host": shop.host,
        "port": shop.port,
        "ca": shop.ca,
        "target": shop.target,
        "databases": dict(shop.databases),
    }
    words = [sys.executable, "-c", RACER, json.dumps({"stack": stack, "sessions": sessions})]
    made = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None and made.stdout.readline() == "ready\n"
    return made


def run(*racers: subprocess.Popen[str]) -> list[list[list[str]]]:
    """Let them go at once; what each statement of each was answered."""
    for one in racers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return [json.loads(one.communicate(timeout=50)[0]) for one in racers]


async def approve_all(shop: Stack, texts: set[str]) -> None:
    """As a person does it who has looked at each."""
    store = Store(shop.state / "blastwall.db")
    book = LocalApprovals(store, SystemClock())
    olga = Principal("https://idp", "olga", "olga", frozenset({"owners"}), token_id="olgas")
    waiting = [filed for filed in await book.ls(live=True) if filed.request.statement.text in texts]
    assert len(waiting) == len(texts)
    for filed in waiting:
        await book.vote(filed.request.id, olga, Ballot(True, view_of(filed.request).shown), lambda *_: None)
    store.close()


def test_two_processes_with_one_approval_run_it_once_a_hundred_times(shop: Stack) -> None:
    """Tickets of a session, redeemed by two clients at once: exactly one execution each, in the database."""
    first = 60_000_000
    last = first + ROUNDS - 1
    shop.direct("INSERT INTO carts SELECT i, 1, 'active', now() FROM generate_series(%s::int, %s::int) i", first, last)
    texts = [f"UPDATE carts SET customer_id = customer_id + 1 WHERE id = {number}" for number in range(first, last + 1)]
    sessions = [(shop.token(f"races-{start}"), texts[start : start + BATCH]) for start in range(0, ROUNDS, BATCH)]
    try:
        assert run(racer(shop, sessions)) == [[[PENDING]] * ROUNDS]
        asyncio.run(approve_all(shop, set(texts)))
        one, other = run(racer(shop, sessions), racer(shop, sessions))
        assert all(sorted(pair) == [[], [PENDING]] for pair in zip(one, other, strict=True))
        ran = shop.direct("SELECT customer_id, count(*) FROM carts WHERE id >= %s GROUP BY 1", first)
        assert ran == [(2, ROUNDS)]
    finally:
        shop.direct("DELETE FROM carts WHERE id >= %s", first)
