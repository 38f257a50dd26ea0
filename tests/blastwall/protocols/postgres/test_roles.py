"""Per-session roles on real servers: what they may do, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import psycopg
import pytest

from blastwall.conversation import Admin, RoleOrder
from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret, Target
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.roles import PostgresRoles
from rig.postgres import EmbeddedPostgres

NAME = "bw_s_test"
PASSWORD = Secret("correct-horse-battery")
BASE = "roles_main"
SIDE = "roles_side"


@pytest.fixture(scope="module", params=[17, 18])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    """A server with an admin and two profiles, as docs/credentials.md says."""
    found: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    for name in (BASE, SIDE):
        found.drop_database(name)
        found.create_database(name)
    found.psql(
        "CREATE ROLE roles_profile NOLOGIN; CREATE ROLE roles_tight NOLOGIN; CREATE ROLE roles_stranger NOLOGIN;"
        "CREATE ROLE roles_admin LOGIN CREATEROLE PASSWORD 'admin';"
        "GRANT roles_profile TO roles_admin WITH ADMIN TRUE, INHERIT TRUE;"
        "GRANT roles_tight TO roles_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;"
    )
    for name in (BASE, SIDE):
        found.psql("GRANT CREATE ON SCHEMA public TO roles_profile, roles_tight", database=name)
    yield found
    for name in (BASE, SIDE):
        found.drop_database(name)
    found.psql("DROP ROLE roles_admin, roles_profile, roles_tight, roles_stranger")


@pytest.fixture
async def roles() -> AsyncIterator[PostgresRoles]:
    made = PostgresRoles()
    yield made
    await made.close()


def target(server: EmbeddedPostgres, **options: object) -> Target:
    found = Options.model_validate({"databases": (BASE, SIDE), "tls": {"mode": "disable"}} | options)
    return Target("shop", "postgres", "127.0.0.1", server.port, options=found)


async def _login() -> Credential:
    return Credential("roles_admin", Secret("admin"), "static")


ADMIN = Admin("roles_admin", _login)


def order(**changes: object) -> RoleOrder:
    made = RoleOrder(NAME, "roles_profile", time.time() + 600, 8, "of session s-test", {"work_mem": "7MB"})
    return replace(made, **changes)  # type: ignore[arg-type]  # a test's own words


def enter(server: EmbeddedPostgres, database: str = BASE) -> psycopg.Connection[tuple[object, ...]]:
    dsn = server.dsn(database, user=NAME, password=PASSWORD.reveal())
    return psycopg.connect(dsn, autocommit=True, connect_timeout=5)


def exists(server: EmbeddedPostgres) -> bool:
    return server.psql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{NAME}'") == "1"


async def test_it_runs_as_its_profile_and_leaves_nothing(server: EmbeddedPostgres, roles: PostgresRoles) -> None:
    await roles.create(target(server), ADMIN, order(), PASSWORD)
    with enter(server) as session:
        who = "SELECT session_user::text, current_user::text, current_setting('work_mem')"
        assert session.execute(who).fetchone() == (NAME, "roles_profile", "7MB")
        for reset in ("RESET ROLE", "RESET ALL", "DISCARD ALL"):
            session.execute(reset)
            assert session.execute(who).fetchone() == (NAME, "roles_profile", "7MB"), reset
        session.execute("CREATE TABLE made (i int)")
        assert session.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'made'").fetchone() == (
            "roles_profile",
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("CREATE ROLE more")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SET ROLE roles_admin")
        credential = Credential(NAME, PASSWORD, "role")
        assert await roles.opens(target(server), credential)
        ended = await roles.drop(target(server), ADMIN, NAME, "roles_profile")
        assert ended.connections >= 1 and ended.left == ()
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert not exists(server) and not await roles.present(target(server), ADMIN, NAME)
    assert not await roles.opens(target(server), credential)
    assert server.psql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{NAME}'") == "0"
    server.psql("DROP TABLE made", database=BASE)
    assert (await roles.drop(target(server), ADMIN, NAME, "roles_profile")).connections == 0, (
        "once more changes nothing"
    )


async def test_what_the_login_itself_owns_is_handed_on(server: EmbeddedPostgres, roles: PostgresRoles) -> None:
    await roles.create(target(server), ADMIN, order(), PASSWORD)
    for database in (BASE, SIDE):
        with enter(server, database) as session:
            session.execute("SET ROLE none")
            session.execute("CREATE TABLE kept (i int)")
    ended = await roles.drop(target(server), ADMIN, NAME, "roles_profile")
    assert sorted(ended.left) == [f"1 objects in {name} belong to roles_profile now" for name in sorted((BASE, SIDE))]
    for database in (BASE, SIDE):
        owner = server.psql("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'", database=database)
        assert owner == "roles_profile"
        server.psql("DROP TABLE kept", database=database)
    assert not exists(server)


async def test_an_admin_without_the_profiles_rights_can_hand_on_too(
    server: EmbeddedPostgres, roles: PostgresRoles
) -> None:
    await roles.create(target(server), ADMIN, order(profile="roles_tight"), PASSWORD)
    with enter(server) as session:
        session.execute("SET ROLE none")
        session.execute("CREATE TABLE kept (i int)")
    ended = await roles.drop(target(server), ADMIN, NAME, "roles_tight")
    assert ended.left == (f"1 objects in {BASE} belong to roles_tight now",)
    assert not exists(server)
    server.psql("DROP TABLE kept", database=BASE)


async def test_the_login_opens_nothing_after_its_time_nor_beyond_its_number(
    server: EmbeddedPostgres, roles: PostgresRoles
) -> None:
    await roles.create(target(server), ADMIN, order(connections=1, expires_at=time.time() + 600), PASSWORD)
    with enter(server), pytest.raises(psycopg.OperationalError, match="too many connections"):
        enter(server)
    await roles.drop(target(server), ADMIN, NAME, "roles_profile")
    await roles.create(target(server), ADMIN, order(expires_at=time.time() - 1), PASSWORD)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        enter(server)
    assert not await roles.opens(target(server), Credential(NAME, PASSWORD, "role"))
    await roles.drop(target(server), ADMIN, NAME, "roles_profile")


async def test_the_server_never_sees_the_password(server: EmbeddedPostgres, roles: PostgresRoles) -> None:
    await roles.create(target(server), ADMIN, order(), PASSWORD)
    stored = server.psql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{NAME}'")
    await roles.drop(target(server), ADMIN, NAME, "roles_profile")
    assert stored.startswith("SCRAM-SHA-256$4096:") and PASSWORD.reveal() not in stored


@pytest.mark.parametrize(
    ("profile", "said"),
    [("roles_stranger", 'GRANT "roles_stranger" TO "roles_admin" WITH ADMIN'), ("nobody_here", "CREATE ROLE")],
)
async def test_a_refusal_says_what_to_grant_and_leaves_nothing(
    server: EmbeddedPostgres, roles: PostgresRoles, profile: str, said: str
) -> None:
    with pytest.raises(UpstreamFault) as refused:
        await roles.create(target(server), ADMIN, order(profile=profile), PASSWORD)
    assert said in str(refused.value)
    assert not exists(server)
    await roles.create(target(server), ADMIN, order(), PASSWORD)  # the connection was kept and is of use
    await roles.drop(target(server), ADMIN, NAME, "roles_profile")


async def test_a_login_by_iam_is_a_member_of_rds_iam(server: EmbeddedPostgres, roles: PostgresRoles) -> None:
    server.psql("CREATE ROLE rds_iam; GRANT rds_iam TO roles_admin WITH ADMIN TRUE")
    try:
        await roles.create(target(server), ADMIN, order(memberships=("rds_iam",)), None)
        assert server.psql(f"SELECT pg_has_role('{NAME}', 'rds_iam', 'member')") == "t"
        assert server.psql(f"SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = '{NAME}'") == "t"
        await roles.drop(target(server), ADMIN, NAME, "roles_profile")
    finally:
        server.psql("DROP ROLE rds_iam")


async def test_a_server_that_does_not_answer_is_a_fault_not_a_refusal(
    server: EmbeddedPostgres, roles: PostgresRoles, unused_tcp_port: int
) -> None:
    away = replace(target(server), port=unused_tcp_port)
    with pytest.raises(UpstreamFault):
        await roles.opens(away, Credential(NAME, PASSWORD, "role"))
    with pytest.raises(UpstreamFault):
        await roles.drop(away, ADMIN, NAME, "roles_profile")


async def test_many_at_once_share_a_few_connections(server: EmbeddedPostgres, roles: PostgresRoles) -> None:
    names = [f"bw_s_many_{number}" for number in range(24)]
    place = target(server)
    await asyncio.gather(*(roles.create(place, ADMIN, order(name=name), PASSWORD) for name in names))
    used = int(server.psql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'roles_admin'"))
    assert 1 <= used <= 4
    await asyncio.gather(*(roles.drop(place, ADMIN, name, "roles_profile") for name in names))
    assert server.psql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bw\\_s\\_many%'") == "0"
