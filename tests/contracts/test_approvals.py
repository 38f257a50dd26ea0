"""What every ``ports.Approvals`` promises (the corpus' APR rows by id)."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from blastwall.approvals import Ballot, from_document
from blastwall.approvals.documents import status_document
from blastwall.approvals.flood import Limits
from blastwall.approvals.view import view_of
from blastwall.aws.approvals import ApprovalTable, AwsApprovals
from blastwall.errors import ClientFault, OurFault
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import ManualClock
from blastwall.local.store import Store
from blastwall.model import ApprovalState, ApprovalStatus, Denial, DenialCode, Parameter, Statement
from blastwall.ports import Approvals
from tests.blastwall.aws import stage

LIMITS = Limits(session=32, waiting=40, denials=6)
REQUESTED, APPROVED, REDEEMED = ApprovalState.REQUESTED, ApprovalState.APPROVED, ApprovalState.REDEEMED


@dataclass
class World:
    """``approvals``, the same ``elsewhere`` in another process, and a person's ``vote`` there: id, who, approve, note."""

    clock: ManualClock
    approvals: Approvals
    approvals_elsewhere: Approvals
    vote: Callable[..., Awaitable[ApprovalStatus | Denial]]


@pytest.fixture(params=["local", "aws"])
async def world(request, tmp_path, monkeypatch, make) -> AsyncIterator[World]:
    clock = ManualClock(make.now)
    if request.param == "local":
        here, there = Store(tmp_path / "blastwall.db"), Store(tmp_path / "blastwall.db")
        yield local(clock, here, there)
        here.close()
        there.close()
        return
    with stage.aws(monkeypatch):
        yield aws(clock)


def local(clock: ManualClock, here: Store, there: Store) -> World:
    elsewhere = LocalApprovals(there, clock, LIMITS)

    async def vote(id, approver, approve, note, grant=0.0, shown=None, allow=lambda *_: None, rows=None):
        filed = await elsewhere.show(id)
        shown = shown or (view_of(filed.request).shown if filed else "")
        return await elsewhere.vote(id, approver, Ballot(approve, shown, note, grant, rows), allow)

    return World(clock, LocalApprovals(here, clock, LIMITS), elsewhere, vote)


def aws(clock: ManualClock) -> World:
    """The gateway's adapter; the Lambda it has called to file a request does no more here than file it."""
    client = stage.Atomic(stage.client("dynamodb"))
    stage.approvals_table(client)
    table = ApprovalTable(client, stage.TABLE, clock, LIMITS)

    def invoke(function: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        if function != "approval_request":
            return {}
        try:
            return {"status": status_document(table.file(from_document(event)))}
        except ClientFault as fault:
            return {"fault": {"kind": "policy", "message": str(fault)}}
        except OurFault as fault:
            return {"fault": {"kind": "ours", "message": str(fault)}}

    async def vote(id, approver, approve, note, grant=0.0, shown=None, allow=lambda *_: None, rows=None):
        filed = table.show(id)
        shown = shown or (view_of(filed.request).shown if filed else "")
        return await asyncio.to_thread(table.vote, id, approver, Ballot(approve, shown, note, grant, rows), allow)

    return World(clock, AwsApprovals(table, invoke), AwsApprovals(table, invoke), vote)


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


# --- what was shown, shapes, races, floods ----------------------------------------------------------------------------


async def test_a_decision_names_what_was_shown(world, make):
    await world.approvals.request(make.ask())
    for approve in (True, False):
        verdict = await world.vote("a-1", make.person("bob"), approve, "", shown="0" * 64)
        assert isinstance(verdict, Denial)
        assert "not what is stored" in verdict.reason
    assert (await world.approvals.latest(make.ask().binding)).state is REQUESTED


async def test_policy_is_asked_about_the_ballot(world, make):
    await world.approvals.request(make.ask(statement=PLAIN))

    def once_only(approver, request, ballot):
        return Denial(DenialCode.POLICY, "no grants") if ballot.grant_seconds else None

    verdict = await world.vote("a-1", make.person("bob"), True, "", grant=60.0, allow=once_only)
    assert verdict == Denial(DenialCode.POLICY, "no grants")
    assert (await world.vote("a-1", make.person("bob"), True, "", allow=once_only)).state is APPROVED


PLAIN = Statement("DELETE FROM orders WHERE id = 7")


def shaped(make, text, id="a-9", **changes):
    return make.ask(id, statement=Statement(text), **changes)


async def test_a_granted_shape_runs_for_a_while_with_other_literals_and_nothing_else(world, make):
    await world.approvals.request(make.ask(statement=PLAIN))
    status = await world.vote("a-1", make.person("bob"), True, "", grant=600.0)
    assert (status.state, status.same_shape, status.expires_at) == (APPROVED, True, make.now + 600)
    for number in range(3):
        other = shaped(make, f"DELETE FROM orders WHERE id = {number}")
        redeemed = await world.approvals.redeem(other.binding, other.shape)
        assert (redeemed.id, redeemed.used) == ("a-1", number + 1)
    for other in (
        shaped(make, "DELETE FROM orders WHERE id > 7"),
        shaped(make, "DELETE FROM orders  WHERE id = 7"),
        shaped(make, "DELETE FROM orders WHERE id = 7", session="s-2"),
        shaped(make, "DELETE FROM orders WHERE id = 7", policy_version="v2"),
        shaped(make, "DELETE FROM orders WHERE id = 8", facts=dataclasses.replace(make.ask().facts, bounded=False)),
    ):
        assert await world.approvals.redeem(other.binding, other.shape) is None
    again = shaped(make, "DELETE FROM orders WHERE id = 8")
    assert await world.approvals.redeem(again.binding) is None, "a binding alone is no shape"
    world.clock.advance(600)
    assert await world.approvals.redeem(again.binding, again.shape) is None


async def test_a_grant_taken_back_is_not_used_any_more(world, make):
    await world.approvals.request(make.ask(statement=PLAIN))
    await world.vote("a-1", make.person("bob"), True, "", grant=600.0)
    assert (await world.vote("a-1", make.person("carol"), False, "enough")).state is ApprovalState.DENIED
    other = shaped(make, "DELETE FROM orders WHERE id = 8")
    assert await world.approvals.redeem(other.binding, other.shape) is None


async def test_of_a_quorum_one_who_approves_once_makes_it_once(world, make):
    await world.approvals.request(make.ask(statement=PLAIN, quorum=2))
    await world.vote("a-1", make.person("bob"), True, "", grant=600.0)
    status = await world.vote("a-1", make.person("carol"), True, "")
    assert (status.state, status.uses, status.same_shape) == (APPROVED, 1, False)


async def test_what_has_no_shape_is_not_granted(world, make):
    await world.approvals.request(make.ask(statement=Statement("DELETE FROM orders /* all */ WHERE id = 7")))
    assert isinstance(await world.vote("a-1", make.person("bob"), True, "", grant=60.0), Denial)


async def test_one_approval_is_redeemed_once_by_many_at_once(world, make):
    for number in range(20):
        request = make.ask(f"a-{number}", session=f"s-{number}")
        await approved(world, make, request)
        ports = (world.approvals, world.approvals_elsewhere)
        won = await asyncio.gather(*(ports[n % 2].redeem(request.binding) for n in range(4)))
        assert [one.id for one in won if one is not None] == [f"a-{number}"]


async def test_a_request_sent_twice_is_one_request(world, make):
    sent = await asyncio.gather(*(world.approvals.request(make.ask(f"a-{n}")) for n in range(4)))
    assert len({status.id for status in sent}) == 1


async def test_one_agent_cannot_flood_its_approvers_from_many_sessions_and_others_are_not_delayed(world, make):
    for number in range(40):
        await world.approvals.request(
            make.ask(f"a-{number}", session=f"s-{number % 4}", statement=Statement(f"S {number}"))
        )
    with pytest.raises(ClientFault, match="40 requests"):
        await world.approvals.request(make.ask("a-x", session="s-x"))
    other = make.agent(subject="agent-8", token_id="token-8")
    began = time.monotonic()
    assert (await world.approvals.request(make.ask("a-y", principal=other))).state is REQUESTED
    assert time.monotonic() - began < 2


async def test_an_agent_that_people_keep_refusing_asks_nobody_for_a_while(world, make):
    for number in range(6):
        await world.approvals.request(make.ask(f"a-{number}", statement=Statement(f"S {number}")))
        await world.vote(f"a-{number}", make.person("bob"), False, "no")
    with pytest.raises(ClientFault, match="denied 6 requests"):
        await world.approvals.request(make.ask("a-x"))
    world.clock.advance(601)
    assert (
        await world.approvals.request(make.ask("a-y", requested_at=make.now + 601, expires_at=make.now + 1500))
    ).id == "a-y"
