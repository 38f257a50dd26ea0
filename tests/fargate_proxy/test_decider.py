"""The decider with the shipped policies and the real approvals store: holding, tickets, redeeming, withdrawing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blastwall.approvals import Ballot, binding
from blastwall.approvals.view import view_of
from blastwall.config.bundle import Bundle, load_bundle
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import ManualClock, SystemClock
from blastwall.local.store import Store
from blastwall.masking.patterns import names
from blastwall.masking.plan import Predicates, Strategy
from blastwall.masking.rules import Rule, Rules
from blastwall.model import (
    Denial,
    DenialCode,
    Effect,
    Facts,
    Guard,
    Masked,
    ObjectRef,
    Permit,
    Principal,
    Session,
    Statement,
    StatementKind,
    Target,
)
from blastwall.policy.decide import Standing
from blastwall.policy.question import Question
from fargate_proxy.decider import Decider
from fargate_proxy.ledger import Ledger

CONFIG = Path(__file__).parents[2] / "config"
NOW = SystemClock().now()
AGENT = Principal(
    "issuer", "robot", "robot", frozenset({"agents"}), "boss@example.test", "t-agent", expires_at=NOW + 3600
)
OWNER = Principal("issuer", "owner@example.test", "", frozenset({"owners"}), token_id="t-owner")
DELETE = Facts(Effect.WRITE, "delete", (ObjectRef("table", "public.orders", "write"),), reason="deletes rows")


class Exchange:
    """An exchange whose client waits until the test lets it go."""

    def __init__(self, interactive: bool = True) -> None:
        self.interactive = interactive
        self.patience = 3600.0
        self.notices: list[str] = []
        self.left = asyncio.Event()

    async def notify(self, message: str, detail: str = "") -> None:
        self.notices.append(message)

    async def gone(self) -> str:
        await self.left.wait()
        return "cancelled"


class Log:
    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, name: str, fields: Any) -> None:
        self.events.append(name)


class Desk:
    """A decider with its approvals, and an approver who answers as soon as asked."""

    def __init__(self, bundle: Bundle, people: LocalApprovals, hold: float = 5.0) -> None:
        shop = bundle.targets["shop"]
        self.target = Target(shop.name, shop.protocol, shop.host, shop.port, shop.labels, hold_seconds=hold)
        self.session = Session("s-1", AGENT, "shop", NOW, NOW + 3600)
        self.people = people
        self.log = Log()
        self.decider = Decider(
            self.session, self.target, Standing(bundle.policies), people, self.log, Ledger({}, {}), SystemClock()
        )

    async def ask(self, exchange: Exchange | None, text: str = "DELETE FROM orders WHERE id = 1") -> Permit | Denial:
        return await self.decider.decide(Statement(text, number=1), DELETE, text, exchange)  # type: ignore[arg-type]

    async def requested(self) -> str:
        while True:
            filed = await self.people.ls(live=True)
            if filed:
                return filed[0].request.id
            await asyncio.sleep(0.01)

    async def vote(self, approve: bool, note: str = "", grant: float = 0.0, rows: int | None = None) -> None:
        id = await self.requested()
        filed = await self.people.show(id)
        assert filed is not None
        ballot = Ballot(approve, view_of(filed.request).shown, note, grant, rows)
        counted = await self.people.vote(id, OWNER, ballot, lambda *_: None)
        assert not isinstance(counted, Denial), counted


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = Store(tmp_path / "store.db")
    yield Desk(load_bundle(CONFIG), LocalApprovals(store, SystemClock()))
    store.close()


async def test_a_read_needs_nobody(desk: Desk) -> None:
    decision = await desk.decider.decide(Statement("SELECT 1"), Facts(Effect.READ, "select"), "SELECT 1", None)
    assert isinstance(decision, Permit)


EMAIL = frozenset({"public.customers.email"})
COMPARED = Facts(Effect.READ, "select", masked_columns=EMAIL, filters_masked=True)


def comparing(desk: Desk, lookups: int, predicates: Predicates) -> Decider:
    rule = Rule(Strategy.REDACT, names("public.customers.email", 3), predicates=predicates)
    other = Rule(Strategy.REDACT, names("public.customers.phone", 3), predicates=Predicates.EQUALITY)
    target = replace(desk.target, masking=Rules((rule, other), lookups=lookups))
    policies = load_bundle(CONFIG).policies
    return Decider(desk.session, target, Standing(policies), desk.people, desk.log, Ledger({}, {}), SystemClock())


async def test_masked_columns_are_compared_as_often_as_the_rules_say(desk: Desk) -> None:
    decider = comparing(desk, 2, Predicates.EQUALITY)
    asked = Statement("SELECT 1", number=1)
    named = Statement("SELECT 1", StatementKind.PREPARE, number=1)
    for _ in range(2):
        assert isinstance(await decider.decide(named, COMPARED, "x", None), Permit), "nothing is compared yet"
        assert isinstance(await decider.decide(asked, COMPARED, "x", None), Permit)
    refused = await decider.decide(asked, COMPARED, "x", None)
    assert isinstance(refused, Denial)
    assert refused.code is DenialCode.BUDGET and "2 times" in refused.reason
    assert isinstance(await decider.decide(asked, Facts(Effect.READ, "select"), "x", None), Permit)


async def test_what_may_be_compared_freely_is_not_counted(desk: Desk) -> None:
    decider = comparing(desk, 0, Predicates.ALLOW)
    assert isinstance(await decider.decide(Statement("SELECT 1"), COMPARED, "x", None), Permit)
    both = replace(COMPARED, masked_columns=EMAIL | {"public.customers.phone"})
    assert isinstance(await decider.decide(Statement("SELECT 1"), both, "x", None), Denial)


async def test_a_held_statement_runs_once_it_is_approved_and_only_once(desk: Desk) -> None:
    exchange = Exchange()
    decision, _ = await asyncio.gather(desk.ask(exchange), desk.vote(True))
    assert isinstance(decision, Permit)
    assert decision.approval is not None
    assert decision.approval in exchange.notices[0]
    assert desk.log.events == ["approval_requested", "approval_decided", "approval_redeemed"]
    again = await desk.ask(Exchange(interactive=False))
    assert isinstance(again, Denial)
    assert again.code is DenialCode.PENDING
    assert again.ticket != decision.approval, "one use is one use"


async def test_of_two_that_wait_for_the_same_approval_the_later_is_not_told_to_wait_on(desk: Desk) -> None:
    one, other, _ = await asyncio.gather(desk.ask(Exchange()), desk.ask(Exchange()), desk.vote(True))
    (denial,) = [each for each in (one, other) if isinstance(each, Denial)]
    assert isinstance(one, Permit) or isinstance(other, Permit)
    assert "another connection has used its approval" in denial.reason
    assert "once the ticket is approved" not in denial.hint, "it never will be again"


async def test_a_request_that_policy_overtook_is_not_said_to_have_expired(desk: Desk) -> None:
    async def overtake() -> None:
        filed = await desk.people.show(await desk.requested())
        assert filed is not None
        old = filed.request
        newer = binding(
            principal=old.principal,
            session=old.session,
            target=old.target,
            statement=old.statement,
            policy_version="v2",
        )
        await desk.people.request(replace(old, id="a-newer", policy_version="v2", binding=newer))

    denial, _ = await asyncio.gather(desk.ask(Exchange()), overtake())
    assert isinstance(denial, Denial)
    assert (denial.code, "policy has changed" in denial.reason) == (DenialCode.EXPIRED, True)


class Ahead:
    """A clock that shows ``ahead`` seconds more than it is."""

    ahead = 0.0

    def now(self) -> float:
        return SystemClock().now() + self.ahead

    def monotonic(self) -> float:
        return SystemClock().monotonic()


async def test_policy_is_asked_again_with_the_hour_and_the_budgets_of_that_moment(desk: Desk) -> None:
    asked: list[Question] = []
    clock, ledger, policies = Ahead(), Ledger({"statements": 5}, {}), load_bundle(CONFIG).policies

    class Watched:
        """The policies, and what they are asked."""

        def __getattr__(self, name: str) -> Any:
            return getattr(policies, name)

        def decide(self, question: Question, **more: Any) -> Any:
            asked.append(question)
            return policies.decide(question, **more)

    watched: Any = Watched()
    decider = Decider(desk.session, desk.target, Standing(watched), desk.people, desk.log, ledger, clock)  # type: ignore[arg-type]
    statement = Statement("DELETE FROM orders WHERE id = 1", number=1)

    async def take_time() -> None:
        await desk.requested()
        clock.ahead, ledger.statements = 3600.0, 6
        await desk.vote(True)

    await asyncio.gather(decider.decide(statement, DELETE, statement.text, Exchange()), take_time())  # type: ignore[arg-type]
    assert (asked[-1].hour - asked[0].hour) % 24 == 1
    assert (asked[0].exhausted, asked[-1].exhausted) == (frozenset(), frozenset({"statements"}))


@pytest.mark.parametrize(("rows", "guard"), [(None, None), (3, Guard(3))])
async def test_the_number_of_rows_that_was_approved_goes_with_the_permit(
    desk: Desk, rows: int | None, guard: Guard | None
) -> None:
    decision, _ = await asyncio.gather(desk.ask(Exchange()), desk.vote(True, rows=rows))
    assert isinstance(decision, Permit)
    assert decision.guard == guard


async def test_a_person_who_refuses_is_believed_and_not_asked_again(desk: Desk) -> None:
    decision, _ = await asyncio.gather(desk.ask(Exchange()), desk.vote(False, "not on Sundays"))
    assert isinstance(decision, Denial)
    assert decision.code is DenialCode.DENIED
    assert "not on Sundays" in decision.reason
    again = await desk.ask(Exchange())
    assert isinstance(again, Denial)
    assert again.code is DenialCode.DENIED
    assert not await desk.people.ls(live=True)


async def test_who_cannot_wait_gets_a_ticket_that_the_identical_statement_redeems(desk: Desk) -> None:
    refused = await desk.ask(Exchange(interactive=False))
    assert isinstance(refused, Denial)
    assert (refused.code, bool(refused.ticket)) == (DenialCode.PENDING, True)
    await desk.vote(True)
    other = await desk.ask(Exchange(interactive=False), "DELETE FROM orders WHERE id = 2")
    assert isinstance(other, Denial), "another text is another statement"
    permit = await desk.ask(Exchange(interactive=False))
    assert isinstance(permit, Permit)
    assert permit.approval == refused.ticket


async def test_the_hold_ends_and_the_ticket_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    desk = Desk(load_bundle(CONFIG), LocalApprovals(store, SystemClock()), hold=0.1)
    decision = await desk.ask(Exchange())
    assert isinstance(decision, Denial)
    assert decision.code is DenialCode.PENDING
    assert decision.ticket == await desk.requested()
    store.close()


async def test_the_hold_is_shorter_than_the_idle_timers_it_stands_beside(desk: Desk) -> None:
    exchange = Exchange()
    exchange.patience = 0.05
    decision = await desk.ask(exchange)
    assert isinstance(decision, Denial)
    assert decision.code is DenialCode.PENDING


async def test_a_client_that_leaves_withdraws_its_request(desk: Desk) -> None:
    exchange = Exchange()

    async def leave() -> None:
        await desk.requested()
        exchange.left.set()

    decision, _ = await asyncio.gather(desk.ask(exchange), leave())
    assert isinstance(decision, Denial)
    assert decision.code is DenialCode.WITHDRAWN
    assert not await desk.people.ls(live=True)


async def test_naming_a_pending_text_is_permitted_without_asking_anybody(desk: Desk) -> None:
    statement = Statement("DELETE FROM orders WHERE id = $1", StatementKind.PREPARE)
    decision = await desk.decider.decide(statement, DELETE, statement.text, Exchange())  # type: ignore[arg-type]
    assert isinstance(decision, Permit)
    assert decision.prepare_only
    assert not await desk.people.ls(live=True)


async def test_a_flood_of_requests_is_refused_without_ending_the_session(desk: Desk) -> None:
    for number in range(32):
        await desk.ask(Exchange(interactive=False), f"DELETE FROM orders WHERE id = {number}")
    decision = await desk.ask(Exchange(interactive=False), "DELETE FROM orders WHERE id = 99")
    assert isinstance(decision, Denial)
    assert decision.code is DenialCode.BUDGET


SELECT = Facts(Effect.READ, "select")
READ = Statement("SELECT 1")


def test_what_needs_nobody_is_decided_at_once_for_its_own_text(desk: Desk) -> None:
    permit = desk.decider.at_once(READ, SELECT, "SELECT 1")
    assert isinstance(permit, Permit)
    assert desk.decider.at_once(READ, SELECT, "SELECT 1") is permit
    assert desk.decider.at_once(READ, SELECT, "SELECT 2") == permit._replace(upstream_text="SELECT 2")
    named = READ._replace(kind=StatementKind.PREPARE)
    prepared = desk.decider.at_once(named, SELECT, "SELECT 1")
    assert isinstance(prepared, Permit) and prepared.prepare_only, "a permit to name a text runs nothing"
    assert not permit.prepare_only


def test_who_must_be_asked_is_not_decided_at_once(desk: Desk) -> None:
    for _ in range(2):
        assert desk.decider.at_once(Statement("DELETE FROM orders WHERE id = 1"), DELETE, "DELETE ...") is None


def test_a_remembered_permit_ends_with_what_it_depended_on(desk: Desk) -> None:
    bundle = load_bundle(CONFIG)
    clock, ledger = ManualClock(), Ledger({"rows": 1}, {})
    asked: list[int] = []

    class Counted:
        def __init__(self) -> None:
            self.version = bundle.policies.version

        def needs_blast(self, question: Any) -> bool:
            return bundle.policies.needs_blast(question)

        def decide(self, question: Any) -> Any:
            asked.append(question.hour)
            return bundle.policies.decide(question)

    standing = Standing(Counted())  # type: ignore[arg-type]
    decider = Decider(desk.session, desk.target, standing, desk.people, desk.log, ledger, clock)  # type: ignore[arg-type]
    again = replace(SELECT)
    for expected, change in (
        (1, lambda: None),
        (1, lambda: clock.advance(1)),
        (2, lambda: clock.advance(3600)),
        (3, lambda: setattr(standing, "policies", Counted())),
    ):
        change()
        assert isinstance(decider.at_once(READ, SELECT, "SELECT 1"), Permit)
        assert len(asked) == expected
    ledger.relayed(Masked(b"row", rows=1))
    assert isinstance(decider.at_once(READ, SELECT, "SELECT 1"), Denial), "the budget is used up"
    assert isinstance(decider.at_once(READ, again, "SELECT 1"), Denial)


async def test_an_approval_by_fewer_than_policy_asks_for_by_now_is_too_small(desk: Desk, tmp_path: Path) -> None:
    """The same policies want two people from another hour on: what one approved before it does not run in it."""
    config = shutil.copytree(CONFIG, tmp_path / "config")
    now = desk.people._clock.now()
    later = int((now + 3600) // 3600 % 24)
    (config / "policies" / "90-night.cedar").write_text(
        '@id("two-at-night") @approvers("owners") @quorum("2")\n'
        'forbid (principal, action == Action::"write", resource)\n'
        f"when {{ context.hour == {later} }} unless {{ context.approved }};\n"
    )
    standing = Standing(load_bundle(config).policies)
    clock = ManualClock(now)
    decider = Decider(desk.session, desk.target, standing, desk.people, desk.log, Ledger({}, {}), clock)  # type: ignore[arg-type]  # stand-ins

    async def ask() -> Permit | Denial:
        text = "DELETE FROM orders WHERE id = 1"
        return await decider.decide(Statement(text, number=1), DELETE, text, None)

    ticket = await ask()
    assert isinstance(ticket, Denial) and ticket.code is DenialCode.PENDING
    await desk.vote(True)
    clock.advance(3600)
    refused = await ask()
    assert isinstance(refused, Denial) and refused.reason == "1 of owners approved it, and 2 of owners must by now"
    anew = await ask()
    assert isinstance(anew, Denial) and anew.code is DenialCode.PENDING
    assert [filed.request.quorum for filed in await desk.people.ls()] == [2, 1]
