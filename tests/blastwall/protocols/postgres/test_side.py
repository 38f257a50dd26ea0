"""The second connection: it only reads, it ends in time, it is its session's twin, and it keeps no secret for longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from blastwall.blast import Blast
from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Parameter, Secret, Target
from blastwall.protocols.postgres.console import Console
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.side import Side, blanked
from blastwall.protocols.postgres.snapshot import take
from blastwall.sql.blast import Situation
from blastwall.sql.parser import parse
from blastwall.sql.surroundings import Surroundings
from rig.postgres import EmbeddedPostgres

SCHEMA = """
CREATE TABLE things (id int PRIMARY KEY, at timestamptz);
INSERT INTO things SELECT g, '2026-01-01 00:30+00'::timestamptz + g * interval '1 hour' FROM generate_series(0, 47) AS g;
"""
PATH = ("public",)


class Pair:
    """A session's place, and its second connection."""

    def __init__(self, server: EmbeddedPostgres, database: str) -> None:
        options = Options.model_validate({"tls": {"mode": "disable"}, "look_ahead_ms": 10_000})
        self.target = Target("t", "postgres", "127.0.0.1", server.port, options=options)
        self.credential = Credential(server.superuser, Secret(server.password), "static")
        self.user = server.superuser
        with psycopg.connect(server.dsn(database), autocommit=True) as connection:
            catalogue = take(lambda sql: str(connection.execute(sql.encode()).fetchone()[0]))  # type: ignore[index]  # one row
        self.around = Surroundings(
            catalogue=catalogue, search_path=PATH, server_version=catalogue.server_version, database_user=self.user
        )
        self.parameters = {
            "database": database,
            "client_encoding": "UTF8",
            "application_name": "agent",
            "TimeZone": "UTC",
        }
        self.side = Side(self.target, self.credential, self.parameters)
        self.asked: list[str] = []

    async def see(
        self, text: str, *values: Parameter, user: str = "", path: tuple[str, ...] = PATH, zone: str = "UTC"
    ) -> Blast:
        situation = Situation(parse(text), self.around, values)
        found, self.asked = await self.side.foresee(situation, user or self.user, path, {"TimeZone": zone})
        return found


@pytest.fixture(scope="module")
def database(postgres17: EmbeddedPostgres, database17: str) -> str:
    postgres17.psql(SCHEMA, database=database17)
    return database17


@pytest.fixture
async def pair(postgres17: EmbeddedPostgres, database: str) -> AsyncIterator[Pair]:
    pair = Pair(postgres17, database)
    yield pair
    pair.side.close()


def others(server: EmbeddedPostgres, database: str) -> list[Any]:
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        return connection.execute(
            "SELECT application_name, state FROM pg_stat_activity WHERE application_name LIKE 'blastwall looks%%'"
        ).fetchall()


async def test_it_counts_and_what_it_asked_is_told(pair: Pair) -> None:
    blast = await pair.see("DELETE FROM things WHERE id < $1", Parameter(b"5", type_id=23))
    assert (blast.rows, blast.known) == (5, True)
    assert len(pair.asked) == 2 and "things" in pair.asked[1]


async def test_one_connection_serves_for_all_and_says_what_it_is(
    pair: Pair, postgres17: EmbeddedPostgres, database: str
) -> None:
    for _ in range(3):
        assert (await pair.see("DELETE FROM things")).rows == 48
    assert others(postgres17, database) == [("blastwall looks ahead for agent", "idle")]
    pair.side.close()


async def test_what_stands_in_quotes_is_recorded_with_the_statement_alone(pair: Pair) -> None:
    """There what is secret is taken out of it; here nobody would."""
    assert (await pair.see("DELETE FROM things WHERE id = 7 AND 'hunter''2' <> E'x\\'y'")).rows == 1
    assert pair.asked and not any("hunter" in each or "x\\" in each for each in pair.asked)
    assert any("id = 7" in each for each in pair.asked)
    assert blanked("a 'b''c' d 'e") == "a '?' d 'e"


async def test_a_failed_question_leaves_it_well(pair: Pair) -> None:
    failed = await pair.see("DELETE FROM things WHERE id = $1", Parameter(b"no number", type_id=23))
    assert not failed.known
    assert not any("no number" in reason for reason in failed.reasons), "the server's words may hold values"
    assert (await pair.see("DELETE FROM things WHERE id = $1", Parameter(b"7", type_id=23))).rows == 1


async def test_it_never_waits_for_a_lock_nor_takes_one(pair: Pair, postgres17: EmbeddedPostgres, database: str) -> None:
    with psycopg.connect(postgres17.dsn(database)) as other:
        other.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
        assert not (await pair.see("DELETE FROM things")).known
        blocked = await pair.see("DELETE FROM things")
        assert not blocked.known and any("holds a lock" in reason for reason in blocked.reasons)
        other.rollback()
        assert (await pair.see("DELETE FROM things")).known
        other.execute("SET lock_timeout = '2s'; LOCK TABLE things IN ACCESS EXCLUSIVE MODE")  # nothing is left behind


async def test_a_slow_count_is_over_in_time_and_estimated(pair: Pair) -> None:
    names = "abcdefg"
    joined = " AND ".join(f"{one}.id <> {other}.id" for one, other in pairwise(names))
    sources = ", ".join(f"things {name}" for name in names)
    slow = f"DELETE FROM things WHERE (SELECT count(*) FROM {sources} WHERE {joined}) > 0"
    pair.side._seconds = 5.0
    loop = asyncio.get_running_loop()
    begun = loop.time()
    blast = await pair.see(slow)
    assert loop.time() - begun < 30
    assert not blast.known and blast.tables[0].count == "an estimated"
    pair.side._seconds = 10.0
    assert (await pair.see("DELETE FROM things WHERE id = 1")).known


async def test_the_time_is_one_for_all_questions(pair: Pair) -> None:
    assert (await pair.see("DELETE FROM things")).known
    pair.side._seconds = 0.001
    over = await pair.see("DELETE FROM things")
    assert not over.known and any("time for looking ahead is over" in reason for reason in over.reasons)


async def test_settings_that_change_what_a_condition_means_are_the_sessions(pair: Pair) -> None:
    text = "DELETE FROM things WHERE at < '2026-01-01 12:00'"
    assert (await pair.see(text)).rows == 12
    assert (await pair.see(text, zone="Asia/Tokyo")).rows == 3
    assert (await pair.see(text)).rows == 12


async def test_under_another_role_or_path_it_says_nothing(pair: Pair) -> None:
    assert not (await pair.see("DELETE FROM things", user="somebody")).known
    assert not (await pair.see("DELETE FROM things", path=("other", "public"))).known


async def test_a_connection_that_breaks_is_opened_anew(pair: Pair, postgres17: EmbeddedPostgres, database: str) -> None:
    assert (await pair.see("DELETE FROM things")).known
    with psycopg.connect(postgres17.dsn(database), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'blastwall looks%%'"
        )
    seen = [await pair.see("DELETE FROM things") for _ in range(2)]
    assert seen[-1].known, "the first may have met the end of the old one"


async def test_the_credential_is_its_own_copy_and_gone_when_it_closes(pair: Pair) -> None:
    assert pair.credential.secret is not None
    pair.credential.secret.wipe()
    assert (await pair.see("DELETE FROM things")).known
    pair.side.close()
    pair.side.close()
    held = pair.side._credential.secret
    assert held is not None and held.wiped
    assert not (await pair.see("DELETE FROM things")).known


async def test_a_target_that_lets_nobody_in_makes_it_unknown(pair: Pair) -> None:
    wrong = Side(pair.target, replace(pair.credential, secret=Secret("wrong")), pair.parameters)
    found, asked = await wrong.foresee(Situation(parse("DELETE FROM things"), pair.around), pair.user, PATH, {})
    assert not found.known and asked == []
    wrong.close()


async def test_it_cannot_write(pair: Pair) -> None:
    console = await pair.side._open()
    with pytest.raises(UpstreamFault) as refused:
        await console.run("DELETE FROM things")
    assert refused.value.code == "25006"


async def test_a_session_that_ends_while_it_opens_leaves_no_connection(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Console] = []
    open_ = Console.open

    async def slow(*given: Any) -> Console:
        opened.append(await open_(*given))
        pair.side.close()
        return opened[0]

    monkeypatch.setattr(Console, "open", slow)
    found = await pair.see("DELETE FROM things")
    assert not found.known and "session has ended" in found.reasons[0]
    async with asyncio.timeout(30):
        while not opened[0].closed:  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.01)
