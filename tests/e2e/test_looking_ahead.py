"""What a statement would do is found out before it runs: people see it, rules go by it, agents are not told."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import asyncpg
import psycopg
import pytest

from blastwall.model import DenialCode
from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.conftest import Start
from tests.e2e.people import awaited, decide, requests
from tests.e2e.stacks import ROOT, Stack

PENDING, BOUND = SQLSTATES[DenialCode.PENDING], SQLSTATES[DenialCode.BOUND]
TRUSTED = ("agents", "trusted-agents")


@pytest.fixture(scope="module")
def shop(start: Start) -> Stack:
    """The shipped configuration, with its masks, and with time: the machine may have a lot to do."""

    def patient(document: dict[str, Any]) -> None:
        document["targets"]["shop"]["options"]["look_ahead_ms"] = 4000

    return start("looking", ROOT / "config", "shop", patient)


@pytest.fixture(scope="module")
def carts(shop: Stack) -> Iterator[range]:
    """Carts that no other test knows: 300 of one customer's."""
    numbers = range(400_000, 400_300)
    shop.direct(
        "INSERT INTO carts SELECT i, 1, 'active', now() FROM generate_series(%s::int, %s::int) AS i",
        numbers.start,
        numbers.stop - 1,
    )
    yield numbers
    shop.direct("DELETE FROM carts WHERE id BETWEEN %s AND %s", numbers.start, numbers.stop - 1)


def left(shop: Stack, carts: range) -> int:
    return int(shop.value("SELECT count(*) FROM carts WHERE id BETWEEN %s AND %s", carts.start, carts.stop - 1))


def code(connection: psycopg.Connection[Any], text: str, *values: object) -> str:
    """ "" when it ran, else the SQLSTATE."""
    try:
        connection.execute(text.encode(), values or None)
    except psycopg.Error as refused:
        return refused.sqlstate or "lost"
    return ""


def looks(shop: Stack, agent: str) -> list[dict[str, Any]]:
    """What the agent's recordings hold of looking ahead."""
    return [each["fields"] for each in shop.recorded(agent) if each.get("name") == "looked_ahead"]


def test_whoever_decides_sees_how_many_rows_and_the_agent_does_not(shop: Stack, carts: range) -> None:
    agent, heard = "looks-1", list[str]()
    with shop.connect(shop.token(agent), autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: heard.append(f"{notice.message_primary} {notice.message_detail}"))
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        text = f"DELETE FROM carts WHERE id BETWEEN {carts.start} AND {carts.start + 6}"
        found = asyncio.run(_asked(shop, agent, connection, text))
    blast = found.request.blast
    assert blast is not None
    assert (blast["known"], blast["rows"], blast["rows_exact"], blast["cascaded_rows"]) == (True, 7, True, 0)
    assert blast["locks"][0]["table"] == "public.carts"
    shown = shop.blastwall("approvals", "show", found.request.id)
    assert "delete of exactly 7 rows of public.carts" in shown
    assert json.dumps(shop.ask("approvals", "show", found.request.id)).count("exactly 7 rows")
    assert not any("7 rows" in each or "exactly" in each for each in heard), heard
    (look,) = looks(shop, agent)
    assert look["blast"] == blast
    assert len(look["questions"]) == 2 and "blastwall_start" in look["questions"][1]
    assert left(shop, carts) == len(carts), "looking is all that was done"


async def _asked(shop: Stack, agent: str, connection: psycopg.Connection[Any], text: str) -> Any:
    """The request that a statement makes; it is denied, so that nobody waits."""
    work = asyncio.create_task(asyncio.to_thread(code, connection, text))
    filed = await asyncio.to_thread(awaited, shop, agent)
    await asyncio.to_thread(decide, shop, filed.request.id, "deny")
    assert await work == SQLSTATES[DenialCode.DENIED]
    return filed


def test_execute_is_judged_by_what_it_runs_and_that_is_shown(shop: Stack, carts: range) -> None:
    agent = "looks-execute"
    with shop.connect(shop.token(agent, TRUSTED), autocommit=True) as connection:
        connection.execute(
            "PREPARE old (int) AS UPDATE carts SET updated_at = updated_at WHERE id BETWEEN 400000 AND $1"
        )
        assert psycopg.ClientCursor(connection).execute("EXECUTE old (400003)").statusmessage == "UPDATE 4"
        assert requests(shop, agent) == [], "four rows are few"
        found = asyncio.run(_asked(shop, agent, connection, "EXECUTE old (400200)"))
    blast = found.request.blast
    assert blast is not None and (blast["known"], blast["rows"]) == (True, 201)
    shown = shop.blastwall("approvals", "show", found.request.id)
    assert "It runs what was prepared: UPDATE carts SET updated_at" in shown
    (small, large) = [look["blast"]["rows"] for look in looks(shop, agent)]
    assert (small, large) == (4, 201)


def test_small_writes_of_trusted_agents_run_and_larger_ones_wait(shop: Stack, carts: range) -> None:
    agent = "looks-2"
    with shop.connect(shop.token(agent, TRUSTED)) as connection:
        connection.autocommit = True
        for form in (psycopg.ClientCursor, psycopg.Cursor):
            before = left(shop, carts)
            done = form(connection).execute("DELETE FROM carts WHERE id >= %s AND id < %s",
                                            (carts.stop - len(carts) + before - 10, carts.stop))  # fmt: skip
            assert done.rowcount == before - left(shop, carts)
        assert requests(shop, agent) == []
        text = f"DELETE FROM carts WHERE id BETWEEN {carts.start} AND {carts.stop}"
        held = asyncio.run(_asked(shop, agent, connection, text))
        assert held.request.blast["rows"] == left(shop, carts) > 100
    assert all(each["blast"]["known"] and each["seconds"] < 5 for each in looks(shop, agent))


def test_asyncpgs_binary_values_are_counted_with(shop: Stack, carts: range) -> None:
    agent = "looks-3"

    async def work() -> str:
        context = ssl.create_default_context(cafile=shop.ca)
        place = {"host": shop.host, "port": shop.port, "user": shop.target, "database": "shop"}
        connection = await asyncpg.connect(**place, password=shop.token(agent, TRUSTED), ssl=context)
        try:
            return str(
                await connection.execute("DELETE FROM carts WHERE id = ANY($1::int[])", [carts.start, carts.start + 1])
            )
        finally:
            await connection.close()

    assert asyncio.run(work()) == "DELETE 2"
    (look,) = looks(shop, agent)
    assert look["blast"]["rows"] == 2 and "ANY($1::int[])" in look["questions"][1]


def test_what_its_own_transaction_changed_is_unknown_and_waits(shop: Stack, carts: range) -> None:
    agent = "looks-4"
    with shop.connect(shop.token(agent, TRUSTED)) as connection:
        assert code(connection, "DELETE FROM carts WHERE id = %s", carts.start + 20) == ""
        assert code(connection, "DELETE FROM carts WHERE id = %s", carts.start + 21) == PENDING
        connection.rollback()
    first, second = looks(shop, agent)
    assert (first["blast"]["known"], second["blast"]["known"]) == (True, False)


def test_what_takes_too_long_to_count_waits_and_soon(shop: Stack, carts: range) -> None:
    agent = "looks-5"
    joined = " AND ".join(f"{one}.id <> {other}.id" for one, other in pairwise("abcdefg"))
    sources = ", ".join(f"orders {name}" for name in "abcdefg")
    slow = f"id = {carts.start + 30} AND (SELECT count(*) FROM {sources} WHERE {joined}) > 0"
    with shop.connect(shop.token(agent, TRUSTED), autocommit=True) as connection:
        asyncio.run(_asked(shop, agent, connection, f"DELETE FROM carts WHERE {slow}"))
    (look,) = looks(shop, agent)
    assert not look["blast"]["known"]
    assert any("too long" in reason for reason in look["blast"]["reasons"])
    assert look["seconds"] < 20, "four, on a machine that has nothing else to do"


def test_what_grew_between_the_look_and_the_run_is_taken_back(shop: Stack, carts: range) -> None:
    """Rows are counted under a lock that lets readers through; when the change gets its own, there are fifty more."""
    agent, first = "looks-6", carts.start + 40
    ended: list[str] = []
    with (
        psycopg.connect(shop.superuser()) as other,
        shop.connect(shop.token(agent, TRUSTED), autocommit=True) as connection,
    ):
        other.execute("LOCK TABLE carts IN EXCLUSIVE MODE")
        text = f"DELETE FROM carts WHERE state = 'abandoned' AND id >= {first} AND id < {carts.stop}"
        worker = threading.Thread(target=lambda: ended.append(code(connection, text)))
        other.execute("UPDATE carts SET state = 'abandoned' WHERE id BETWEEN %s AND %s", (first, first + 49))
        worker.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM carts WHERE state%'"
        deadline = time.monotonic() + 30
        while not ended and not shop.value(waiting):
            assert time.monotonic() < deadline
        other.commit()
        worker.join()
    assert ended == [BOUND]
    kept = shop.value("SELECT count(*) FROM carts WHERE id BETWEEN %s AND %s", first, first + 49)
    assert kept == 50, "nothing of it is left"
    assert [each["blast"]["rows"] for each in looks(shop, agent)] == [0]


def test_rules_see_nothing_of_a_number_that_would_tell_of_a_masked_value(shop: Stack, carts: range) -> None:
    agent = "looks-7"
    text = (
        "UPDATE carts SET state = 'abandoned' FROM customers AS c WHERE c.id = carts.customer_id "
        f"AND c.email = 'customer1@example.test' AND carts.id BETWEEN {carts.start + 100} AND {carts.start + 104}"
    )
    with shop.connect(shop.token(agent, TRUSTED), autocommit=True) as connection:
        held = asyncio.run(_asked(shop, agent, connection, text))
    assert (held.request.blast["known"], held.request.blast["rows"]) == (True, 5)
    assert "public.customers.email" in held.request.facts.masked_columns
