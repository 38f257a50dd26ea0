"""Logins for single sessions on real servers: shared by a session's connections, and dead with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from blastwall.conversation import Admin, RoleOrder
from blastwall.credentials.logins import Logins, RoleRules
from blastwall.errors import TokenFault, UpstreamFault
from blastwall.local import processes
from blastwall.local.clock import SystemClock
from blastwall.local.leases import LocalLeases
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import Credential, Principal, Secret, Session, Target
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.roles import PostgresRoles
from rig.postgres import EmbeddedPostgres

DATABASE = "vended"


async def _login() -> Credential:
    return Credential("vended_admin", Secret("admin"), "static")


RULE = RoleRules("vended_profile", Admin("vended_admin", _login))


@pytest.fixture(scope="module", params=[17, 18])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    found: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    found.drop_database(DATABASE)
    found.create_database(DATABASE)
    found.psql(
        "CREATE ROLE vended_profile NOLOGIN; CREATE ROLE vended_admin LOGIN CREATEROLE PASSWORD 'admin';"
        "GRANT vended_profile TO vended_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
    )
    yield found
    found.drop_database(DATABASE)
    found.psql("DROP ROLE vended_admin, vended_profile")


@dataclass
class World:
    store: Store
    sessions: LocalSessions
    leases: LocalLeases
    vendor: Logins
    target: Target
    server: EmbeddedPostgres
    clock: SystemClock

    async def session(self, token: str = "t-1", agent: str = "bot", seconds: float = 600.0) -> Session:
        now = self.clock.now()
        principal = Principal("iss", agent, agent, token_id=token, issued_at=now, expires_at=now + seconds)
        return await self.sessions.open(principal, self.target)

    def enter(self, credential: Credential) -> psycopg.Connection[tuple[object, ...]]:
        assert credential.secret is not None
        dsn = self.server.dsn(DATABASE, user=credential.user, password=credential.secret.reveal())
        return psycopg.connect(dsn, autocommit=True, connect_timeout=5)

    def refused(self, credential: Credential) -> bool:
        try:
            self.enter(credential).close()
        except psycopg.OperationalError as fault:
            return "password authentication failed" in str(fault)
        return False

    def logins(self) -> set[str]:
        return set(self.server.psql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'bw\\_%'").split())

    def vendor_of(self, holder: str) -> Logins:
        made = make(self.store, self.sessions, self.leases, self.target, self.clock)
        made._holder = holder
        return made


def make(store: Store, sessions: LocalSessions, leases: LocalLeases, target: Target, clock: SystemClock) -> Logins:
    targets = {"shop": target}
    return Logins(
        {"shop": [RULE]}, targets, {"postgres": PostgresRoles()}, leases, sessions, clock, processes.current()
    )


@pytest.fixture
async def world(server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[World]:
    clock = SystemClock()
    store = Store(tmp_path / "blastwall.db")
    options = Options.model_validate({"databases": [DATABASE], "tls": {"mode": "disable"}})
    target = Target("shop", "postgres", "127.0.0.1", server.port, options=options)
    sessions, leases = LocalSessions(store, clock), LocalLeases(store)
    found = World(store, sessions, leases, make(store, sessions, leases, target, clock), target, server, clock)
    yield found
    await found.vendor.close()
    assert found.logins() == set()
    store.close()


async def test_connections_of_a_session_share_one_login_and_sessions_do_not(world: World) -> None:
    one, two = await world.session("t-1"), await world.session("t-2")
    vended = await asyncio.gather(*(world.vendor.vend(one, world.target, RULE) for _ in range(5)))
    other = await world.vendor.vend(two, world.target, RULE)
    assert {credential.user for credential in vended} == {"bw_" + one.id.replace("-", "_")}
    assert len({credential.secret for credential in vended}) == 1 and other.secret not in vended
    for credential in (*vended, other):
        assert credential.kind == "role" and (credential is other or credential.expires_at == one.expires_at)
        with world.enter(credential) as connection:
            assert connection.execute("SELECT current_user::text").fetchone() == ("vended_profile",)
    assert vended[0].secret is not vended[1].secret, "each connection wipes its own copy"


async def test_the_end_of_one_session_leaves_the_others_alone(world: World) -> None:
    one, two = await world.session("t-1"), await world.session("t-2")
    mine = await world.vendor.vend(one, world.target, RULE)
    theirs = await world.vendor.vend(two, world.target, RULE)
    with world.enter(mine) as dead, world.enter(theirs) as alive:
        await world.sessions.kill(one.id, "enough", "carol")
        (ended,) = await world.vendor.revoke(one)
        assert ended.verified and ended.proof == "the target refuses it"
        assert ended.connections >= 1 and ended.seconds < 2
        with pytest.raises(psycopg.OperationalError):
            dead.execute("SELECT 1")
        assert alive.execute("SELECT 1").fetchone() == (1,)
    assert world.refused(mine) and not world.refused(theirs)
    assert await world.leases.of(one.id) == [] and len(await world.leases.of(two.id)) == 1
    assert await world.vendor.revoke(one) == [], "once is enough"


async def test_the_password_is_wiped_from_what_lives_on(world: World) -> None:
    session = await world.session()
    await world.vendor.vend(session, world.target, RULE)
    (task,) = world.vendor._held.values()
    held = task.result().secret
    assert held is not None
    await world.vendor.revoke(session)
    assert held.wiped and world.vendor._held == {}
    with pytest.raises(ValueError, match="wiped"):
        held.reveal()


async def test_the_lease_is_on_disk_before_the_login_is_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await world.session()
    seen = []

    async def create(*_: object) -> None:
        seen.extend(await world.leases.of(session.id))
        raise UpstreamFault("the wire broke", code="08006")

    monkeypatch.setattr(PostgresRoles, "create", create)
    with pytest.raises(UpstreamFault):
        await world.vendor.vend(session, world.target, RULE)
    assert [lease.state for lease in seen] == ["open"]
    monkeypatch.undo()
    (left,) = await world.leases.of(session.id)
    assert left.state == "ending", "nobody knows whether it was made: whoever reclaims looks"
    (found,) = await world.vendor.reclaim()
    assert found.revocation.verified and found.session == session
    credential = await world.vendor.vend(session, world.target, RULE)
    assert credential.user.endswith("__2"), "a name is never used twice"


async def test_a_refusal_leaves_no_lease(world: World) -> None:
    session = await world.session()
    with pytest.raises(UpstreamFault, match="CREATE ROLE"):
        await world.vendor.vend(session, world.target, replace(RULE, profile="nobody_here"))
    assert await world.leases.of(session.id) == []


async def test_nothing_is_vended_to_a_session_that_has_ended(world: World) -> None:
    session = await world.session()
    await world.sessions.kill(session.id, "enough", "carol")
    with pytest.raises(TokenFault, match="enough"):
        await world.vendor.vend(session, world.target, RULE)
    with pytest.raises(UpstreamFault, match="about to end"):
        await world.vendor.vend(await world.session("t-9", seconds=0.5), world.target, RULE)


async def test_a_login_lives_no_longer_than_policy_allows_and_is_then_made_anew(world: World) -> None:
    session = await world.session()
    brief = replace(RULE, max_seconds=2.0)
    first = await world.vendor.vend(session, world.target, brief)
    assert first.expires_at is not None and first.expires_at < world.clock.now() + 2.1
    await asyncio.sleep(1.2)
    second = await world.vendor.vend(session, world.target, brief)
    assert second.user != first.user
    await world.vendor.revoke(session)


async def test_what_a_dead_process_left_is_taken_back_although_its_session_lives(world: World) -> None:
    session = await world.session()
    dead = world.vendor_of("boot/1 4000000 1")
    left = await dead.vend(session, world.target, RULE)
    mine = await world.vendor.vend(session, world.target, RULE)
    (found,) = await world.vendor.reclaim()
    assert found.revocation.user == left.user and found.revocation.verified
    assert found.revocation.proof == "the target has no such login"
    assert world.refused(left) and not world.refused(mine)
    assert await world.vendor.reclaim() == []


async def test_a_target_that_is_away_is_asked_again(world: World) -> None:
    session = await world.session()
    credential = await world.vendor.vend(session, world.target, RULE)
    await world.sessions.kill(session.id, "enough", "carol")
    away = replace(world.target, port=1)
    world.vendor.adopt({"shop": [RULE]}, {"shop": away}, {})
    for roles in world.vendor._roles.values():
        await roles.close()
    (tried,) = await world.vendor.revoke(session)
    assert not tried.verified and "cannot reach" in tried.proof and tried.user == credential.user
    (lease,) = await world.leases.of(session.id)
    assert lease.state == "ending" and "cannot reach" in lease.note
    assert not world.refused(credential)
    world.vendor.adopt({"shop": [RULE]}, {"shop": world.target}, {})
    await world.leases.retry(lease, 0.0, lease.note)  # the pause before the next attempt is over
    (found,) = await world.vendor.reclaim()
    assert found.revocation.verified and world.refused(credential)


async def test_a_target_that_is_gone_from_the_configuration_is_an_alarm(world: World) -> None:
    session = await world.session()
    await world.vendor.vend(session, world.target, RULE)
    world.vendor.adopt({}, {}, {})
    (tried,) = await world.vendor.revoke(session)
    assert not tried.verified and "put it back into the configuration" in tried.proof
    world.vendor.adopt({"shop": [RULE]}, {"shop": world.target}, {})
    (lease,) = await world.leases.of(session.id)
    await world.leases.retry(lease, 0.0, "")
    assert (await world.vendor.reclaim())[0].revocation.verified


async def test_closing_takes_back_everything(world: World) -> None:
    vended = [await world.vendor.vend(await world.session(f"t-{n}"), world.target, RULE) for n in range(6)]
    taken = await world.vendor.close()
    assert {found.revocation.user for found in taken} == {credential.user for credential in vended}
    assert all(found.revocation.verified for found in taken)
    assert all(map(world.refused, vended))


async def test_a_login_that_was_made_while_another_process_ended_its_session_is_dropped_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process comes between the lease and the login: it finds nothing to drop, and closes the lease."""
    session = await world.session()
    elsewhere = world.vendor_of("")
    elsewhere._everybody = True
    made: list[str] = []
    create = PostgresRoles.create

    async def late(
        self: PostgresRoles, target: Target, admin: Admin, order: RoleOrder, password: Secret | None
    ) -> None:
        await world.sessions.kill(session.id, "enough", "carol")
        (ended,) = await elsewhere.revoke(session)
        assert ended.verified and ended.proof == "the target has no such login"
        await create(self, target, admin, order, password)
        made.append(order.name)

    monkeypatch.setattr(PostgresRoles, "create", late)
    with pytest.raises(TokenFault, match="the session has ended"):
        await world.vendor.vend(session, world.target, RULE)
    assert len(made) == 1 and world.logins() == set()
    assert await world.leases.of(session.id) == []
    await elsewhere.release()


async def test_one_target_that_is_away_does_not_hide_what_became_of_the_other_login(world: World) -> None:
    session = await world.session()
    kept = replace(RULE, profile="vended_second")
    world.server.psql(
        "CREATE ROLE vended_second NOLOGIN; GRANT vended_second TO vended_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
    )
    try:
        world.vendor.adopt({"shop": [RULE, kept]}, {"shop": world.target}, {})
        for rule in (RULE, kept):
            await world.vendor.vend(session, world.target, rule)
        world.vendor.adopt({"shop": [RULE]}, {"shop": world.target}, {})
        await world.sessions.kill(session.id, "enough", "carol")
        ended = await world.vendor.revoke(session)
        assert sorted(one.verified for one in ended) == [False, True]
        world.vendor.adopt({"shop": [RULE, kept]}, {"shop": world.target}, {})
        (lease,) = await world.leases.of(session.id)
        await world.leases.retry(lease, 0.0, lease.note)
        assert [one.revocation.verified for one in await world.vendor.reclaim()] == [True]
    finally:
        world.server.psql("DROP ROLE vended_second")
