"""Logins that no lease knows, on a real server: the own ones go, nobody else's is touched."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from blastwall.conversation import Admin, RoleOrder
from blastwall.credentials import strays
from blastwall.credentials.logins import Logins, Reclaimed, RoleRules
from blastwall.credentials.marks import NOBODY, house_of, mark
from blastwall.credentials.strays import GRACE_SECONDS, Strays
from blastwall.local import processes
from blastwall.local.clock import SystemClock
from blastwall.local.leases import LocalLeases
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import Credential, Principal, Secret, Session, Target
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.roles import PostgresRoles
from rig.postgres import EmbeddedPostgres

DATABASE, HOUSE = "strays", house_of("here")


async def _login() -> Credential:
    return Credential("strays_admin", Secret("admin"), "static")


RULE = RoleRules("strays_profile", Admin("strays_admin", _login))


@pytest.fixture(scope="module")
def server(postgres17: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    postgres17.drop_database(DATABASE)
    postgres17.create_database(DATABASE)
    postgres17.psql(
        "CREATE ROLE strays_profile NOLOGIN; CREATE ROLE strays_other NOLOGIN;"
        "CREATE ROLE strays_admin LOGIN CREATEROLE PASSWORD 'admin';"
        "CREATE ROLE strays_admin2 LOGIN CREATEROLE PASSWORD 'admin';"
        "GRANT strays_profile TO strays_admin, strays_admin2 WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;"
        "GRANT strays_other TO strays_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
    )
    yield postgres17
    postgres17.drop_database(DATABASE)
    postgres17.psql("DROP ROLE strays_admin, strays_admin2, strays_profile, strays_other")


@dataclass
class World:
    store: Store
    file: Path
    sessions: LocalSessions
    logins: Logins
    strays: Strays
    target: Target
    server: EmbeddedPostgres
    clock: SystemClock

    async def session(self, token: str = "t-1") -> Session:
        now = self.clock.now()
        principal = Principal("iss", "bot", "bot", token_id=token, issued_at=now, expires_at=now + 600)
        return await self.sessions.open(principal, self.target)

    def forget(self, what: str) -> None:
        """The store is put back to a day before."""
        with sqlite3.connect(self.file) as db:
            db.execute(f"DELETE FROM {what}")

    def names(self) -> set[str]:
        return set(self.server.psql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'bw\\_%'").split())


@pytest.fixture
async def world(server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(strays, "GRACE_SECONDS", 0.0)
    clock, file = SystemClock(), tmp_path / "blastwall.db"
    store = Store(file)
    options = Options.model_validate({"databases": [DATABASE], "tls": {"mode": "disable"}})
    target = Target("shop", "postgres", "127.0.0.1", server.port, options=options)
    sessions, leases, roles = LocalSessions(store, clock), LocalLeases(store), {"postgres": PostgresRoles()}
    logins = Logins({"shop": [RULE]}, {"shop": target}, roles, leases, sessions, clock, processes.current(), HOUSE)
    lost = Strays(logins, leases, sessions, clock, HOUSE)
    yield World(store, file, sessions, logins, lost, target, server, clock)
    await logins.release()
    for name in server.psql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'bw\\_%'").split():
        server.psql(f"DROP OWNED BY {name}; DROP ROLE {name}")
    store.close()


async def test_a_login_whose_lease_and_session_were_lost_is_dropped_with_its_connections(world: World) -> None:
    session = await world.session()
    credential = await world.logins.vend(session, world.target, RULE)
    assert credential.secret is not None
    dsn = world.server.dsn(DATABASE, user=credential.user, password=credential.secret.reveal())
    connection = psycopg.connect(dsn, autocommit=True)
    for table in ("leases", "sessions"):
        world.forget(table)
    assert list(await world.logins.reclaim()) == [], "no lease says anything of it"
    (found,) = await world.strays.sweep()
    assert isinstance(found, Reclaimed) and found.revocation.verified and found.revocation.connections == 1
    assert found.session is not None and found.session.id == session.id
    assert world.names() == set()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    assert list(await world.strays.sweep()) == []


async def test_a_login_of_an_ended_session_whose_lease_was_lost_is_dropped_and_told_as_its(world: World) -> None:
    session = await world.session()
    await world.logins.vend(session, world.target, RULE)
    await world.sessions.kill(session.id, "enough", "carol")
    world.forget("leases")
    (found,) = await world.strays.sweep()
    assert found.session == session and found.revocation.verified and world.names() == set()


async def test_what_is_leased_or_lives_is_left_alone(world: World) -> None:
    leased, unleased = await world.session("t-1"), await world.session("t-2")
    await world.logins.vend(leased, world.target, RULE)
    await world.sessions.kill(leased.id, "enough", "carol")
    assert list(await world.strays.sweep()) == [], "its lease is open: whoever holds it ends it"
    await world.logins.reclaim()
    await world.logins.vend(unleased, world.target, RULE)
    world.forget("leases")
    assert list(await world.strays.sweep()) == [] and len(world.names()) == 1, "its session lives"


async def test_nobody_elses_login_is_touched(world: World) -> None:
    """By name alone each of these could be one of ours."""
    roles = PostgresRoles()
    now = world.clock.now()
    gone = Session("s-gone", Principal("i", "a", "a"), "shop", now, now)

    async def make(name: str, comment: str, profile: str = "strays_profile", admin: str = "strays_admin") -> None:
        async def login() -> Credential:
            return Credential(admin, Secret("admin"), "static")

        order = RoleOrder(name, profile, now + 600, 1, comment)
        await roles.create(world.target, Admin(admin, login), order, Secret("password"))

    await make("bw_other_house", mark(house_of("elsewhere"), gone, now))
    await make("bw_no_house", mark(NOBODY, gone, now))
    await make("bw_no_mark", "made by hand")
    await make("bw_other_profile", mark(HOUSE, gone, now), profile="strays_other")
    await make("bw_other_admin", mark(HOUSE, gone, now), admin="strays_admin2")
    world.server.psql(
        f"CREATE ROLE bw_by_hand LOGIN IN ROLE strays_profile; COMMENT ON ROLE bw_by_hand IS '{mark(HOUSE, gone, now)}'"
    )
    before = world.names()
    assert len(before) == 6
    assert list(await world.strays.sweep()) == [] and world.names() == before
    await make("bw_ours", mark(HOUSE, gone, now))
    assert [found.lease.id for found in await world.strays.sweep()] == ["bw_ours"]
    assert world.names() == before
    await roles.close()


async def test_a_fresh_login_has_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await world.session()
    await world.logins.vend(session, world.target, RULE)
    for table in ("leases", "sessions"):
        world.forget(table)
    monkeypatch.setattr(strays, "GRACE_SECONDS", GRACE_SECONDS)
    assert list(await world.strays.sweep()) == [] and len(world.names()) == 1


async def test_a_target_that_is_away_holds_up_nothing(world: World) -> None:
    away = Target("away", "postgres", "127.0.0.1", 1, options=world.target.options)
    session = await world.session()
    await world.logins.vend(session, world.target, RULE)
    for table in ("leases", "sessions"):
        world.forget(table)
    world.logins.adopt({"away": [RULE], "shop": [RULE]}, {"away": away, "shop": world.target}, {})
    assert [found.revocation.verified for found in await world.strays.sweep()] == [True]


async def test_a_target_that_makes_no_logins_is_not_asked(world: World) -> None:
    host = Target("host", "ssh", "127.0.0.1", 1)
    world.logins.adopt({"host": [], "shop": [RULE]}, {"host": host, "shop": world.target}, {})
    assert await world.strays.sweep() == []


async def test_a_target_that_hangs_is_passed_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hanging(self: PostgresRoles, target: Target, admin: Admin) -> object:
        return await asyncio.Event().wait()

    monkeypatch.setattr(strays, "LIST_SECONDS", 0.05)
    monkeypatch.setattr(PostgresRoles, "made", hanging)
    assert await asyncio.wait_for(world.strays.sweep(), 30) == []
