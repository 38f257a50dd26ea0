"""How many rows an approval is for: the same in every store of approvals."""

from __future__ import annotations

import pytest

from blastwall.approvals.view import view_of
from blastwall.model import Denial
from tests.contracts.test_approvals import PLAIN, shaped
from tests.contracts.test_approvals import world as world  # a fixture


@pytest.mark.parametrize(
    ("proposed", "given", "bound"), [(None, None, None), (12, None, 12), (12, 3, 3), (12, 40, 40), (None, 0, 0)]
)
async def test_an_approval_says_how_many_rows_each_use_may_change(world, make, proposed, given, bound):
    request = make.ask(bound=proposed)
    await world.approvals.request(request)
    assert (await world.vote("a-1", make.person("bob"), True, "", rows=given)).bound == bound
    assert (await world.approvals.latest(request.binding)).bound == bound
    assert (await world.approvals.redeem(request.binding)).bound == bound


async def test_of_two_numbers_the_smaller_holds_and_both_are_on_record(world, make):
    request = make.ask(bound=12, quorum=2)
    await world.approvals.request(request)
    await world.vote("a-1", make.person("bob"), True, "", rows=30)
    await world.vote("a-1", make.person("carol"), True, "")
    assert (await world.approvals.redeem(request.binding)).bound == 12


async def test_the_number_is_part_of_what_was_shown(world, make):
    await world.approvals.request(make.ask(bound=12))
    verdict = await world.vote("a-1", make.person("bob"), True, "", shown=view_of(make.ask(bound=13)).shown)
    assert isinstance(verdict, Denial) and "not what is stored" in verdict.reason


async def test_a_shape_has_its_number_at_every_use(world, make):
    await world.approvals.request(make.ask(statement=PLAIN, bound=2))
    await world.vote("a-1", make.person("bob"), True, "", grant=600.0)
    for number in range(2):
        other = shaped(make, f"DELETE FROM orders WHERE id = {number}")
        assert (await world.approvals.redeem(other.binding, other.shape)).bound == 2
