"""Exchanges: a statement goes nowhere without its permit, and a staged one yields nothing."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Plan
from blastwall.model import Permit, Statement
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.exchange import LONG_TEXT, PostgresExchange, is_long
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


DENSE = [
    "UPDATE customers SET name = name WHERE id = 1 RETURNING " + ",".join("*" * 20),
    "SELECT * FROM " + ",".join(f"customers c{number}" for number in range(30)),
    "SELECT " + ",".join(["ssn"] * 60) + " FROM customers",
    "SELECT 1 FROM customers " + " ".join(f"Join customers c{number} ON true" for number in range(20)),
    ";".join(["SELECT ssn FROM customers"] * 20),
]


@pytest.mark.parametrize("text", DENSE)
def test_a_short_text_is_long_where_masks_make_much_of_it(text: str) -> None:
    assert len(text) < LONG_TEXT
    assert is_long(text.encode(), 8)
    assert not is_long(text.encode(), 0), "nothing is masked"


def test_usual_texts_are_not_long() -> None:
    for text in (
        "SELECT * FROM customers WHERE id = 1",
        "SELECT id, name, email, ssn, phone FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.id = 5",
        "INSERT INTO orders (id, customer_id, status) VALUES ($1, $2, $3) RETURNING id",
    ):
        assert not is_long(text.encode(), 20)
    assert is_long(b"SELECT * FROM wide", 1600)
    assert is_long(b"x" * (LONG_TEXT + 1), 0)


@pytest.mark.parametrize("plan", [Plan(), Plan(widest=8)])
async def test_such_a_text_is_read_beside_the_event_loop_where_something_is_masked(plan: Plan) -> None:
    async with Playbook() as play:
        text = DENSE[0]
        play.reader.plan = plan
        play.reader.colds = {text}
        await play.say(messages.query(text.encode()))
        assert [warmed for warmed, _, _ in play.reader.warmed][:1] == ([text] if plan.widest else [])
