"""Reading texts in a real session's surroundings: the catalogue follows the database, names and limits follow the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from blastwall.errors import ClientFault
from blastwall.model import Credential, Effect, Facts, Parameter, Permit, Secret, Statement, StatementKind
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import FAILED, Answers, Expected, Step
from blastwall.protocols.postgres.classify import Classifier
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.link import Route, open_link
from blastwall.protocols.postgres.names import Names, Prepared
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.reading import SessionReader
from blastwall.protocols.postgres.shelf import Shelf
from blastwall.wire.wire import Signal
from rig.postgres import EmbeddedPostgres
from tests.blastwall.protocols.postgres.playbook import deaf_wire

SCHEMA = """
CREATE TABLE things (id integer PRIMARY KEY, name text);
CREATE FUNCTION vouched(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
"""


class Desk:
    """A reader with its own connection, on which the test may also run what it likes."""

    def __init__(self, legs: Legs, shelf: Shelf, options: Options) -> None:
        self.legs = legs
        self.reader = SessionReader(legs, shelf, Classifier(), "t", "d", options)

    async def run(self, sql: str) -> None:
        """As a permitted statement would: with its effects."""
        statement = Statement(sql, number=1)
        text = self.reader.rewrite(statement)
        effects = self.reader.effects(sql, Permit(text), 1, self.reader.minted(1))
        self.legs.answers.expect(Expected(Step.QUERY, 1, effects))
        self.legs.up_wire.write(messages.query(text.encode()))
        async with asyncio.timeout(10):
            errors = [chunk.error async for chunk in self.legs.results(True) if chunk.error]
        assert errors == []
        if self.reader.stale:
            await self.reader.refresh()

    def effect(self, sql: str) -> Effect:
        return self.reader.classify(Statement(sql, number=1)).effect


async def desk(server: EmbeddedPostgres, database: str, shelf: Shelf, options: Options | None = None) -> Desk:
    signal = Signal(asyncio.get_running_loop())
    route = Route("127.0.0.1", server.port, "disable")
    who = Credential(server.superuser, Secret(server.password), "static")
    link = await open_link(route, {"database": database, "client_encoding": "UTF8"}, who, signal)
    legs = Legs(Downstream(), deaf_wire(signal), link.up, link.wire, signal, Answers(Names(), {}))
    made = Desk(legs, shelf, options or Options())
    await made.reader.refresh()
    return made


@pytest.fixture(scope="module")
def database(postgres17: EmbeddedPostgres, database17: str) -> str:
    postgres17.psql(SCHEMA, database=database17)
    return database17


@pytest.fixture
async def session(postgres17: EmbeddedPostgres, database: str) -> AsyncIterator[Desk]:
    made = await desk(postgres17, database, Shelf(), Options(allowed_functions=("public.vouched",)))
    yield made
    made.legs.up_wire.close()


async def test_what_the_database_holds_is_known_and_nothing_else(session: Desk) -> None:
    assert session.effect("SELECT name FROM things") is Effect.READ
    assert session.effect("SELECT name FROM nothings") is Effect.UNKNOWN
    assert session.effect("SELECT vouched(1)") is Effect.READ


@pytest.mark.parametrize(
    ("text", "few", "many", "refused"),
    [
        ("SELECT * FROM generate_series(1, $1)", b"10", b"1000000000", Effect.UNKNOWN),
        ("SELECT repeat('x', $1)", b"10", b"0x7fffffff", Effect.UNKNOWN),
        ("DELETE FROM things WHERE id IN (SELECT id FROM things LIMIT $1)", b"5", b"500000000", Effect.DESTROY),
        ("DELETE FROM things WHERE id IN (SELECT id FROM things LIMIT $1)", b"5", None, Effect.DESTROY),
        ("SELECT 1 FROM things a, things b, things c LIMIT $1", b"5", b"500000000", Effect.UNKNOWN),
    ],
)
async def test_what_a_parameter_asks_for_is_judged_when_it_is_bound(
    session: Desk, text: str, few: bytes, many: bytes | None, refused: Effect
) -> None:
    def judged(kind: StatementKind, *values: Parameter) -> Facts:
        return session.reader.classify(Statement(text, kind, values, number=1))

    named = judged(StatementKind.PREPARE).effect
    assert named in (Effect.READ, Effect.WRITE), "whoever names it may mean little"
    small = judged(StatementKind.EXECUTE, Parameter(few))
    assert small.effect is named
    assert judged(StatementKind.EXECUTE, Parameter(many)).effect is refused
    if many is not None:
        binary = int(many, 0).to_bytes(8, "big")
        assert judged(StatementKind.EXECUTE, Parameter(binary, True)).effect is refused
        assert judged(StatementKind.EXECUTE, Parameter(binary, True, 20)).effect is refused
    assert judged(StatementKind.EXECUTE, Parameter(few)) == small


async def test_the_same_amount_has_the_same_facts(session: Desk) -> None:
    text = "SELECT * FROM generate_series(1, $1)"
    bound = Statement(text, StatementKind.EXECUTE, (Parameter(b"10"),), number=1)
    assert session.reader.classify(bound) is session.reader.classify(bound), "decisions are found by their facts"


async def test_a_function_nobody_vouches_for_is_unknown(postgres17: EmbeddedPostgres, database: str) -> None:
    made = await desk(postgres17, database, Shelf())
    assert made.effect("SELECT vouched(1)") is Effect.UNKNOWN
    made.legs.up_wire.close()


async def test_ddl_through_the_gateway_is_seen_by_the_next_statement(session: Desk) -> None:
    before = session.reader.surroundings("SELECT 1")
    assert session.effect("SELECT id FROM made_later WHERE id = 1") is Effect.UNKNOWN
    await session.run("CREATE TABLE made_later (id integer)")
    assert session.effect("SELECT id FROM made_later WHERE id = 1") is Effect.READ
    assert session.effect("SELECT id FROM made_later WHERE id = 2") is Effect.READ
    assert session.reader.surroundings("SELECT 1") != before, "approvals given before belong to another catalogue"
    await session.run("DROP TABLE made_later")
    assert session.effect("SELECT id FROM made_later WHERE id = 3") is Effect.UNKNOWN


async def test_uncommitted_ddl_is_this_sessions_own(postgres17: EmbeddedPostgres, database: str) -> None:
    shelf = Shelf()
    mine, other = await desk(postgres17, database, shelf), await desk(postgres17, database, shelf)
    mine.reader.look_seconds = other.reader.look_seconds = 0.0
    await mine.run("BEGIN")
    await mine.run("CREATE TABLE half_done (id integer)")
    assert mine.effect("SELECT id FROM half_done") is Effect.READ
    assert other.reader.stale
    await other.reader.refresh()
    assert other.effect("SELECT id FROM half_done") is Effect.UNKNOWN
    await mine.run("ROLLBACK")
    assert mine.effect("SELECT id FROM half_done") is Effect.UNKNOWN
    for one in (mine, other):
        one.legs.up_wire.close()


async def test_what_a_failed_transaction_changed_is_read_when_it_is_over(session: Desk) -> None:
    await session.run("BEGIN")
    answers = session.legs.answers
    effects = session.reader.effects("CREATE TABLE of_none (id integer)", Permit(""), 2, {})
    answers.expect(Expected(Step.QUERY, 2, effects))
    session.legs.up_wire.write(messages.query(b"CREATE TABLE of_none (id integer); SELECT 1 / 0"))
    async with asyncio.timeout(10):
        assert [chunk.error async for chunk in session.legs.results(True) if chunk.error] == ["22012"]
    assert answers.status == FAILED
    assert not session.reader.stale, "nothing can be asked now: who waits for it to be read waits for ever"
    answers.expect(Expected(Step.QUERY, 3))
    session.legs.up_wire.write(messages.query(b"ROLLBACK"))
    async with asyncio.timeout(10):
        async for _ in session.legs.results(True):
            pass
    assert session.reader.stale
    await session.reader.refresh()
    assert not session.reader.stale
    assert session.effect("SELECT id FROM of_none WHERE id = 1") is Effect.UNKNOWN


async def test_what_others_do_to_the_database_is_noticed(
    postgres17: EmbeddedPostgres, database: str, session: Desk
) -> None:
    assert session.effect("SELECT lower(name::varchar) FROM things") is Effect.READ
    assert not session.reader.stale, "not every statement is worth a question"
    session.reader.look_seconds = 0.0
    for statement, effect in (
        ("CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1::text'", Effect.UNKNOWN),
        ("DROP FUNCTION public.lower(varchar)", Effect.READ),
        ("ALTER TABLE things RENAME TO others", Effect.UNKNOWN),
        ("ALTER TABLE others RENAME TO things", Effect.READ),
    ):
        postgres17.psql(statement, database=database)
        await session.reader.refresh()
        assert session.effect("SELECT lower(name::varchar) FROM things") is effect, statement


async def test_one_session_asks_for_all_and_none_inside_a_transaction(
    postgres17: EmbeddedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    sessions = [await desk(postgres17, database, shelf) for _ in range(4)]
    asked: list[str] = []

    async def counted(desk: Desk) -> None:
        ask = desk.legs.ask

        async def asking(sql: str) -> list[tuple[bytes | None, ...]]:
            asked.append(sql)
            return await ask(sql)

        monkeypatch.setattr(desk.legs, "ask", asking)

    for one in sessions:
        await counted(one)
        one.reader._looked_at = float("-inf")  # as if a second had passed
    shelf.looked.clear()
    await sessions[0].run("BEGIN")
    assert not sessions[0].reader.stale, "nothing may come before the client's own SET TRANSACTION"
    for one in sessions[1:]:
        assert one.reader.stale
        await one.reader.refresh()
        assert not one.reader.stale
    assert len(asked) == 1
    for one in sessions:
        one.legs.up_wire.close()


async def test_sessions_share_a_catalogue_that_did_not_change(postgres17: EmbeddedPostgres, database: str) -> None:
    shelf = Shelf()
    first = await desk(postgres17, database, shelf)
    kept = list(shelf.system.items())
    second = await desk(postgres17, database, shelf)
    assert list(shelf.system.items()) == kept
    assert first.reader.find("SELECT 1").facts == second.reader.find("SELECT 1").facts
    assert first.reader.surroundings("SELECT 1") == second.reader.surroundings("SELECT 1")
    for one in (first, second):
        one.legs.up_wire.close()


async def test_sql_names_go_upstream_under_names_of_our_own(session: Desk) -> None:
    await session.run("PREPARE mine (integer) AS SELECT name FROM things WHERE id = $1")
    text = session.reader.rewrite(Statement("EXECUTE mine(1)", number=2))
    assert "mine" not in text
    assert session.legs.answers.names.prepared["mine"].upstream in text
    assert session.effect("EXECUTE mine(1)") is Effect.READ
    await session.run("EXECUTE mine(1)")
    await session.run("DEALLOCATE mine")
    assert session.effect("EXECUTE mine(1)") is Effect.UNKNOWN


async def test_a_name_is_not_defined_twice(session: Desk) -> None:
    await session.run("PREPARE twice AS SELECT 1")
    with pytest.raises(ClientFault, match="already exists"):
        session.reader.rewrite(Statement("PREPARE twice AS SELECT 2", number=2))


async def test_resets_empty_the_map_as_the_server_does(session: Desk) -> None:
    await session.run("PREPARE one AS SELECT 1")
    await session.run("DISCARD ALL")
    assert not session.legs.answers.names.prepared
    await session.run("PREPARE one AS SELECT 1")
    await session.run("DEALLOCATE ALL")
    assert session.effect("EXECUTE one") is Effect.UNKNOWN


async def test_an_approval_of_execute_is_bound_to_the_text_behind_the_name(session: Desk) -> None:
    names = session.legs.answers.names
    facts = session.reader.find("SELECT 1").facts
    names.prepare(Prepared("s", "blastwall_9", "SELECT 1", facts))
    one = session.reader.surroundings("EXECUTE s")
    names.prepare(Prepared("s", "blastwall_10", "SELECT 2", facts))
    assert session.reader.surroundings("EXECUTE s") != one
    names.prepare(Prepared("s", "blastwall_11", "SELECT 1", facts, (18,)))
    assert session.reader.surroundings("EXECUTE s") != one, "its values would be read as another type's"
    assert session.reader.surroundings("SELECT 1") == session.reader.surroundings("SELECT 2")


async def test_a_bound_statement_goes_up_as_it_was_prepared(session: Desk) -> None:
    facts = session.reader.find("SELECT 1").facts
    session.reader.bound(5, Prepared("", "", "PREPARE x AS SELECT 1", facts, (), "PREPARE blastwall_1 AS SELECT 1"))
    text = session.reader.rewrite(Statement("PREPARE x AS SELECT 1", number=5))
    assert text == "PREPARE blastwall_1 AS SELECT 1"


async def test_bytes_that_are_no_text_are_unknown_whatever_they_look_like(session: Desk) -> None:
    session.reader.spoil(3, "not UTF-8")
    assert session.reader.classify(Statement("SELECT 1", number=3)).effect is Effect.UNKNOWN
    assert session.reader.classify(Statement("SELECT 1", number=4)).effect is Effect.READ


async def test_timeouts_go_down_but_not_up(session: Desk) -> None:
    assert session.effect("SET statement_timeout = '5s'") is Effect.SESSION
    assert session.effect("SET statement_timeout = '5min'") is Effect.ADMINISTER


async def test_a_long_text_is_read_beside_the_loop_and_remembered(session: Desk) -> None:
    text = "SELECT " + " || ".join(["name"] * 500) + " FROM things"
    assert session.reader.cold(text, (), ())
    await session.reader.warm(text, (), ())
    assert not session.reader.cold(text, (), ())
    assert session.effect(text) is Effect.READ
