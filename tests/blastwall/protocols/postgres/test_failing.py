"""An error of the gateway's own: told at once where nothing is on its way, else in the place of the server's."""

from __future__ import annotations

import pytest

from blastwall.model import Denial, DenialCode, Statement, StatementKind
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.classify import Finding, classify, offline
from blastwall.protocols.postgres.failing import Failing
from blastwall.protocols.postgres.legs import POISON
from blastwall.protocols.postgres.names import Prepared
from tests.blastwall.protocols.postgres.playbook import Playbook, types

DENIED = Denial(DenialCode.POLICY, "no")
QUERY = Statement("SELECT 1", number=1)
PARSE = Statement("SELECT 1", StatementKind.PREPARE, number=1)


async def test_where_nothing_is_on_its_way_it_is_told_at_once() -> None:
    async with Playbook() as play:
        failing = Failing(play.legs, play.reader.find)
        failing.refuse_query(QUERY, DENIED)
        failing.refuse_extended(PARSE, DENIED)
        assert [types(chunk.data) for chunk in play.legs.local] == ["EZ", "E"]
        assert not play.legs.staged and play.answers.skipping


@pytest.mark.parametrize("extended", [False, True])
async def test_an_open_transaction_fails_at_the_server_too(extended: bool) -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"BEGIN"))
        await play.answer(messages.command_complete("BEGIN") + messages.ready_for_query(b"T"))
        failing = Failing(play.legs, play.reader.find)
        if extended:
            failing.refuse_extended(PARSE, DENIED)
        else:
            failing.refuse_query(QUERY, DENIED)
        assert not play.legs.local, "the client hears it when the server has failed"
        assert POISON in await play.sent()


async def test_what_is_refused_leaves_no_unnamed_statement_behind() -> None:
    async with Playbook() as play:
        for refuse in ("refuse_query", "refuse_extended"):
            play.names.prepare(Prepared("", "", "SELECT 1", play.reader.find("SELECT 1").facts))
            getattr(Failing(play.legs, play.reader.find), refuse)(PARSE, DENIED)
            assert not play.names.prepared


def found(text: str) -> Finding:
    return classify(text, offline(None))


@pytest.mark.parametrize("refuse", ["refuse_query", "refuse_extended"])
async def test_a_text_that_does_not_read_is_told_where(refuse: str) -> None:
    async with Playbook() as play:
        wrong = Statement("SELECT 'äö' FROM t WHERE )", number=1)
        reason = found(wrong.text).facts.reason
        for denial, place in (
            (Denial(DenialCode.UNKNOWN, reason), "26"),
            (Denial(DenialCode.UNKNOWN, "the text is not valid UTF-8"), None),
            (Denial(DenialCode.BUDGET, reason), None),
        ):
            getattr(Failing(play.legs, found), refuse)(wrong, denial)
            told = play.legs.local.pop().data.removesuffix(messages.ready_for_query(b"I"))
            assert replies.error_fields(told).get("P") == place
        assert "at character 26" in reason
