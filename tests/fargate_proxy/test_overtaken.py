from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.store import Store
from blastwall.model import Denial, Permit, Statement
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
