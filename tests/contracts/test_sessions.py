"""What every ``ports.Sessions`` promises."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from blastwall.errors import AgentLocked, OurFault, TokenFault
from blastwall.model import Session


async def opened(world, make, **changes):
    return await world.sessions.open(make.agent(**changes), make.target)


async def test_a_session_is_one_token_at_one_target(world, make):
    session = await opened(world, make)
    assert (session.target, session.principal, session.started_at) == ("shop", make.agent(), make.now)
    assert session.expires_at == make.agent().expires_at
    other = dataclasses.replace(make.target, name="warehouse")
    assert (await world.sessions.open(make.agent(), other)).id != session.id
    assert (await opened(world, make, token_id="token-2")).id != session.id


async def test_tok_026_a_replayed_token_joins_its_own_session_and_no_other(world, make):
    session = await opened(world, make)
    await world.sessions.attach(session, "c-1")
    again = await world.sessions_elsewhere.open(make.agent(), make.target)
    assert again == session


async def test_many_connections_at_once_open_one_session(world, make):
    ports = (world.sessions, world.sessions_elsewhere)
    opened = await asyncio.gather(*(ports[n % 2].open(make.agent(), make.target) for n in range(20)))
    assert len({session.id for session in opened}) == 1


async def test_ids_are_not_guessable(world, make):
    ids = {(await opened(world, make, token_id=f"t{n}")).id for n in range(20)}
    assert len(ids) == 20
    assert all(len(id) == 14 and id.startswith("s-") for id in ids)


async def test_a_target_may_let_sessions_outlive_the_token(world, make):
    longer = dataclasses.replace(make.target, outlive_token_minutes=10)
    assert (await world.sessions.open(make.agent(), longer)).expires_at == make.agent().expires_at + 600


async def test_an_expired_token_opens_nothing(world, make):
    world.clock.advance(3600)
    with pytest.raises(TokenFault, match="expired"):
        await opened(world, make)


async def test_a_session_lingers_and_then_ends(world, make):
    session = await opened(world, make)
    await world.sessions.attach(session, "c-1")
    world.clock.advance(1000)  # far longer than it lingers, but somebody is connected
    await world.sessions.detach(session, "c-1", {})
    world.clock.advance(299)
    assert (await opened(world, make)).id == session.id
    await world.sessions.attach(session, "c-2")
    await world.sessions.detach(session, "c-2", {})
    world.clock.advance(300)
    assert (await opened(world, make)).id != session.id


async def test_one_of_two_connections_keeps_it_alive(world, make):
    session = await opened(world, make)
    await world.sessions.attach(session, "c-1")
    await world.sessions_elsewhere.attach(session, "c-2")
    await world.sessions.detach(session, "c-1", {})
    world.clock.advance(301)
    assert (await opened(world, make)).id == session.id


async def test_a_session_that_does_not_linger_still_waits_for_its_connection(world, make):
    brief = dataclasses.replace(make.target, linger_minutes=0)
    session = await world.sessions.open(make.agent(), brief)
    world.clock.advance(59)
    await world.sessions.attach(session, "c-1")
    await world.sessions.detach(session, "c-1", {})
    assert (await world.sessions.open(make.agent(), brief)).id != session.id


async def test_joining_at_the_last_moment_leaves_time_to_connect(world, make):
    session = await opened(world, make)
    world.clock.advance(299.9)
    assert (await opened(world, make)).id == session.id
    world.clock.advance(30)
    await world.sessions.attach(session, "c-1")


async def test_usage_adds_up_over_connections_and_processes(world, make):
    session = await opened(world, make)
    assert await world.sessions.usage(session) == {}
    await world.sessions.attach(session, "c-1")
    await world.sessions_elsewhere.attach(session, "c-2")
    await world.sessions.detach(session, "c-1", {"rows": 10, "bytes": 2**40})
    await world.sessions_elsewhere.detach(session, "c-2", {"rows": 5, "statements": 1})
    assert await world.sessions.usage(session) == {"rows": 15, "bytes": 2**40, "statements": 1}


async def test_a_tokens_next_session_begins_with_what_the_last_one_used(world, make):
    """Or a budget would be as many as an agent has the patience to leave and come again."""
    for round in range(1, 4):
        session = await opened(world, make)
        await world.sessions.attach(session, "c-1")
        await world.sessions.detach(session, "c-1", {"rows": 10, "statements": round})
        assert await world.sessions.usage(session) == {"rows": 10 * round, "statements": sum(range(round + 1))}
        world.clock.advance(300)
    glass = await world.sessions.open(make.agent(), make.target, "a fire")
    assert await world.sessions.usage(glass) == {}


async def test_detaching_twice_counts_once(world, make):
    session = await opened(world, make)
    await world.sessions.attach(session, "c-1")
    for _ in range(2):
        await world.sessions.detach(session, "c-1", {"rows": 1})
    assert await world.sessions.usage(session) == {"rows": 1}


async def test_a_break_glass_session_is_one_of_its_own(world, make):
    plain = await opened(world, make)
    urgent = await world.sessions.open(make.agent(), make.target, "database on fire")
    assert urgent.id != plain.id
    assert urgent.break_glass == "database on fire"
    assert (await world.sessions.open(make.agent(), make.target, "database on fire")).id == urgent.id
    assert (await opened(world, make)).break_glass is None


@pytest.mark.parametrize("reason", ["", "x" * 501, "fire \u202e", "fire\n", "\udcff"])
async def test_a_break_glass_reason_is_one_that_people_can_read(world, make, reason):
    with pytest.raises(TokenFault, match="reason"):
        await world.sessions.open(make.agent(), make.target, reason)


# --- killing and locking --------------------------------------------------------------------------------------------


async def test_a_kill_is_seen_at_once_where_the_session_runs(world, make):
    session = await opened(world, make)
    await world.sessions.attach(session, "c-1")
    ended = asyncio.ensure_future(world.sessions.ended(session))
    await asyncio.sleep(0.1)
    assert not ended.done()
    began = time.monotonic()
    assert await world.kill(session.id, "runaway loop", "carol")
    reason = await ended
    assert time.monotonic() - began < 1.0
    assert "carol" in reason
    assert "runaway loop" in reason


async def test_a_killed_session_stays_dead_for_its_token_at_that_target(world, make):
    session = await opened(world, make)
    await world.kill(session.id, "enough", "carol")
    with pytest.raises(TokenFault, match="enough"):
        await opened(world, make)
    with pytest.raises(TokenFault, match="enough"):
        await world.sessions.open(make.agent(), make.target, "let me in")
    with pytest.raises(TokenFault, match="enough"):
        await world.sessions.attach(session, "c-2")
    other = dataclasses.replace(make.target, name="warehouse")
    assert (await world.sessions.open(make.agent(), other)).target == "warehouse"
    assert (await opened(world, make, token_id="token-2")).id != session.id


async def test_killing_what_does_not_live_changes_nothing(world, make):
    session = await opened(world, make)
    assert await world.kill(session.id, "first", "carol")
    assert not await world.kill(session.id, "second", "dora")
    assert not await world.kill("s-none", "x", "carol")
    assert "first" in await world.sessions.ended(session)


async def test_locking_an_agent_ends_all_its_sessions_and_opens_no_new_one(world, make):
    mine = [await opened(world, make, token_id=f"t{n}") for n in range(3)]
    others = await opened(world, make, agent="writer", token_id="w")
    ended = [asyncio.ensure_future(world.sessions.ended(session)) for session in mine]
    await asyncio.sleep(0.05)
    assert await world.lock("reporter", "leaked key", "carol") == 3
    assert all("leaked key" in reason for reason in await asyncio.wait_for(asyncio.gather(*ended), 5))
    with pytest.raises(AgentLocked, match="locked by carol: leaked key"):
        await opened(world, make, token_id="brand new")
    assert await world.live_sessions() == [others.id]
    assert await world.unlock("reporter")
    assert not await world.unlock("reporter")
    assert (await opened(world, make, token_id="t0")).principal.agent == "reporter"


async def test_a_session_that_has_ended_says_so_to_those_who_ask_later(world, make):
    session = await opened(world, make)
    await world.kill(session.id, "enough", "carol")
    assert "enough" in await asyncio.wait_for(world.sessions.ended(session), 5)


async def test_a_session_ends_with_its_time(world, make):
    session = await opened(world, make, expires_at=make.now + 0.2)
    ended = asyncio.ensure_future(world.sessions.ended(session))
    await asyncio.sleep(0.05)
    assert not ended.done()
    world.clock.advance(1)
    assert "time is up" in await asyncio.wait_for(ended, 5)
    assert await world.live_sessions() == []


async def test_a_session_nobody_knows_is_a_fault(world, make):
    stranger = Session("s-none", make.agent(), "shop", make.now, make.now + 1)
    with pytest.raises(OurFault):
        await world.sessions.ended(stranger)
    with pytest.raises(OurFault):
        await world.sessions.attach(stranger, "c-1")


async def test_the_end_of_a_session_withdraws_what_it_waits_for(world, make):
    session = await opened(world, make)
    await world.approvals.request(make.ask("a-1", session=session.id))
    await world.approvals.request(make.ask("a-2", session="s-other"))
    await world.kill(session.id, "enough", "carol")
    status = await world.approvals.latest(make.ask(session=session.id).binding)
    assert status.state == "withdrawn"
    assert "enough" in status.note
    assert (await world.approvals.latest(make.ask(session="s-other").binding)).state == "requested"
