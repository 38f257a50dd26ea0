"""Exchanges: a statement goes nowhere without its permit, and a staged one yields nothing."""

from __future__ import annotations

import pytest

from blastwall.model import Permit, Statement
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.exchange import PostgresExchange
from tests.blastwall.protocols.postgres.playbook import Playbook, written


async def test_a_statement_without_a_permit_is_a_defect() -> None:
    async with Playbook() as play:
        exchange = PostgresExchange(play.legs, Statement("SELECT 1"))
        with pytest.raises(AssertionError):
            exchange.forward(None)
        with pytest.raises(AssertionError):
            PostgresExchange(play.legs, None).forward(Permit("SELECT 1"))


async def test_with_more_to_come_nothing_is_sent_yet() -> None:
    async with Playbook() as play:
        staged = messages.query(b"SELECT 1")
        play.legs.stage(staged)
        exchange = PostgresExchange(play.legs, Statement("SELECT 1"), more=True)
        chunks = [c async for c in exchange.forward(Permit("SELECT 1"))]
        assert chunks == []
        assert written(play.up_wire) == b""
        chunks = [c async for c in PostgresExchange(play.legs, None).forward(None)]
        assert written(play.up_wire) == staged
