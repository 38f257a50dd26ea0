"""What every ``Leases`` promises: written before anything is vended, ended by one at a time, forgotten by nobody."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from blastwall.credentials.lease import CLAIM_SECONDS, Lease, LeaseTaken
from blastwall.errors import TokenFault


async def lease_of(world, make, **changes):
    session = await world.sessions.open(make.agent(), make.target)
    made = Lease(session.id, "bw_s_x", "shop", "role", "shop_agent", "process 1", make.now, make.now + 600)
    return dataclasses.replace(made, **changes)


async def test_a_lease_is_found_by_its_session_until_it_is_closed(world, make):
    lease = await lease_of(world, make)
    await world.leases.write(lease)
    assert list(await world.leases.of(lease.session)) == [lease]
    assert await world.leases.of("s-other") == []
    assert await world.leases.claim(lease, make.now)
    assert [found.state for found in await world.leases.of(lease.session)] == ["ending"]
    await world.leases.close(lease, make.now + 1, "refused")
    assert await world.leases.of(lease.session) == []


async def test_no_id_is_written_twice_not_even_after_it_was_closed(world, make):
    lease = await lease_of(world, make)
    await world.leases.write(lease)
    with pytest.raises(LeaseTaken):
        await world.leases.write(dataclasses.replace(lease, holder="process 2"))
    await world.leases.close(lease, make.now, "")
    with pytest.raises(LeaseTaken):
        await world.leases.write(lease)


async def test_nothing_is_leased_to_a_session_that_has_ended(world, make):
    lease = await lease_of(world, make)
    await world.kill(lease.session, "enough", "carol")
    with pytest.raises(TokenFault, match="has ended"):
        await world.leases.write(lease)


async def test_one_at_a_time_ends_a_lease(world, make):
    lease = await lease_of(world, make)
    await world.leases.write(lease)
    taken = await asyncio.gather(*(world.leases.claim(lease, make.now) for _ in range(8)))
    assert sorted(taken) == [False] * 7 + [True]
    assert not await world.leases.claim(lease, make.now + CLAIM_SECONDS - 1)
    assert await world.leases.claim(lease, make.now + CLAIM_SECONDS), "whoever took it did not finish"


async def test_a_failed_attempt_is_counted_and_comes_again_when_it_is_due(world, make):
    lease = await lease_of(world, make)
    await world.leases.write(lease)
    await world.leases.claim(lease, make.now)
    await world.leases.retry(lease, make.now + 5, "the target is away")
    assert [(found.note, found.state) for found in await world.leases.of(lease.session)] == [
        ("the target is away", "ending")
    ]
    assert await world.leases.attempts(lease) == 1
    assert not await world.leases.claim(lease, make.now + 4)
    assert await world.leases.claim(lease, make.now + 5)


async def test_what_is_closed_is_taken_by_nobody(world, make):
    lease = await lease_of(world, make)
    await world.leases.write(lease)
    await world.leases.close(lease, make.now, "refused")
    assert not await world.leases.claim(lease, make.now + 1e6)
    await world.leases.retry(lease, make.now, "x")
    assert await world.leases.of(lease.session) == []
