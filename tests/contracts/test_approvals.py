"""What every ``ports.Approvals`` promises (the corpus' APR rows by id)."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from blastwall.errors import ClientFault, OurFault
from blastwall.model import ApprovalState, Denial, DenialCode, Parameter, Statement

REQUESTED, APPROVED, REDEEMED = ApprovalState.REQUESTED, ApprovalState.APPROVED, ApprovalState.REDEEMED


async def approved(world, make, request):
    status = await world.approvals.request(request)
    voted = await world.vote(status.id, make.person("bob"), True, "fine")
    assert voted.state is APPROVED
    return status


async def test_ok_128_approve_then_run_the_identical_statement(world, make):
    request = make.ask()
    await approved(world, make, request)
    redeemed = await world.approvals.redeem(request.binding)
    assert (redeemed.id, redeemed.state, redeemed.by, redeemed.note) == ("a-1", REDEEMED, ("bob",), "fine")


async def test_apr_004_an_approval_is_used_once(world, make):
    request = make.ask()
    await approved(world, make, request)
    assert await world.approvals.redeem(request.binding) is not None
    assert await world.approvals.redeem(request.binding) is None
    assert await world.approvals_elsewhere.redeem(request.binding) is None
    assert (await world.approvals.latest(request.binding)).state is REDEEMED


async def test_apr_004_after_its_use_the_same_statement_needs_a_new_decision(world, make):
    await approved(world, make, make.ask())
    await world.approvals.redeem(make.ask().binding)
    again = await world.approvals.request(make.ask("a-2"))
    assert (again.id, again.state) == ("a-2", REQUESTED)
    assert await world.approvals.redeem(make.ask().binding) is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"statement": Statement("DELETE FROM orders WHERE id = $1", parameters=(Parameter(b"7", type_id=23),), surroundings="evil")}, id="APR-003"),
        pytest.param({"session": "s-2"}, id="APR-005"),
        pytest.param({"target": "shop-replica"}, id="APR-007"),
        pytest.param({"statement": Statement("DELETE FROM orders WHERE id = $1 ", parameters=(Parameter(b"7", type_id=23),))}, id="APR-025"),
        pytest.param({"statement": Statement("DELETE FROM orders WHERE id = $1", parameters=(Parameter(b"8", type_id=23),))}, id="APR-028"),
        pytest.param({"policy_version": "v2"}, id="policy changed"),
    ],
)  # fmt: skip
async def test_an_approval_is_for_nothing_else(world, make, changes):
    await approved(world, make, make.ask())
    other = make.ask("a-2", **changes)
    assert other.binding != make.ask().binding
    assert await world.approvals.redeem(other.binding) is None


async def test_apr_006_an_approval_does_not_outlive_its_expiry(world, make):
    request = make.ask()
    await approved(world, make, request)
    world.clock.advance(25 * 3600)
    assert await world.approvals.redeem(request.binding) is None
    assert (await world.approvals.latest(request.binding)).state is ApprovalState.EXPIRED


async def test_expiry_is_to_the_moment(world, make):
    early, late = make.ask("a-1"), make.ask("a-2", session="s-2")
    await approved(world, make, early)
    await approved(world, make, late)
    world.clock.advance(899.9)
    assert await world.approvals.redeem(early.binding) is not None
    world.clock.advance(0.1)
    assert await world.approvals.redeem(late.binding) is None


async def test_an_expired_request_cannot_be_approved_any_more(world, make):
    await world.approvals.request(make.ask())
    world.clock.advance(900)
    verdict = await world.vote("a-1", make.person("bob"), True, "")
    assert isinstance(verdict, Denial)
    assert verdict.code is DenialCode.EXPIRED


async def test_asking_again_is_the_same_request_while_it_lives(world, make):
    first = await world.approvals.request(make.ask("a-1"))
    assert (await world.approvals_elsewhere.request(make.ask("a-2"))).id == first.id
    await world.vote("a-1", make.person("bob"), True, "")
    again = await world.approvals.request(make.ask("a-3"))
    assert (again.id, again.state) == ("a-1", APPROVED)
    world.clock.advance(900)
    fresh = await world.approvals.request(
        dataclasses.replace(make.ask("a-4"), requested_at=world.clock.now(), expires_at=world.clock.now() + 900)
    )
    assert (fresh.id, fresh.state) == ("a-4", REQUESTED)


async def test_a_denied_statement_may_be_asked_for_anew(world, make):
    await world.approvals.request(make.ask("a-1"))
    denied = await world.vote("a-1", make.person("bob"), False, "not today")
    assert (denied.state, denied.by, denied.note) == (ApprovalState.DENIED, ("bob",), "not today")
    assert (await world.approvals.request(make.ask("a-2"))).id == "a-2"


async def test_many_that_ask_at_once_file_one_request(world, make):
    asked = [(world.approvals, world.approvals_elsewhere)[n % 2].request(make.ask(f"a-{n}")) for n in range(20)]
    assert len({status.id for status in await asyncio.gather(*asked)}) == 1


async def test_a_new_policy_version_supersedes_the_same_question(world, make):
    await approved(world, make, make.ask("a-1"))
    await world.approvals.request(make.ask("a-2", policy_version="v2"))
    assert (await world.approvals.latest(make.ask().binding)).state is ApprovalState.SUPERSEDED
    assert await world.approvals.redeem(make.ask().binding) is None
    late = await world.vote("a-1", make.person("bob"), True, "")
    assert isinstance(late, Denial)


async def test_a_binding_that_is_not_of_the_content_is_refused(world, make):
    swapped = dataclasses.replace(make.ask(), statement=Statement("DROP TABLE orders"))
    with pytest.raises(OurFault, match="binding"):
        await world.approvals.request(swapped)


async def test_one_session_cannot_flood_the_approvers(world, make):
    for number in range(32):
        await world.approvals.request(make.ask(f"a-{number}", statement=Statement(f"SELECT {number}")))
    with pytest.raises(ClientFault, match="32 requests"):
        await world.approvals.request(make.ask("a-x", statement=Statement("SELECT x")))
    assert (await world.approvals.request(make.ask("a-y", session="s-2"))).state is REQUESTED
    await world.approvals.withdraw("a-0", "never mind")
    assert (await world.approvals.request(make.ask("a-z", statement=Statement("SELECT x")))).id == "a-z"


# --- waiting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approve", [True, False])
async def test_a_decision_elsewhere_is_seen_at_once(world, make, approve):
    await world.approvals.request(make.ask())
    waiting = asyncio.create_task(world.approvals.decided("a-1", 30))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    began = time.monotonic()
    await world.vote("a-1", make.person("bob"), approve, "")
    status = await waiting
    assert time.monotonic() - began < 1.0
    assert status.state is (APPROVED if approve else ApprovalState.DENIED)


async def test_waiting_for_what_is_decided_already_returns_at_once(world, make):
    await approved(world, make, make.ask())
    assert (await asyncio.wait_for(world.approvals.decided("a-1", 30), 5)).state is APPROVED


async def test_waiting_ends_with_its_timeout(world, make):
    await world.approvals.request(make.ask())
    assert (await world.approvals.decided("a-1", 0.05)).state is REQUESTED
    assert (await world.approvals.decided("a-1", 0)).state is REQUESTED


async def test_a_decision_while_nobody_waited_is_not_missed(world, make):
    await world.approvals.request(make.ask())
    for _ in range(3):
        assert (await world.approvals.decided("a-1", 0.01)).state is REQUESTED
    await world.vote("a-1", make.person("bob"), True, "")
    assert (await world.approvals.decided("a-1", 0.01)).state is APPROVED


async def test_waiting_wakes_when_the_request_is_withdrawn_by_another_connection(world, make):
    await world.approvals.request(make.ask())
    waiting = asyncio.create_task(world.approvals.decided("a-1", 30))
    await asyncio.sleep(0.05)
    await world.approvals.withdraw("a-1", "client went away")
    status = await waiting
    assert (status.state, status.note) == (ApprovalState.WITHDRAWN, "client went away")


async def test_waiting_ends_with_the_request_itself(world, make):
    request = make.ask(expires_at=make.now + 0.2)
    await world.approvals.request(request)
    waiting = asyncio.create_task(world.approvals.decided("a-1", 30))
    await asyncio.sleep(0.05)
    world.clock.advance(1)
    assert (await asyncio.wait_for(waiting, 5)).state is ApprovalState.EXPIRED


async def test_unknown_ids_are_a_fault_of_ours(world):
    with pytest.raises(OurFault, match="no approval request"):
        await world.approvals.decided("a-none", 1)
    with pytest.raises(OurFault, match="no approval request"):
        await world.approvals.withdraw("a-none", "")
    assert await world.approvals.latest("0" * 64) is None
    assert await world.approvals.redeem("0" * 64) is None


# --- withdrawing and voting -----------------------------------------------------------------------------------------


async def test_what_is_withdrawn_cannot_be_approved_nor_used(world, make):
    await approved(world, make, make.ask())
    assert (await world.approvals.withdraw("a-1", "gone")).state is ApprovalState.WITHDRAWN
    assert await world.approvals.redeem(make.ask().binding) is None
    assert isinstance(await world.vote("a-1", make.person("bob"), True, ""), Denial)


async def test_what_is_over_stays_as_it_is(world, make):
    await approved(world, make, make.ask())
    await world.approvals.redeem(make.ask().binding)
    assert (await world.approvals.withdraw("a-1", "too late")).state is REDEEMED


async def test_apr_024_a_quorum_is_of_different_people(world, make):
    await world.approvals.request(make.ask(quorum=2))
    assert (await world.vote("a-1", make.person("bob"), True, "")).state is REQUESTED
    second = dataclasses.replace(make.person("bob"), issuer="https://idp-2", token_id="another")
    assert isinstance(await world.vote("a-1", second, True, ""), Denial)
    assert await world.approvals.redeem(make.ask().binding) is None
    status = await world.vote("a-1", make.person("carol"), True, "ok")
    assert (status.state, status.by) == (APPROVED, ("bob", "carol"))


async def test_tok_026_a_replayed_approvers_token_is_no_second_vote(world, make):
    await world.approvals.request(make.ask(quorum=2))
    await world.vote("a-1", make.person("bob"), True, "")
    replayed = await world.vote("a-1", make.person("bob"), True, "")
    assert isinstance(replayed, Denial)
    assert (await world.approvals.latest(make.ask().binding)).state is REQUESTED


async def test_two_votes_at_once_do_not_lose_one(world, make):
    await world.approvals.request(make.ask(quorum=8))
    people = [make.person(f"person-{n}") for n in range(8)]
    await asyncio.gather(*(world.vote("a-1", who, True, "") for who in people))
    status = await world.approvals.latest(make.ask().binding)
    assert status.state is APPROVED
    assert set(status.by) == {who.subject for who in people}


async def test_an_approval_taken_back_is_not_used(world, make):
    await approved(world, make, make.ask())
    assert (await world.vote("a-1", make.person("bob"), False, "wait")).state is ApprovalState.DENIED
    assert await world.approvals.redeem(make.ask().binding) is None


async def test_apr_009_the_agents_own_token_does_not_vote(world, make):
    await world.approvals.request(make.ask())
    for approver in (make.agent(), dataclasses.replace(make.agent(), on_behalf_of=None), make.person("alice")):
        assert isinstance(await world.vote("a-1", approver, True, ""), Denial)
    assert (await world.approvals.latest(make.ask().binding)).state is REQUESTED


async def test_apr_014_guessed_ids_tell_nothing(world, make):
    await world.approvals.request(make.ask())
    verdict = await world.vote("a-2", make.person("bob"), True, "")
    assert isinstance(verdict, Denial)
