"""Logins that no lease knows: what is left at the targets when the leases themselves were lost.

A lease is written before its login is made, so a login without one means that the store was lost or put back to an
earlier day. Each login says of itself, in a comment that only its admin can write, which house made it, when, and for
which session. Only those of the own house are touched, only such as the admin itself made, and only after a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from blastwall.conversation import MadeRole, Roles
from blastwall.credentials.ending import end_role
from blastwall.credentials.lease import Lease, Leases, LeaseState
from blastwall.credentials.logins import RECLAIM_SECONDS, Logins, Reclaimed, RoleRules, Sessions
from blastwall.credentials.marks import read_mark
from blastwall.errors import UpstreamFault
from blastwall.model import Principal, Revocation, Session, Target
from blastwall.ports import Clock

log = logging.getLogger("blastwall.credentials")

#: A login is left alone for so long after it was made (seconds): clocks differ, and so does what two readers see.
GRACE_SECONDS: Final = 120.0
#: A target has this long to list them (seconds).
LIST_SECONDS: Final = 10.0
#: Whose it was when even the session is lost.
FORGOTTEN: Final = Principal("blastwall", "unknown", "unknown")


class Strays:
    """Finds and drops them, where ``logins`` makes them. ``house`` is that of those who made them."""

    def __init__(self, logins: Logins, leases: Leases, sessions: Sessions, clock: Clock, house: str) -> None:
        self._logins = logins
        self._leases = leases
        self._sessions = sessions
        self._clock = clock
        self._house = house

    async def sweep(self) -> Sequence[Reclaimed]:
        """Drop them at every target that makes logins, side by side. One that does not answer is passed over."""
        found: list[Reclaimed] = []
        rules, targets, roles = self._logins.places()
        known = [(targets[name], several) for name, several in rules.items() if several and name in targets]
        await asyncio.gather(
            *(self._sweep(target, several, roles[target.protocol], found) for target, several in known)
        )
        return found

    async def _sweep(self, target: Target, several: Sequence[RoleRules], roles: Roles, found: list[Reclaimed]) -> None:
        clock = asyncio.get_running_loop().time
        asked: set[tuple[str, str]] = set()
        for rule in several:
            admin = rule.admin
            if (admin.user, admin.database) in asked:
                continue
            asked.add((admin.user, admin.database))
            try:
                async with asyncio.timeout(LIST_SECONDS):
                    made = await roles.made(target, admin)
            except (UpstreamFault, TimeoutError) as fault:
                log.info("%s is not looked through for lost logins now: %s", target.name, fault or "it does not answer")
                continue
            until = clock() + RECLAIM_SECONDS
            for one in made:
                if clock() >= until:
                    break  # the rest has its turn the next time
                done = await self._judge(one, target, several, roles)
                if done is not None:
                    found.append(done)

    async def _judge(
        self, role: MadeRole, target: Target, several: Sequence[RoleRules], roles: Roles
    ) -> Reclaimed | None:
        said, now = read_mark(role.comment), self._clock.now()
        rule = next((rule for rule in several if rule.profile in role.profiles), None)
        if said is None or rule is None or said.house != self._house or now - said.made_at < GRACE_SECONDS:
            return None
        row = await self._sessions.show(said.session)
        if row is not None and row.ended_at is None and row.session.expires_at > now:
            return None
        known = [lease for lease in await self._leases.history(said.session) if lease.id == role.name]
        if any(lease.state is not LeaseState.CLOSED for lease in known):
            return None  # it is looked after
        lease = Lease(said.session, role.name, target.name, "role", rule.profile, "", said.made_at, now)
        session = Session(said.session, FORGOTTEN, target.name, said.made_at, now) if row is None else row.session
        since = now if row is None or row.ended_at is None else row.ended_at
        try:
            ended = await end_role(lease, target, rule.admin, roles, None, since, now)
        except UpstreamFault as fault:
            ended = Revocation(role.name, "role", False, str(fault), 0.0)
        log.warning("%s at %s had no lease: session %s", role.name, target.name, said.session)
        return Reclaimed(lease, session, ended)
