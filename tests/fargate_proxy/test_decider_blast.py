"""Looking ahead: only where a rule reads it or a person will, never told to the agent, and never letting more through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blastwall.blast import Blast, Rows
from blastwall.config.bundle import load_bundle
from blastwall.errors import UpstreamFault
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.store import Store
from blastwall.model import (
    Denial,
    DenialCode,
    Effect,
    Facts,
    Guard,
    ObjectRef,
    Permit,
    Principal,
    Session,
    Statement,
    StatementKind,
    Target,
)
from blastwall.policy.decide import Standing
from fargate_proxy import decider as deciders
from fargate_proxy.decider import Decider
from fargate_proxy.ledger import Ledger

CONFIG = Path(__file__).parents[2] / "config"
NOW = SystemClock().now()
CARTS = (ObjectRef("table", "public.carts", "write"),)
WRITE = Facts(Effect.WRITE, "delete", CARTS, reason="deletes rows")
READ = Facts(Effect.READ, "select", (ObjectRef("table", "public.carts", "read"),))
TEXT = "DELETE FROM carts WHERE id = 1"


class Log:
    def event(self, name: str, fields: Any) -> None:
        pass


class Desk:
    """A decider of an agent in some groups; ``looked`` are the statements it looked ahead for."""

    def __init__(self, people: LocalApprovals, *groups: str) -> None:
        bundle = load_bundle(CONFIG)
        shop = bundle.targets["shop"]
        self.people = people
        self.looked: list[str] = []
        self.found: Blast | Exception | float = exact(3)
        agent = Principal(
            "issuer", "robot", "robot", frozenset({"agents", *groups}), "ada@example.test", "t", expires_at=NOW + 3600
        )
        self.target = Target(shop.name, shop.protocol, shop.host, shop.port, shop.labels, hold_seconds=0.0)
        session = Session("s-1", agent, "shop", NOW, NOW + 3600)
        self.decider = Decider(
            session, self.target, Standing(bundle.policies), people, Log(), Ledger({}, {}), SystemClock(),  # type: ignore[arg-type]  # a log
            foresee=self._look,
        )  # fmt: skip

    async def _look(self, statement: Statement, facts: Facts) -> Blast:
        self.looked.append(statement.text)
        if isinstance(self.found, Exception):
            raise self.found
        if isinstance(self.found, float):
            await asyncio.sleep(self.found)
            return exact(1)
        return self.found

    async def ask(
        self, facts: Facts = WRITE, text: str = TEXT, kind: StatementKind = StatementKind.EXECUTE
    ) -> Permit | Denial:
        statement = Statement(text, kind, number=1)
        at_once = self.decider.at_once(statement, facts, text)
        if at_once is not None:
            return at_once
        return await self.decider.decide(statement, facts, text, None)

    async def blast(self) -> Any:
        (filed,) = await self.people.ls(live=True)
        return filed.request.blast


def exact(rows: int) -> Blast:
    return Blast(True, rows, rows_exact=True, tables=(Rows("public.carts", rows, "delete"),))


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[LocalApprovals]:
    store = Store(tmp_path / "store.db")
    yield LocalApprovals(store, SystemClock())
    store.close()


async def test_reads_and_names_are_decided_without_a_look(people: LocalApprovals) -> None:
    desk = Desk(people, "trusted-agents")
    assert isinstance(await desk.ask(READ, "SELECT 1"), Permit)
    named = await desk.ask(kind=StatementKind.PREPARE)
    assert isinstance(named, Permit) and named.prepare_only
    assert desk.looked == []


async def test_a_person_sees_what_was_found_and_the_agent_does_not(people: LocalApprovals) -> None:
    desk = Desk(people)
    denial = await desk.ask()
    assert isinstance(denial, Denial) and denial.code is DenialCode.PENDING
    assert await desk.blast() == exact(3).document()
    assert "3" not in denial.reason + denial.hint
    again = await desk.ask()
    assert isinstance(again, Denial) and again.ticket == denial.ticket
    assert desk.looked == [TEXT], "the request that waits has it already"


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (exact(100), ""),
        (exact(101), DenialCode.PENDING),
        (exact(100_001), DenialCode.POLICY),
        (replace(exact(3), known=False), DenialCode.PENDING),
        (replace(exact(3), triggers=("public.carts.audit",)), DenialCode.PENDING),
        (UpstreamFault("gone"), DenialCode.PENDING),
        (RuntimeError("a defect"), DenialCode.PENDING),
    ],
)
async def test_rules_go_by_it(people: LocalApprovals, found: Blast | Exception, answer: str) -> None:
    desk = Desk(people, "trusted-agents")
    desk.found = found
    decision = await desk.ask()
    assert (decision.code if isinstance(decision, Denial) else "") == answer
    assert desk.looked == [TEXT]
    if isinstance(decision, Denial):
        assert not any(number in decision.reason + decision.hint for number in ("101", "100001", "100,001"))


async def test_a_connection_that_waits_for_a_person_has_nothing_to_look_at(people: LocalApprovals) -> None:
    desk = Desk(people)
    found = await desk.decider._look_ahead(
        Statement("connect", StatementKind.CONNECT), Facts(Effect.SESSION, "connect")
    )
    assert (found.known, found.rows, desk.looked) == (True, 0, [])


async def test_what_masking_refuses_is_refused_without_a_look(people: LocalApprovals) -> None:
    desk = Desk(people, "trusted-agents")
    denial = await desk.ask(replace(WRITE, refusal="masks cannot be kept"))
    assert isinstance(denial, Denial) and "masks cannot be kept" in denial.reason
    assert desk.looked == []


async def test_what_rules_let_run_for_its_few_rows_is_held_to_them(people: LocalApprovals) -> None:
    desk = Desk(people, "trusted-agents")
    permit = await desk.ask()
    assert isinstance(permit, Permit) and permit.guard == Guard(14)  # 3 rows, a tenth more, and ten
    copied = await desk.ask(replace(WRITE, verb="refresh"))
    assert isinstance(copied, Permit) and copied.guard is None, "the server counts no rows of it"


async def test_a_defect_is_told_to_the_log_and_to_the_person_in_general(
    people: LocalApprovals, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(people)
    desk.found = RuntimeError("details")
    with caplog.at_level(logging.ERROR, "blastwall.gateway"):
        await desk.ask()
    assert "defect while looking ahead" in caplog.text
    blast = await desk.blast()
    assert not blast["known"] and "details" not in str(blast)


async def test_looking_ends(people: LocalApprovals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciders, "FORESEE_SECONDS", 0.05)
    desk = Desk(people, "trusted-agents")
    desk.found = 60.0
    decision = await desk.ask()
    assert isinstance(decision, Denial) and decision.code is DenialCode.PENDING
    assert (await desk.blast())["reasons"] == ["Finding out what it would do took too long."]


async def test_rules_do_not_go_by_numbers_that_would_tell_of_masked_values(people: LocalApprovals) -> None:
    desk = Desk(people, "trusted-agents")
    decision = await desk.ask(replace(WRITE, filters_masked=True))
    assert isinstance(decision, Denial) and decision.code is DenialCode.PENDING, "three rows are few, but of whom?"
    assert (await desk.blast())["rows"] == 3, "a person may know"


async def test_where_nobody_can_look_rules_find_it_unknown(people: LocalApprovals) -> None:
    desk = Desk(people, "trusted-agents")
    desk.decider._foresee = None
    decision = await desk.ask()
    assert isinstance(decision, Denial) and decision.code is DenialCode.PENDING
    assert not (await desk.blast())["known"]
    plain = Desk(people)
    plain.decider._foresee = None
    await plain.ask(text="DELETE FROM carts WHERE id = 2")
    assert {str(filed.request.blast) for filed in await people.ls(live=True)} >= {"None"}
