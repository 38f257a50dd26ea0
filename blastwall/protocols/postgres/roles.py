"""Per-session roles on live servers: runs what ``vend.py`` says, in the order that leaves no door open."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from typing import Final

from blastwall.conversation import Admin, MadeRole, RoleEnd, RoleOrder
from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret, Target
from blastwall.protocols.postgres import vend
from blastwall.protocols.postgres.console import SETTINGS, Console, Consoles
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.scram import LEAST_ITERATIONS, verifier

#: Ended connections have this long to go (seconds), and are looked at this often.
END_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.02
#: The server's refusals of a login as such: no such role or a wrong password, not allowed to log in, no password valid,
#: the role was dropped while it logged in.
REFUSED: Final = frozenset({"28P01", "28000", "42704"})
_GONE: Final = "42704"  # undefined_object: there is no such role
_NEEDED: Final = "2BP01"  # dependent_objects_still_exist


class PostgresRoles:
    """Implements :class:`blastwall.conversation.Roles`. Use it in one event loop."""

    def __init__(self) -> None:
        self._consoles = Consoles()

    async def create(self, target: Target, admin: Admin, order: RoleOrder, password: Secret | None) -> None:
        stored = None
        if password is not None:
            stored = verifier(password.reveal(), secrets.token_bytes(16), LEAST_ITERATIONS)
        text = vend.create(order, stored)
        async with self._consoles.take(target, admin, _home(target, admin)) as console:
            vend.judge_version(console.server_version)
            try:
                await console.run(text)
            except UpstreamFault as fault:
                advice = vend.advice(fault.code, order, admin.user)
                raise UpstreamFault(
                    f"{target.name} makes no role for this session: {fault}" + (f"; {advice}" if advice else ""),
                    code=fault.code,
                ) from None

    async def drop(self, target: Target, admin: Admin, name: str, profile: str) -> RoleEnd:
        async with self._consoles.take(target, admin, _home(target, admin)) as console:
            found = vend.numbers(await console.run(vend.find(name)))
            if not found:
                return RoleEnd()
            oid = found[0]
            with contextlib.suppress(UpstreamFault):  # somebody else drops it right now
                await console.run(vend.disable(name))
            ended = await _end_connections(console, oid)
            left = await self._drop(console, target, admin, name, profile, oid)
            # Whoever was past its password check before NOLOGIN shows up only now.
            ended += await _end_connections(console, oid)
            return RoleEnd(ended, left)

    async def present(self, target: Target, admin: Admin, name: str) -> bool:
        async with self._consoles.take(target, admin, _home(target, admin)) as console:
            return bool(await console.run(vend.find(name)))

    async def made(self, target: Target, admin: Admin) -> Sequence[MadeRole]:
        async with self._consoles.take(target, admin, _home(target, admin)) as console:
            rows = await console.run(vend.made())
        found: dict[str, tuple[str, list[str]]] = {}
        for row in rows:
            name, comment, profile = ((value or b"").decode("utf-8", "replace") for value in row)
            if vend.NAME.fullmatch(name):
                found.setdefault(name, (comment, []))[1].append(profile)
        return [MadeRole(name, comment, tuple(sorted(profiles))) for name, (comment, profiles) in found.items()]

    async def opens(self, target: Target, credential: Credential) -> bool:
        options: Options = target.options
        database = (options.databases or (credential.user,))[0]
        try:
            console = await Console.open(
                target, credential, database, {**SETTINGS, "application_name": "blastwall canary"}
            )
        except UpstreamFault as fault:
            if fault.code in REFUSED:
                return False
            raise
        console.close()
        return True

    async def close(self) -> None:
        await self._consoles.close()

    async def _drop(
        self, console: Console, target: Target, admin: Admin, name: str, profile: str, oid: int
    ) -> tuple[str, ...]:
        left: tuple[str, ...] = ()
        for attempt in range(2):
            try:
                await console.run(vend.drop(name))
                break
            except UpstreamFault as fault:
                if fault.code == _GONE:
                    break
                if fault.code != _NEEDED or attempt:
                    raise
                left = await self._hand_on(console, target, admin, name, profile, oid)
        return left

    async def _hand_on(
        self, console: Console, target: Target, admin: Admin, name: str, profile: str, oid: int
    ) -> tuple[str, ...]:
        """Give what the role owns to its profile, in every database."""
        left = []
        home = _home(target, admin)
        text = vend.hand_on(name, profile)
        for row in await console.run(vend.owned(oid)):
            database, count = (row[0] or b"").decode() or home, int(row[1] or 0)
            if database == home:
                await console.run(text)
            else:
                async with self._consoles.take(target, admin, database) as other:
                    await other.run(text)
            if count:
                left.append(f"{count} objects in {database} belong to {profile} now")
        return tuple(left)


async def _end_connections(console: Console, oid: int) -> int:
    """End every connection of the role and wait until they have gone. Returns how many there were."""
    seen: set[tuple[int, str]] = set()
    try:
        async with asyncio.timeout(END_SECONDS):
            while True:
                rows = await console.run(vend.backends(oid))
                live = {(int(row[0] or 0), (row[1] or b"").decode()) for row in rows}
                if not live:
                    return len(seen)
                fresh = live - seen
                if fresh:
                    seen |= fresh
                    await console.run(vend.terminate(oid, fresh))
                else:
                    await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        # The console may be in the middle of an answer, so it cannot be used again: no SQLSTATE says so.
        raise UpstreamFault(f"connections of a revoked role do not end within {END_SECONDS:.0f} s") from None


def _home(target: Target, admin: Admin) -> str:
    options: Options = target.options
    return admin.database or (options.databases or ("postgres",))[0]
