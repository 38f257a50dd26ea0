"""How long a session waits for its login, and how long it takes to be rid of it: ``python -m bench.vending``.

Against a PostgreSQL of its own, on this machine, with the leases on a disk: what a session's first connection pays
beyond a connection with a password that exists already, and what its end takes until the login was tried and refused.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from bench.run import QUICK, QUICK_HELP, home
from blastwall.conversation import Admin
from blastwall.credentials.logins import Logins, RoleRules
from blastwall.local import processes
from blastwall.local.clock import SystemClock
from blastwall.local.leases import LocalLeases
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import Credential, Principal, Secret, Target
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.roles import PostgresRoles
from rig.postgres import EmbeddedPostgres

SESSIONS = 200
QUICK_SESSIONS = 20
AT_ONCE = 20


async def _login() -> Credential:
    return Credential("bench_admin", Secret("admin"), "static")


RULE = RoleRules("bench_profile", Admin("bench_admin", _login))


def percentile(times: Sequence[float], share: float) -> float:
    """Milliseconds."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


async def timed(work: Callable[[], Awaitable[object]], times: list[float]) -> None:
    began = time.perf_counter()
    await work()
    times.append(time.perf_counter() - began)


async def measure(server: EmbeddedPostgres, state: Path, count: int) -> dict[str, list[float]]:
    """Seconds of each step: one after the other, then twenty at once."""
    clock, store = SystemClock(), Store(state / "blastwall.db")
    sessions, leases, roles = LocalSessions(store, clock), LocalLeases(store), PostgresRoles()
    options = Options.model_validate({"databases": ["postgres"], "tls": {"mode": "disable"}})
    target = Target("bench", "postgres", server.host, server.port, options=options)
    logins = Logins(
        {"bench": [RULE]}, {"bench": target}, {"postgres": roles}, leases, sessions, clock, processes.current()
    )
    superuser = Credential(server.superuser, Secret(server.password), "static")
    found: dict[str, list[float]] = {"connect with a password": [], "vend": [], "revoke and try": []}
    for _ in range(50):
        await timed(lambda: roles.opens(target, superuser), found["connect with a password"])

    async def one(number: int, names: tuple[str, str]) -> None:
        token, now = f"t-{number}", clock.now()
        principal = Principal("i", token, token, token_id=token, issued_at=now, expires_at=now + 600)
        session = await sessions.open(principal, target)
        await timed(lambda: logins.vend(session, target, RULE), found.setdefault(names[0], []))
        await sessions.kill(session.id, "over", "bench")
        await timed(lambda: logins.revoke(session), found.setdefault(names[1], []))

    for number in range(count):
        await one(number, ("vend", "revoke and try"))
    gate = asyncio.Semaphore(AT_ONCE)

    async def crowded(number: int) -> None:
        async with gate:
            await one(number, (f"vend, {AT_ONCE} at once", f"revoke and try, {AT_ONCE} at once"))

    await asyncio.gather(*(crowded(count + number) for number in range(count)))
    await logins.close()
    store.close()
    return found


def main(arguments: list[str]) -> int:
    """Print a table: milliseconds. 1 when a login was left behind."""
    parser = argparse.ArgumentParser("python -m bench.vending", description="What a session's own login costs.")
    parser.add_argument("--quick", action="store_true", help=QUICK_HELP)
    quick = parser.parse_args(arguments).quick
    with home() as state, EmbeddedPostgres(state / "server", major=17, durable=True) as server:
        server.psql(
            "CREATE ROLE bench_profile NOLOGIN; CREATE ROLE bench_admin LOGIN CREATEROLE PASSWORD 'admin';"
            "GRANT bench_profile TO bench_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        )
        (state / "store").mkdir(mode=0o700)
        found = asyncio.run(measure(server, state / "store", QUICK_SESSIONS if quick else SESSIONS))
        left = server.psql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bw\\_%'")
    if quick:
        print(QUICK)
    print(f"{'ms':<32}{'p50':>8}{'p99':>8}{'runs':>8}")
    for name, times in found.items():
        print(f"{name:<32}{percentile(times, 0.5):>8.1f}{percentile(times, 0.99):>8.1f}{len(times):>8}")
    print(f"logins left behind: {left}")
    return int(left != "0")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
