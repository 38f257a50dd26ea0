"""AWS roles for sessions: verified, decided and leased as a connection is, and denied when the session ends."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeVar

from blastwall.credentials.desk import Refused
from blastwall.credentials.lease import Lease, Leases, LeaseTaken, cap, retry_at
from blastwall.credentials.logins import Reclaimed
from blastwall.credentials.logins import Sessions as Standings
from blastwall.credentials.session_policy import LEAST_SECONDS, RoleProfile
from blastwall.errors import UpstreamFault
from blastwall.model import Denial, DenialCode, Pending, Principal, Revocation, Secret, Session, Target
from blastwall.policy.connecting import connecting
from blastwall.policy.decide import Policies, Question
from blastwall.ports import Clock, Recorder, Recording, Sessions, Verifier

KIND: Final = "sts"
ATTEMPTS: Final = 100
#: Sets of keys of one session that live at once; an SDK asks for new ones every quarter of an hour.
MOST_KEYS: Final = 200


class Keys(Protocol):
    """Temporary credentials. ``access_key`` names them and is no secret."""

    @property
    def access_key(self) -> str: ...

    @property
    def expires_at(self) -> float: ...


K = TypeVar("K", bound=Keys)

#: (managed policy, SourceIdentity, until, now) -> the policy's version.
Deny = Callable[[str, str, float, float], str]
#: What nobody else may do meanwhile.
Alone = Callable[[str], AbstractAsyncContextManager[None]]


def target_of(profile: RoleProfile, labels: Mapping[str, str]) -> Target:
    """The role as policy sees it: a target of protocol aws."""
    return Target(profile.name, "aws", f"sts.{profile.region}.amazonaws.com", 443, labels=labels, linger_minutes=60.0)


class RoleDesk:
    """Assumes roles for agents that bring their token. ``targets`` are the profiles' by name, as policy sees them.

    Each time is recorded as a connection is: what could not be recorded is neither asked of STS nor handed out.
    ``config_version`` goes into the recording's header.
    """

    def __init__(
        self,
        verifier: Verifier,
        sessions: Sessions,
        leases: Leases,
        policies: Callable[[], Policies],
        profiles: Mapping[str, RoleProfile],
        targets: Mapping[str, Target],
        clock: Clock,
        recorder: Recorder,
        config_version: str = "",
    ) -> None:
        self._verifier = verifier
        self._sessions = sessions
        self._leases = leases
        self._policies = policies
        self._profiles = profiles
        self._targets = targets
        self._clock = clock
        self._recorder = recorder
        self._config_version = config_version

    async def assume(self, token: Secret, name: str, assume: Callable[[RoleProfile, Session, float, float], K]) -> K:
        """Credentials for the token's session at a role; ``assume`` may block. Raises TokenFault, Refused, Fault."""
        principal = await self._verifier.verify(token)
        profile, target = self._profiles.get(name), self._targets.get(name)
        if profile is None or target is None:
            known = ", ".join(sorted(self._profiles)) or "none"
            raise Refused(f"there is no AWS role {name!r} here", f"Roles: {known}.")
        session = await self._sessions.open(principal, target)
        recording = await self._open(session, target)
        recording.protect(token)
        reason = "refused"
        try:
            await self._decide(principal, session, target, recording)
            reason = "no keys were made"
            now = self._clock.now()
            ends_at = cap(session, profile.max_seconds, now)
            await self._write(session, profile, ends_at, now)
            keys = await asyncio.to_thread(assume, profile, session, ends_at, now)
            recording.event("credential", _told(profile, session, keys, ends_at))
            await _accepted(recording)
            reason = "keys were handed out"
            return keys
        finally:
            await asyncio.to_thread(recording.close, reason)

    async def _open(self, session: Session, target: Target) -> Recording:
        header = {
            "protocol": target.protocol,
            "mode": target.mode,
            "purpose": "credential",
            "policy_version": self._policies().version,
            "config_version": self._config_version,
            "on_behalf_of": session.principal.on_behalf_of or "",
        }
        return await asyncio.to_thread(self._recorder.open, session, target, f"r-{secrets.token_hex(8)}", header)

    async def _decide(self, principal: Principal, session: Session, target: Target, recording: Recording) -> None:
        statement, facts = connecting(target, target.name)
        decision = self._policies().decide(
            Question(
                principal=principal,
                target=target,
                statement_kind=statement.kind,
                facts=facts,
                hour=int(self._clock.now() // 3600 % 24),
                exhausted=frozenset(),
                break_glass=session.break_glass is not None,
                upstream_text=statement.text,
            )
        )
        if isinstance(decision, Pending):
            reason = "a person must approve this role first, and nobody can be asked here"
            decision = Denial(DenialCode.POLICY, reason, "", decision.policies, decision.risk)
        recording.intent(statement, facts, decision)
        await _accepted(recording)
        if isinstance(decision, Denial):
            raise Refused(decision.reason, decision.hint)

    async def _write(self, session: Session, profile: RoleProfile, ends_at: float, now: float) -> None:
        """One lease for each time, because the denial must last as long as the last of the credentials."""
        live = [lease for lease in await self._leases.of(session.id) if lease.expires_at > now]
        if len(live) >= MOST_KEYS:
            raise Refused(
                f"this session has {len(live)} sets of keys that still live", "Use them again: an SDK keeps them."
            )
        stamp = int(now * 1000)
        for number in range(stamp, stamp + ATTEMPTS):
            lease = Lease(
                session.id,
                f"{KIND}-{number}",
                profile.name,
                KIND,
                profile.name,
                "",
                now,
                max(ends_at, now + LEAST_SECONDS),
            )
            try:
                await self._leases.write(lease)
            except LeaseTaken:
                continue
            return
        raise UpstreamFault("the role is asked for too often at once: try again")


async def _accepted(recording: Recording) -> None:
    pending = recording.commit()
    if pending is not None:
        await pending


def _told(profile: RoleProfile, session: Session, keys: Keys, ends_at: float) -> dict[str, object]:
    """What is on record of keys: all but the keys."""
    return {
        "kind": KIND,
        "user": profile.role_arn,
        "source_identity": session.id,
        "access_key": keys.access_key,
        "expires_at": keys.expires_at,
        "ends_at": ends_at,
    }


class RoleEndings:
    """Ends what sessions were given of AWS roles. ``deny`` may block: it runs beside the event loop.

    A policy is rewritten by one at a time, or denials would be lost: ``alone`` keeps other processes out while inside,
    and raises UpstreamFault when they do not come out. None: there is no other process.
    """

    def __init__(
        self,
        profiles: Mapping[str, RoleProfile],
        leases: Leases,
        standings: Standings,
        deny: Deny,
        clock: Clock,
        alone: Alone | None = None,
    ) -> None:
        self._profiles = profiles
        self._leases = leases
        self._standings = standings
        self._deny = deny
        self._clock = clock
        self._one = asyncio.Lock()
        self._alone = alone or (lambda what: contextlib.nullcontext())

    def adopt(self, profiles: Mapping[str, RoleProfile]) -> None:
        """Know these roles besides: sessions of a role that is no longer configured still end."""
        self._profiles = {**self._profiles, **profiles}

    async def revoke(self, session: Session) -> Sequence[Revocation]:
        """Deny an ended session everything that its roles could do, by its SourceIdentity. Never raises for AWS."""
        standing = await self._standings.show(session.id)
        ended_at = standing.ended_at if standing is not None else None
        since = min(ended_at or self._clock.now(), session.expires_at)
        leases = [lease for lease in await self._leases.of(session.id) if lease.kind == KIND]
        leases.sort(key=lambda lease: lease.expires_at, reverse=True)  # the longest denial is good for the others, too
        found = [await self._end(lease, since) for lease in leases]
        return [done for done in found if done is not None]

    async def reclaim(self, holder: str) -> Sequence[Reclaimed]:
        """The same for leases that nobody ended."""
        found = []
        for lease in await self._leases.abandoned(holder, self._clock.now()):
            if lease.kind != KIND:
                continue
            standing = await self._standings.show(lease.session)
            over = standing is None or standing.ended_at is not None
            if not over and standing is not None and standing.session.expires_at > self._clock.now():
                continue  # no process holds the keys, so none can be dead
            since = standing.ended_at if standing is not None and standing.ended_at else self._clock.now()
            done = await self._end(lease, since)
            if done is not None:
                found.append(Reclaimed(lease, standing.session if standing is not None else None, done))
        return found

    async def _end(self, lease: Lease, since: float) -> Revocation | None:
        leases, clock = self._leases, self._clock
        if not await leases.claim(lease, clock.now()):
            return None
        if lease.expires_at <= clock.now():  # a policy has little room: none of it for what has ended by itself
            proof = "its keys had expired, and its own policy denied them everything before"
            await leases.close(lease, clock.now(), proof)
            return Revocation(lease.id, KIND, True, proof, round(max(0.0, clock.now() - since), 3))
        profile = self._profiles.get(lease.profile)
        if profile is None or not profile.denials:
            proof = "it cannot be revoked: its own policy denies it everything from the session's end on"
            await leases.close(lease, clock.now(), proof)
            return Revocation(lease.id, "iam", False, proof, 0.0)
        try:
            async with self._one, self._alone(profile.denials):
                version = await asyncio.to_thread(
                    self._deny, profile.denials, lease.session, lease.expires_at, clock.now()
                )
        except (UpstreamFault, ValueError) as fault:
            await leases.retry(lease, retry_at(clock.now(), await leases.attempts(lease)), str(fault))
            return Revocation(lease.id, KIND, False, str(fault), 0.0)
        proof = f"the role's policy of ended sessions denies it everything ({version})"
        await leases.close(lease, clock.now(), proof)
        return Revocation(lease.id, KIND, True, proof, round(max(0.0, clock.now() - since), 3))
