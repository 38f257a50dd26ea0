"""What every pair of stores promises: whoever takes back an approval that let a session connect ends the session."""

from __future__ import annotations

import asyncio
import dataclasses

from blastwall.model import ApprovalState, Denial
from blastwall.policy.connecting import connecting

SECONDS = 30.0


async def connected(world, make, seconds=0.0, **changes):
    """A session whose connection a person approved, and which used that."""
    session = await world.sessions.open(make.agent(**changes), make.target)
    statement, facts = connecting(make.target, "shop")
    asked = make.ask("a-1", session=session.id, principal=session.principal, statement=statement, facts=facts)
    await world.approvals.request(asked)
    assert (await world.vote("a-1", make.person("bob"), True, "go on", seconds)).state is ApprovalState.APPROVED
    used = await world.approvals.redeem(asked.binding, asked.shape)
    assert used is not None
    return session, used


async def ended(world, session, how):
    """Why it ended, as a process that follows it is told."""
    waiting = asyncio.ensure_future(world.sessions_elsewhere.ended(session))
    await asyncio.sleep(0)
    await how
    return await asyncio.wait_for(waiting, SECONDS)


async def test_a_denial_after_the_use_ends_the_session_everywhere(world, make):
    session, used = await connected(world, make)
    assert used.state is ApprovalState.REDEEMED
    denial = world.vote("a-1", make.person("carol"), False, "that was a mistake", 0.0)
    reason = await ended(world, session, denial)
    assert reason == "its approval a-1 was denied: that was a mistake"
    assert session.id not in await world.live_sessions()
    assert (await world.approvals.latest(make_binding(make, session))).state is ApprovalState.DENIED


async def test_a_withdrawal_after_the_use_ends_it_too(world, make):
    session, _ = await connected(world, make)
    assert await ended(world, session, world.approvals.withdraw("a-1", "no more")) == (
        "its approval a-1 was withdrawn: no more"
    )


async def test_nothing_can_be_leased_to_it_any_more_and_its_token_may_ask_again(world, make):
    session, _ = await connected(world, make)
    await world.vote("a-1", make.person("carol"), False, "", 0.0)
    again = await world.sessions.open(make.agent(), make.target)
    assert again.id != session.id, "it was not killed: a person may let it in again"
    assert await world.approvals.redeem(make_binding(make, again)) is None, "but what was approved is not for this one"


async def test_what_it_waits_for_is_withdrawn_with_it(world, make):
    session, _ = await connected(world, make)
    other = make.ask("a-2", session=session.id, principal=session.principal)
    await world.approvals.request(other)
    await world.vote("a-1", make.person("carol"), False, "", 0.0)
    assert (await world.approvals.latest(other.binding)).state is ApprovalState.WITHDRAWN


async def test_only_who_may_decide_ends_it_and_only_once(world, make):
    session, _ = await connected(world, make)
    assert isinstance(await world.vote("a-1", make.person("agent-7"), False, "", 0.0), Denial), "the agent itself"
    assert isinstance(await world.vote("a-1", make.person("carol"), True, "", 0.0), Denial), "it is used already"
    assert session.id in await world.live_sessions()
    assert (await world.vote("a-1", make.person("carol"), False, "", 0.0)).state is ApprovalState.DENIED
    assert isinstance(await world.vote("a-1", make.person("dave"), False, "", 0.0), Denial)


async def test_a_statement_that_ran_is_not_taken_back(world, make):
    session = await world.sessions.open(make.agent(), make.target)
    asked = make.ask("a-1", session=session.id, principal=session.principal)
    await world.approvals.request(asked)
    await world.vote("a-1", make.person("bob"), True, "", 0.0)
    assert await world.approvals.redeem(asked.binding) is not None
    assert isinstance(await world.vote("a-1", make.person("carol"), False, "", 0.0), Denial)
    assert session.id in await world.live_sessions()


async def test_an_approval_that_was_not_used_yet_ends_no_session(world, make):
    session = await world.sessions.open(make.agent(), make.target)
    statement, facts = connecting(make.target, "shop")
    asked = make.ask("a-1", session=session.id, principal=session.principal, statement=statement, facts=facts)
    await world.approvals.request(asked)
    await world.vote("a-1", make.person("bob"), True, "", 0.0)
    assert (await world.vote("a-1", make.person("carol"), False, "", 0.0)).state is ApprovalState.DENIED
    assert session.id in await world.live_sessions()


async def test_whoever_may_connect_for_fifty_seconds_is_out_after_fifty_seconds(world, make):
    session, used = await connected(world, make, seconds=50.0)
    assert used.same_shape and used.state is ApprovalState.APPROVED
    waiting = asyncio.ensure_future(world.sessions_elsewhere.ended(session))
    world.clock.advance(49)
    assert session.id in await world.live_sessions()
    world.clock.advance(2)
    assert session.id not in await world.live_sessions()
    assert await asyncio.wait_for(waiting, SECONDS) == "the session's time is up"


async def test_others_sessions_go_on(world, make):
    mine, _ = await connected(world, make)
    theirs = await world.sessions.open(make.agent(token_id="token-2", subject="agent-8", agent="writer"), make.target)
    await world.vote("a-1", make.person("carol"), False, "", 0.0)
    live = await world.live_sessions()
    assert theirs.id in live and mine.id not in live


def make_binding(make, session):
    statement, facts = connecting(make.target, "shop")
    asked = make.ask("a-1", session=session.id, principal=session.principal, statement=statement, facts=facts)
    return dataclasses.replace(asked).binding
