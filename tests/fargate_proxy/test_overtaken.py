from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import ManualClock, SystemClock
from blastwall.local.store import Store
from blastwall.model import Denial, DenialCode, Permit, Statement
from blastwall.policy.decide import Standing
from fargate_proxy.decider import Decider
from fargate_proxy.ledger import Ledger
from tests.fargate_proxy.test_decider import CONFIG, DELETE, Desk, Exchange


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = Store(tmp_path / "store.db")
    yield Desk(load_bundle(CONFIG), LocalApprovals(store, SystemClock()))
    store.close()


@pytest.mark.parametrize(
    ("rule", "runs"),
    [
        ('@id("two") @approvers("owners") @quorum("2")', False),
        ('@id("other") @approvers("owners, security")', True),
        ("", True),
    ],
    ids=["more people", "also others", "the same"],
)
async def test_policies_that_change_while_it_is_held_count(desk: Desk, tmp_path: Path, rule: str, runs: bool) -> None:
    await _held_over(
        desk,
        tmp_path,
        rule and f'{rule} forbid (principal, action == Action::"write", resource) unless {{ context.approved }};',
        runs,
    )


async def test_policies_that_ask_other_people_by_now_do_not_take_the_first_ones_answer(
    desk: Desk, tmp_path: Path
) -> None:
    config = shutil.copytree(CONFIG, tmp_path / "config")
    writes = config / "policies" / "30-writes.cedar"
    writes.write_text(writes.read_text().replace('@approvers("owners")', '@approvers("security")'))
    await _held_over(desk, tmp_path, "", False, config)


async def _held_over(desk: Desk, tmp_path: Path, rule: str, runs: bool, config: Path | None = None) -> None:
    """Policies are replaced while a statement is held under the shipped ones, then an owner approves it."""
    config = config or shutil.copytree(CONFIG, tmp_path / "config")
    (config / "policies" / "90-changed.cedar").write_text(
        rule or '@id("unrelated") forbid (principal, action == Action::"destroy", resource);'
    )
    standing = Standing(load_bundle(CONFIG).policies)
    decider = Decider(desk.session, desk.target, standing, desk.people, desk.log, Ledger({}, {}), SystemClock())
    text = "DELETE FROM orders WHERE id = 1"
    asking = asyncio.create_task(
        decider.decide(Statement(text, number=1), DELETE, text, Exchange())  # type: ignore[arg-type]
    )
    await desk.requested()
    standing.policies = load_bundle(config).policies
    await desk.vote(True)
    decision = await asking
    assert isinstance(decision, Permit if runs else Denial), decision
    if isinstance(decision, Denial):
        assert "policy changed" in decision.reason


async def test_what_others_like_it_were_approved_for_does_not_answer_for_people_who_are_asked_besides(
    desk: Desk, tmp_path: Path
) -> None:
    """An owner lets statements of a shape run for a while; from the next hour on, somebody of security must look."""
    config = shutil.copytree(CONFIG, tmp_path / "config")
    clock = ManualClock(SystemClock().now() // 3600 * 3600 + 3590)
    (config / "policies" / "90-later.cedar").write_text(
        '@id("security-later") @approvers("security")\n'
        'forbid (principal, action == Action::"write", resource)\n'
        f"when {{ context.hour == {int((clock.now() + 3600) // 3600 % 24)} }} unless {{ context.approved }};\n"
    )
    people = LocalApprovals(desk.people._store, clock)
    session = replace(desk.session, expires_at=clock.now() + 7200)
    desk.people = people
    decider = Decider(
        session, desk.target, Standing(load_bundle(config).policies), people, desk.log, Ledger({}, {}), clock
    )

    async def ask(number: int) -> Permit | Denial:
        text = f"DELETE FROM orders WHERE id = {number}"
        return await decider.decide(Statement(text, number=1), DELETE, text, None)

    assert (await ask(1)).code is DenialCode.PENDING  # type: ignore[union-attr]
    await desk.vote(True, grant=600.0)
    assert isinstance(await ask(2), Permit), "for a while, others like it run"
    clock.advance(20)
    asked = await ask(3)
    assert isinstance(asked, Denial) and asked.code is DenialCode.PENDING, "and now people are asked"
    filed = (await people.ls(live=True))[0].request
    assert [demand.groups for demand in filed.demands] == [("security",), ("owners",)]
    refused = await ask(1)
    assert isinstance(refused, Denial) and "1 of owners approved it" in refused.reason
