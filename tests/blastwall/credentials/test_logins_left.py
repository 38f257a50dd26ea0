"""Taking back what is left, at several targets at once; on roles that stand in for servers, some of which hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from blastwall.conversation import Admin, MadeRole, RoleEnd, RoleOrder
from blastwall.credentials import logins as module
from blastwall.credentials.lease import Lease, LeaseState
from blastwall.credentials.logins import Logins, RoleRules
from blastwall.errors import OurFault, UpstreamFault
from blastwall.local.clock import ManualClock
from blastwall.local.leases import LocalLeases
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import Credential, Principal, Secret, Session, Target


async def _admin() -> Credential:
    return Credential("admin", Secret("admin"), "static")


RULE = RoleRules("profile", Admin("admin", _admin))


@dataclass
class Roles:
    """Servers: ``hanging`` ones do not answer, and ``refusing`` ones make no login."""

    hanging: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    dropped: list[str] = field(default_factory=list)
    took: float = 0.0
    did: asyncio.Event = field(default_factory=asyncio.Event)

    async def create(self, target: Target, admin: Admin, order: RoleOrder, secret: Secret | None) -> None:
        if target.name in self.refusing:
            raise UpstreamFault("the server refuses", code="42501")

    async def drop(self, target: Target, admin: Admin, name: str, profile: str) -> RoleEnd:
        if target.name in self.hanging:
            await asyncio.Event().wait()
        await asyncio.sleep(self.took)
        self.dropped.append(name)
        self.did.set()
        return RoleEnd()

    async def opens(self, target: Target, credential: Credential) -> bool:
        return False

    async def present(self, target: Target, admin: Admin, name: str) -> bool:
        return False

    async def made(self, target: Target, admin: Admin) -> Sequence[MadeRole]:
        return ()

    async def close(self) -> None:
        return


@dataclass
class World:
    logins: Logins
    leases: LocalLeases
    sessions: LocalSessions
    roles: Roles
    clock: ManualClock

    async def left(self, target: str, number: int) -> Lease:
        """A login of a process that is gone."""
        now = self.clock.now()
        principal = Principal("iss", f"bot-{number}", "bot", token_id=f"t-{number}", expires_at=now + 600)
        session = await self.sessions.open(principal, Target(target, "fake", "db", 1))
        lease = Lease(session.id, f"bw_{target}_{number}", target, "role", "profile", "", now, now + 600)
        await self.leases.write(lease)
        await self.sessions.kill(session.id, "enough", "carol")
        return lease


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock, store, roles = ManualClock(), Store(tmp_path / "blastwall.db"), Roles()
    sessions, leases = LocalSessions(store, clock), LocalLeases(store)
    targets = {name: Target(name, "fake", "db", 1) for name in ("one", "two")}
    rules = {name: [RULE] for name in targets}
    yield World(Logins(rules, targets, {"fake": roles}, leases, sessions, clock, "me"), leases, sessions, roles, clock)
    store.close()


async def test_a_target_that_hangs_keeps_no_login_at_another_alive(world: World) -> None:
    for number in range(5):
        await world.left("one", number)
    other = await world.left("two", 9)
    world.clock.advance(20)
    world.roles.hanging = {"one"}
    reclaiming = asyncio.ensure_future(world.logins.reclaim())
    await asyncio.wait_for(world.roles.did.wait(), 30)
    assert world.roles.dropped == [other.id]
    assert not reclaiming.done()
    reclaiming.cancel()


async def test_what_has_failed_before_comes_after_what_was_never_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a few logins that cannot be dropped would take up every run."""
    first, second = await world.left("one", 1), await world.left("one", 2)
    assert await world.leases.claim(first, world.clock.now())
    await world.leases.retry(first, world.clock.now(), "it owns something")
    world.clock.advance(20)
    monkeypatch.setattr(module, "RECLAIM_SECONDS", 0.01)
    world.roles.took = 0.05
    (found,) = await world.logins.reclaim()
    assert found.lease.id == second.id and world.roles.dropped == [second.id]
    assert [lease.state for lease in await world.leases.of(first.session)] == [LeaseState.ENDING]
    (found,) = await world.logins.reclaim()
    assert found.lease.id == first.id


async def test_a_store_that_fails_at_one_lease_hides_nothing_of_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, good = await world.left("one", 1), await world.left("two", 2)
    world.clock.advance(20)
    claim = world.leases.claim

    async def failing(lease: Lease, now: float) -> bool:
        if lease.id == broken.id:
            raise OurFault("the table fails")
        return await claim(lease, now)

    monkeypatch.setattr(world.leases, "claim", failing)
    (found,) = await world.logins.reclaim()
    assert found.lease.id == good.id
    with pytest.raises(OurFault):
        await world.logins.reclaim()


async def test_nothing_is_kept_of_logins_that_were_not_made(world: World) -> None:
    world.roles.refusing = {"one"}
    now = world.clock.now()
    for number in range(5):
        principal = Principal("iss", f"bot-{number}", "bot", token_id=f"u-{number}", expires_at=now + 600)
        target = Target("one", "fake", "db", 1)
        session: Session = await world.sessions.open(principal, target)
        with pytest.raises(UpstreamFault):
            await world.logins.vend(session, target, RULE)
    await asyncio.sleep(0)
    assert world.logins._held == {}
