"""Logins for single sessions: made for whoever holds them, taken back when their session ends."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from blastwall.conversation import Admin, RoleOrder, Roles
from blastwall.credentials.ending import end_role
from blastwall.credentials.lease import (
    MOST_LEASES,
    Lease,
    Leases,
    LeaseState,
    LeaseTaken,
    cap,
    retry_at,
    role_name,
)
from blastwall.credentials.marks import NOBODY, mark
from blastwall.errors import Fault, TokenFault, UpstreamFault
from blastwall.model import Credential, Revocation, Secret, Session, Target
from blastwall.ports import Clock

log = logging.getLogger("blastwall.credentials")

#: A target has this long to make a login (seconds).
MAKE_SECONDS = 15.0
#: A login that opens connections for less than this is not handed out: a new one would not get further (seconds).
LEAST_SECONDS = 1.0
#: No further lease of a target is begun on after so long (seconds): each may take half a minute more.
RECLAIM_SECONDS = 20.0
#: A gateway that ends takes this long at most to take back what it made (seconds).
CLOSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RoleRules:
    """How one target's sessions get a login of ``profile``; see the configuration's RoleCredential."""

    profile: str
    admin: Admin
    connections: int = 64
    max_seconds: float = 12 * 3600.0
    settings: Mapping[str, str] = field(default_factory=dict)
    token: Callable[[str], Awaitable[Credential]] | None = None  # by login name: it has no password, but RDS tokens

    @property
    def user(self) -> str:
        """What a client asks for by name."""
        return self.profile


class Standing(Protocol):
    """A session as it stands. ``ended_at`` None: it lives."""

    @property
    def session(self) -> Session: ...

    @property
    def ended_at(self) -> float | None: ...


class Sessions(Protocol):
    """What is asked of the sessions."""

    async def show(self, id: str) -> Standing | None: ...


@dataclass(slots=True)
class _Held:
    """A login this process made, and its password, which nobody else knows. None: RDS tokens let it in."""

    lease: Lease
    secret: Secret | None


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """A login that was taken back although nobody asked: its session, as far as it is still known."""

    lease: Lease
    session: Session | None
    revocation: Revocation


class Logins:
    """One login for each session and profile. Connections of a session share it.

    ``targets`` are those of the configuration, ``roles`` their protocols'; ``holder`` names the process that is handed
    the passwords; None: nobody in particular, and what is revoked is revoked for all. ``house`` names those who share
    ``leases``. Close it: then nothing it made is left.
    """

    def __init__(
        self,
        rules: Mapping[str, Sequence[RoleRules]],
        targets: Mapping[str, Target],
        roles: Mapping[str, Roles],
        leases: Leases,
        sessions: Sessions,
        clock: Clock,
        holder: str | None,
        house: str = NOBODY,
    ) -> None:
        self._rules = rules
        self._targets = targets
        self._roles = roles
        self._leases = leases
        self._sessions = sessions
        self._clock = clock
        self._everybody = holder is None
        self._holder = holder or ""
        self._house = house
        self._held: dict[tuple[str, str], asyncio.Task[_Held]] = {}

    def adopt(
        self, rules: Mapping[str, Sequence[RoleRules]], targets: Mapping[str, Target], roles: Mapping[str, Roles]
    ) -> None:
        """Take a reloaded configuration. What was vended of a target that is gone cannot be taken back any more."""
        self._rules, self._targets = rules, targets
        self._roles = {**roles, **self._roles}

    def places(self) -> tuple[Mapping[str, Sequence[RoleRules]], Mapping[str, Target], Mapping[str, Roles]]:
        """The configuration at the moment: rules and targets by name, and how logins are made by protocol."""
        return self._rules, self._targets, self._roles

    async def vend(self, session: Session, target: Target, rule: RoleRules) -> Credential:
        """The session's login; the secret is the caller's own copy. Raises UpstreamFault, TokenFault."""
        key = (session.id, rule.profile)
        making = self._held.get(key)
        if making is None or (making.done() and self._spent(making)):
            making = asyncio.get_running_loop().create_task(self._make(session, target, rule))
            making.add_done_callback(partial(self._forget_unmade, key))
            self._held[key] = making
        held = await asyncio.shield(making)  # others wait for the same login: one that leaves must not take it along
        if held.secret is not None:
            return Credential(held.lease.id, Secret(held.secret.reveal()), "role", held.lease.expires_at)
        assert rule.token is not None, "a login without a password has tokens"
        made = await rule.token(held.lease.id)
        return replace(made, kind="role", expires_at=held.lease.expires_at, usable_until=made.expires_at)

    def _forget_unmade(self, key: tuple[str, str], making: asyncio.Task[_Held]) -> None:
        """What was not made is not kept: neither its fault, which holds the password that was to be, nor its place."""
        if not _made(making) and self._held.get(key) is making:
            del self._held[key]

    async def revoke(self, session: Session) -> Sequence[Revocation]:
        """Take back what this process made for the session. What a target does not let go of is not verified, and is
        tried again."""
        await self._settle(session.id)
        own = [
            lease
            for lease in await self._leases.of(session.id)
            if lease.kind == "role" and (self._everybody or lease.holder == self._holder)
        ]
        ended = await asyncio.gather(*(self._tried(lease) for lease in own))
        return [outcome for outcome in ended if outcome is not None]

    async def _tried(self, lease: Lease) -> Revocation | None:
        """One that cannot be ended now does not hide what became of the others."""
        try:
            return await self._end(lease)
        except UpstreamFault as fault:
            return Revocation(lease.id, lease.kind, False, str(fault), 0.0)

    async def reclaim(self) -> Sequence[Reclaimed]:
        """Take back what nobody looks after any more: leases without a session, of processes that are gone, failed
        ones. Targets side by side: one that does not answer holds up no other. Raises Fault if it could do nothing."""
        abandoned = await self._leases.abandoned(self._holder, self._clock.now())
        by_target: dict[str, list[Lease]] = {}
        for lease in abandoned:
            if lease.kind == "role":
                by_target.setdefault(lease.target, []).append(lease)
        found: list[Reclaimed] = []
        done = await asyncio.gather(
            *(self._reclaim_all(leases, found) for leases in by_target.values()), return_exceptions=True
        )
        failed = [fault for fault in done if isinstance(fault, BaseException)]
        for fault in failed:
            if not (found and isinstance(fault, Fault)):
                raise fault
            log.error("not everything that was left could be looked after: %s", fault)
        return found

    async def _reclaim_all(self, leases: Sequence[Lease], found: list[Reclaimed]) -> None:
        """One target's, one after the other; those first that have not failed before. What there is no time for now has
        its turn the next time."""
        clock = asyncio.get_running_loop().time
        until = clock() + RECLAIM_SECONDS
        for lease in sorted(leases, key=lambda lease: lease.state is LeaseState.ENDING):
            if clock() >= until:
                break
            done = await self._reclaim(lease)
            if done is not None:
                found.append(done)

    async def _reclaim(self, lease: Lease) -> Reclaimed | None:
        row = await self._sessions.show(lease.session)
        ended = await self._tried(lease)
        return None if ended is None else Reclaimed(lease, row.session if row else None, ended)

    async def close(self) -> Sequence[Reclaimed]:
        """Take back every login of this process: nobody else knows their passwords. Gives up after ten seconds."""
        found: list[Reclaimed] = []
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                for session in {session for session, _ in self._held}:
                    await self._settle(session)
                sessions = {session for session, _ in self._held}
                leases = [lease for session in sessions for lease in await self._leases.of(session)]
                own = [lease for lease in leases if lease.holder == self._holder]
                found = [done for done in await asyncio.gather(*map(self._reclaim, own)) if done is not None]
        except TimeoutError:
            log.warning("some logins are left for the next gateway to take back")
        await self.release()
        return found

    async def release(self) -> None:
        """Close the connections to targets; what was vended stays."""
        for roles in self._roles.values():
            await roles.close()

    async def _make(self, session: Session, target: Target, rule: RoleRules) -> _Held:
        now = self._clock.now()
        expires = cap(session, rule.max_seconds, now)
        if expires - now < LEAST_SECONDS:
            raise UpstreamFault(f"the session at {target.name} is about to end: connect with a new token")
        lease = await self._write(session, target, rule, now, expires)
        secret = None if rule.token is not None else Secret(secrets.token_urlsafe(32))
        memberships = () if rule.token is None else ("rds_iam",)
        order = RoleOrder(
            lease.id,
            rule.profile,
            expires,
            rule.connections,
            mark(self._house, session, now),
            dict(rule.settings),
            memberships,
        )
        try:
            async with asyncio.timeout(MAKE_SECONDS):
                await self._roles[target.protocol].create(target, rule.admin, order, secret)
        except UpstreamFault as fault:
            await self._undo(lease, certain=bool(fault.code) and not fault.code.startswith("08"))
            raise
        except TimeoutError:
            await self._undo(lease, certain=False)
            raise UpstreamFault(f"{target.name} made no login within {MAKE_SECONDS:.0f} s; try again") from None
        except BaseException:
            await self._undo(lease, certain=False)
            raise
        await self._confirm(lease, target, rule)
        return _Held(lease, secret)

    async def _confirm(self, lease: Lease, target: Target, rule: RoleRules) -> None:
        """Was the lease taken back while the login was being made? Then whoever did found nothing to drop yet.

        Another process cannot wait for this one. It either took the lease before this look, and is seen here; or takes
        it after, and finds the login. Raises TokenFault.
        """
        leases = await self._leases.of(lease.session)
        if any(found.id == lease.id and found.state is LeaseState.OPEN for found in leases):
            return
        now = self._clock.now()
        try:
            await end_role(lease, target, rule.admin, self._roles[target.protocol], None, now, now)
        except UpstreamFault as fault:
            log.error("%s was made too late, and cannot be dropped now: %s", lease.id, fault)
        raise TokenFault("the session has ended; connect again, with a new token if this repeats")

    async def _write(self, session: Session, target: Target, rule: RoleRules, now: float, expires: float) -> Lease:
        for number in range(1, MOST_LEASES + 1):
            id = role_name(session.id, number)
            lease = Lease(session.id, id, target.name, "role", rule.profile, self._holder, now, expires)
            try:
                await self._leases.write(lease)
            except LeaseTaken:
                continue
            return lease
        raise UpstreamFault(f"session {session.id} had {MOST_LEASES} logins already: open a new one with a new token")

    async def _undo(self, lease: Lease, *, certain: bool) -> None:
        """``certain``: the target itself refused, so nothing was made; else whoever reclaims finds out."""
        now = self._clock.now()
        if certain:
            await self._leases.close(lease, now, "nothing was made")
        elif await self._leases.claim(lease, now):
            await self._leases.retry(lease, now, "it is not known whether it was made")

    async def _end(self, lease: Lease) -> Revocation | None:
        """None: somebody else is at it, or was."""
        now = self._clock.now()
        if not await self._leases.claim(lease, now):
            return None
        row = await self._sessions.show(lease.session)
        since = now if row is None else min(row.ended_at or now, row.session.expires_at, now)
        secret = self._give_up(lease)
        try:
            target, rule = self._place(lease)
            if rule.token is not None:
                secret = (await rule.token(lease.id)).secret  # a new one, as whoever has the role's rights could make
            ended = await end_role(lease, target, rule.admin, self._roles[target.protocol], secret, since, now)
        except UpstreamFault as fault:
            attempts = await self._leases.attempts(lease)
            await self._leases.retry(lease, retry_at(self._clock.now(), attempts), str(fault))
            raise
        finally:
            if secret is not None:
                secret.wipe()
        if ended.verified:
            await self._leases.close(lease, self._clock.now(), f"{ended.proof} {ended.seconds:.2f} s after the end")
        else:
            await self._leases.retry(lease, retry_at(self._clock.now(), 0), ended.proof)
        return ended

    def _place(self, lease: Lease) -> tuple[Target, RoleRules]:
        target = self._targets.get(lease.target)
        rule = next((rule for rule in self._rules.get(lease.target, ()) if rule.profile == lease.profile), None)
        if target is None or rule is None:
            raise UpstreamFault(
                f"target {lease.target} vends no logins of {lease.profile} any more, so {lease.id} cannot be dropped: "
                "put it back into the configuration, or drop it by hand"
            )
        return target, rule

    def _give_up(self, lease: Lease) -> Secret | None:
        """Hand the lease's login out no more; its password, if this process has it."""
        key = (lease.session, lease.profile)
        task = self._held.get(key)
        if task is None or not _made(task) or task.result().lease.id != lease.id:
            return None
        del self._held[key]
        return task.result().secret

    async def _settle(self, session: str) -> None:
        """Wait for what is being made for the session."""
        making = [task for (owner, _), task in self._held.items() if owner == session and not task.done()]
        if making:
            await asyncio.wait(making)

    def _spent(self, making: asyncio.Task[_Held]) -> bool:
        return not _made(making) or making.result().lease.expires_at - self._clock.now() < LEAST_SECONDS


def _made(task: asyncio.Task[_Held]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
