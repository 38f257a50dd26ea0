"""Roles for sessions: only for a token that policy lets in, leased first, and denied at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from blastwall.credentials import assuming
from blastwall.credentials.assuming import Deny, RoleDesk, RoleEndings, target_of
from blastwall.credentials.desk import Refused
from blastwall.credentials.session_policy import Grant, RoleProfile
from blastwall.errors import RecordingFault, TokenFault, UpstreamFault
from blastwall.local.clock import ManualClock
from blastwall.local.leases import LocalLeases
from blastwall.local.recorder import LocalRecorder
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import Principal, Secret, Session
from blastwall.policy.decide import Policies
from blastwall.policy.risk import RiskTable

PROFILE = RoleProfile(
    "reports",
    "arn:aws:iam::123456789012:role/reports",
    "eu-central-1",
    (Grant(("s3:*",), ("*",)),),
    denials="arn:ended",
)
CEDAR = """@id("own") permit (principal, action == Action::"connect", resource)
when { resource.hasTag("group") && principal.groups.contains(resource.getTag("group")) };"""


@dataclass
class Keys:
    expires_at: float
    access_key: str = "ASIAEXAMPLE"


class Verifier:
    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def verify(self, token: Secret) -> Principal:
        if token.reveal() == "bad":
            raise TokenFault("no")
        now = self._clock.now()
        groups = frozenset({token.reveal()})
        return Principal("iss", "bot", "bot", groups, token_id=token.reveal(), issued_at=now, expires_at=now + 900)


@dataclass
class World:
    desk: RoleDesk
    leases: LocalLeases
    sessions: LocalSessions
    clock: ManualClock
    given: list[tuple[Session, float]]

    async def assume(self, token: str, name: str = "reports") -> Keys:
        def assume(profile: RoleProfile, session: Session, ends_at: float, now: float) -> Keys:
            self.given.append((session, ends_at))
            return Keys(now + 1800)

        return await self.desk.assume(Secret(token), name, assume)

    def endings(self, deny: Deny, profile: RoleProfile = PROFILE) -> RoleEndings:
        return RoleEndings({"reports": profile}, self.leases, self.sessions, deny, self.clock)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = ManualClock()
    store = Store(tmp_path / "blastwall.db")
    sessions, leases = LocalSessions(store, clock), LocalLeases(store)
    policies = Policies.load({"a.cedar": CEDAR}, RiskTable.shipped())
    targets = {"reports": target_of(PROFILE, {"group": "agents"})}
    recorder = LocalRecorder(tmp_path, clock)
    profiles = {"reports": PROFILE}
    desk = RoleDesk(Verifier(clock), sessions, leases, lambda: policies, profiles, targets, clock, recorder, "v1")
    yield World(desk, leases, sessions, clock, [])
    recorder.close()
    store.close()


async def test_a_lease_is_there_before_sts_is_asked_and_ends_with_the_session(world: World) -> None:
    await world.assume("agents")
    ((session, ends_at),) = world.given
    assert ends_at == session.expires_at and session.target == "reports"
    (lease,) = await world.leases.of(session.id)
    assert lease.kind == "sts" and lease.expires_at == world.clock.now() + 1800
    await world.sessions.kill(session.id, "enough", "carol")
    asked: list[tuple[str, str, float]] = []

    def deny(policy: str, identity: str, until: float, now: float) -> str:
        asked.append((policy, identity, until))
        return "v2"

    (done,) = await world.endings(deny).revoke(session)
    assert done.verified and asked == [("arn:ended", session.id, lease.expires_at)]
    assert await world.leases.of(session.id) == []
    with pytest.raises(TokenFault, match="enough"):
        await world.assume("agents")


async def test_policy_and_token_are_asked_first(world: World) -> None:
    with pytest.raises(Refused):
        await world.assume("visitors")
    with pytest.raises(TokenFault):
        await world.assume("bad")
    with pytest.raises(Refused, match="no AWS role 'payroll'"):
        await world.assume("agents", "payroll")
    assert world.given == []


async def test_where_nothing_can_be_revoked_the_record_says_so(world: World) -> None:
    await world.assume("agents")
    session = world.given[0][0]
    (done,) = await world.endings(lambda *_: "v1", replace(PROFILE, denials="")).revoke(session)
    assert not done.verified and done.kind == "iam" and "cannot be revoked" in done.proof


async def test_a_denial_that_fails_is_tried_again(world: World) -> None:
    await world.assume("agents")
    session = world.given[0][0]
    await world.sessions.kill(session.id, "enough", "carol")

    def refuse(*_: object) -> str:
        raise UpstreamFault("IAM is away")

    (done,) = await world.endings(refuse).revoke(session)
    assert not done.verified and "IAM is away" in done.proof
    assert len(await world.leases.of(session.id)) == 1
    world.clock.advance(10)
    (found,) = await world.endings(lambda *_: "v2").reclaim("nobody")
    assert found.revocation.verified and found.session == session


async def test_keys_of_a_live_session_are_nobodys_to_reclaim(world: World) -> None:
    await world.assume("agents")
    endings = world.endings(lambda *_: "v1")
    assert await endings.reclaim("nobody") == []
    world.clock.advance(2000)
    (found,) = await endings.reclaim("nobody")
    assert found.revocation.verified


async def test_what_cannot_be_recorded_is_not_given(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RecordingFault("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(world.desk._recorder, "open", full)
        with pytest.raises(RecordingFault):
            await world.assume("agents")
    assert world.given == [], "STS was not even asked"


async def test_a_session_holds_a_bounded_number_of_keys_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assuming, "MOST_KEYS", 2)
    await world.assume("agents")
    await world.assume("agents")
    with pytest.raises(Refused, match="2 sets of keys"):
        await world.assume("agents")
    assert len(world.given) == 2


async def test_keys_that_have_expired_take_no_room_in_the_policy_of_ended_sessions(world: World) -> None:
    await world.assume("agents")
    world.clock.advance(4000)

    def deny(*_: object) -> str:
        raise AssertionError("IAM was asked")

    (found,) = await world.endings(deny).reclaim("nobody")
    assert found.revocation.verified and "had expired" in found.revocation.proof
    assert await world.leases.of(found.lease.session) == []


async def test_one_denial_is_written_for_all_keys_of_a_session(world: World) -> None:
    await world.assume("agents")
    world.clock.advance(60)
    await world.assume("agents")
    session = world.given[0][0]
    await world.sessions.kill(session.id, "enough", "carol")
    asked: list[float] = []

    def deny(policy: str, identity: str, until: float, now: float) -> str:
        asked.append(until)
        return "v2"

    assert len(await world.endings(deny).revoke(session)) == 2
    assert asked == sorted(asked, reverse=True), "the longest first: the others find it there"
