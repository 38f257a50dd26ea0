"""The gateway's own connections: all of a text or none of it, kept while they are of use, closed when they are not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from blastwall.conversation import Admin
from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret, Target
from blastwall.protocols.postgres.console import Console, Consoles
from blastwall.protocols.postgres.options import Options
from rig.postgres import EmbeddedPostgres


def target(server: EmbeddedPostgres) -> Target:
    options = Options.model_validate({"tls": {"mode": "disable"}})
    return Target("shop", "postgres", "127.0.0.1", server.port, options=options)


def admin(server: EmbeddedPostgres, logins: list[Secret] | None = None) -> Admin:
    async def login() -> Credential:
        secret = Secret(server.password)
        if logins is not None:
            logins.append(secret)
        return Credential(server.superuser, secret, "static")

    return Admin(server.superuser, login)


async def opened(server: EmbeddedPostgres) -> Console:
    return await Console.open(target(server), await admin(server).login(), "postgres")


async def test_rows_of_all_statements_and_names_that_resolve_in_pg_catalog_alone(postgres17: EmbeddedPostgres) -> None:
    console = await opened(postgres17)
    assert await console.run("SELECT 1; SELECT 'a', NULL") == [(b"1",), (b"a", None)]
    assert await console.run("SHOW search_path") == [(b"pg_catalog",)]
    assert console.server_version.startswith("17.")
    console.close()


async def test_a_text_that_fails_does_nothing_and_the_console_goes_on(postgres17: EmbeddedPostgres) -> None:
    console = await opened(postgres17)
    with pytest.raises(UpstreamFault, match="division by zero") as failed:
        await console.run("CREATE TABLE public.console_never (i int); SELECT 1/0")
    assert failed.value.code == "22012"
    assert await console.run("SELECT to_regclass('public.console_never')") == [(None,)]
    with pytest.raises(UpstreamFault, match="too much"):
        await console.run("SELECT repeat('x', 2000000)")
    console.close()


async def test_a_connection_that_ends_says_so(postgres17: EmbeddedPostgres) -> None:
    console = await opened(postgres17)
    with pytest.raises(UpstreamFault) as ended:
        await console.run("SELECT pg_terminate_backend(pg_backend_pid())")
    assert ended.value.code in ("57P01", "08006")
    with pytest.raises(UpstreamFault):
        await console.run("SELECT 1")
    console.close()


async def test_one_is_kept_for_the_next_and_its_password_is_wiped(postgres17: EmbeddedPostgres) -> None:
    consoles, logins = Consoles(), list[Secret]()
    who = admin(postgres17, logins)
    pids = []
    for _ in range(3):
        async with consoles.take(target(postgres17), who, "postgres") as console:
            pids += await console.run("SELECT pg_backend_pid()")
    assert len(set(pids)) == 1 and len(logins) == 1 and logins[0].wiped
    with pytest.raises(UpstreamFault):
        async with consoles.take(target(postgres17), who, "postgres") as console:
            await console.run("SELECT nonsense")
    async with consoles.take(target(postgres17), who, "postgres") as console:
        assert await console.run("SELECT pg_backend_pid()") == pids[:1], "a refusal does not spoil it"
    with pytest.raises(TimeoutError):
        async with consoles.take(target(postgres17), who, "postgres") as console, asyncio.timeout(0.05):
            await console.run("SELECT pg_sleep(5)")
    async with consoles.take(target(postgres17), who, "postgres") as console:
        assert await console.run("SELECT pg_backend_pid()") != pids[:1], "one that was left in the middle is"
    await consoles.close()


async def test_at_most_four_at_a_time_and_the_idle_ones_are_closed(
    postgres17: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    consoles, who = Consoles(), admin(postgres17)
    now = most = 0
    four = asyncio.Event()

    async def work() -> None:
        nonlocal now, most
        async with consoles.take(target(postgres17), who, "postgres") as console:
            now += 1
            most = max(most, now)
            if now == 4:
                four.set()
            await four.wait()
            await console.run("SELECT 1")
            now -= 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(work() for _ in range(12)))
    assert most == 4
    monkeypatch.setattr("blastwall.protocols.postgres.console.KEPT_SECONDS", 0.0)
    (place,) = consoles._places.values()
    kept = list(place.idle)
    assert kept and consoles._kept(place) is None
    async with asyncio.timeout(5):
        while not all(console.closed for console in kept):  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.01)
    await consoles.close()


async def test_nobody_there_is_a_fault(postgres17: EmbeddedPostgres, unused_tcp_port: int) -> None:
    with pytest.raises(UpstreamFault, match="cannot reach"):
        async with Consoles().take(replace(target(postgres17), port=unused_tcp_port), admin(postgres17), "postgres"):
            pass
