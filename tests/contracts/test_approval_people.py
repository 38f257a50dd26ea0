"""Whose approval is enough, and whose denial holds: the same in every store of approvals."""

from __future__ import annotations

import dataclasses

from blastwall.model import ApprovalState, Demand
from tests.contracts.test_approvals import shaped
from tests.contracts.test_approvals import world as world  # a fixture

REQUESTED, APPROVED = ApprovalState.REQUESTED, ApprovalState.APPROVED
OWNERS, SECURITY = Demand(("owners",)), Demand(("security",))


async def test_rules_that_ask_different_people_are_all_asked(world, make):
    """Two owners are nobody of security, however many heads that makes."""
    request = make.ask(approvers=("owners", "security"), quorum=1, demands=(OWNERS, SECURITY))
    await world.approvals.request(request)
    for name in ("bob", "carol"):
        assert (await world.vote("a-1", make.person(name), True, "")).state is REQUESTED
    assert await world.approvals.redeem(request.binding) is None
    sami = dataclasses.replace(make.person("sami"), groups=frozenset({"security"}))
    status = await world.vote("a-1", sami, True, "looked at")
    assert (status.state, status.by) == (APPROVED, ("bob", "carol", "sami"))
    redeemed = await world.approvals.redeem(request.binding)
    assert redeemed.met == (OWNERS, SECURITY)
    assert (await world.approvals.latest(request.binding)).met == (OWNERS, SECURITY)


async def test_a_grant_for_others_like_it_does_not_overrule_who_denied_this_one(world, make):
    denied = shaped(make, "DELETE FROM orders WHERE id = 7", "a-1")
    other = shaped(make, "DELETE FROM orders WHERE id = 8", "a-2")
    for request in (denied, other):
        await world.approvals.request(request)
    assert (await world.vote("a-1", make.person("bob"), False, "not this one")).state is ApprovalState.DENIED
    assert (await world.vote("a-2", make.person("carol"), True, "", 60.0)).same_shape
    assert await world.approvals.redeem(denied.binding, denied.shape) is None
    assert (await world.approvals.latest(denied.binding)).state is ApprovalState.DENIED
    third = shaped(make, "DELETE FROM orders WHERE id = 9", "a-3")
    assert (await world.approvals.redeem(third.binding, third.shape)).id == "a-2"
