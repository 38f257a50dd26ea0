"""The gateway's own statements: inside a transaction or a batch, and the client hears nothing of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from blastwall.masking.detectors import detectors
from blastwall.masking.plan import Plan
from blastwall.protocols.postgres import inner, messages
from blastwall.protocols.postgres.legs import ClientGone
from blastwall.protocols.postgres.net import Net
from tests.blastwall.protocols.postgres.playbook import Playbook, types

CLOSED, PREPARED = messages.CLOSE_COMPLETE, messages.PARSE_COMPLETE + messages.BIND_COMPLETE
IDLE, OPEN, FAILED = (messages.ready_for_query(status) for status in (b"I", b"T", b"E"))


@pytest.fixture
async def play() -> AsyncIterator[Playbook]:
    async with Playbook() as play:
        play.task.cancel()
        await asyncio.wait({play.task})
        yield play


@pytest.mark.parametrize("sync", [False, True])
async def test_rows_come_back_and_nothing_is_heard(play: Playbook, sync: bool) -> None:
    asked = asyncio.ensure_future(inner.ask(play.legs, "SELECT $1", types=[23], values=[b"7"], sync=sync))
    sent = await play.sent()
    assert types(sent) == ("CPBECCS" if sync else "CPBECCH"), "a Sync would end the client's own batch"
    row = messages.data_row((b"7", None))
    done = CLOSED + PREPARED + row + messages.command_complete("SELECT 1") + CLOSED + CLOSED
    assert await play.answer(done + (OPEN if sync else b"")) == b""
    assert await asked == [(b"7", None)]


async def test_a_refusal_is_raised_with_what_the_client_may_hear_of_it(play: Playbook) -> None:
    asked = asyncio.ensure_future(inner.ask(play.legs, "SELECT 1"))
    await play.sent()
    error = messages.error_response("ERROR", "55P03", "canceling statement due to lock timeout")
    assert await play.answer(CLOSED + error) == b""
    with pytest.raises(inner.Refused) as refused:
        await asked
    assert (refused.value.told, refused.value.code) == (error, "55P03")
    assert play.answers.skipping, "the server discards until Sync"


async def test_after_a_sync_nothing_is_to_be_skipped(play: Playbook) -> None:
    asked = asyncio.ensure_future(inner.ask(play.legs, "SELECT 1", sync=True))
    await play.sent()
    await play.answer(CLOSED + messages.error_response("ERROR", "42501", "denied") + FAILED)
    with pytest.raises(inner.Refused):
        await asked
    assert not play.answers.skipping and play.answers.at_rest


async def test_a_command_is_a_simple_query(play: Playbook) -> None:
    asked = asyncio.ensure_future(inner.command(play.legs, "BEGIN"))
    assert await play.sent() == messages.query(b"BEGIN")
    assert await play.answer(messages.command_complete("BEGIN") + OPEN) == b""
    await asked


async def test_settings_that_are_put_back_are_not_told(play: Playbook) -> None:
    asked = asyncio.ensure_future(inner.ask(play.legs, "SELECT 1"))
    await play.sent()
    told = messages.parameter_status("DateStyle", "ISO, YMD")
    done = CLOSED + PREPARED + told + messages.command_complete("SELECT 0") + CLOSED + CLOSED
    assert await play.answer(done) == b""
    assert await asked == [] and not play.legs.local


async def test_an_answer_has_a_limit_and_is_read_to_its_end(play: Playbook) -> None:
    asked = asyncio.ensure_future(inner.ask(play.legs, "SELECT 1", most=20))
    await play.sent()
    row = messages.data_row((b"x" * 30,))
    await play.answer(CLOSED + PREPARED + row)
    assert not asked.done(), "what the server still says would be taken for the answer to the next question"
    assert await play.answer(row + messages.command_complete("SELECT 2") + CLOSED + CLOSED) == b""
    with pytest.raises(inner.TooMuch):
        await asked
    assert play.answers.quiescent and not play.answers.skipping


async def test_what_a_function_says_to_the_gateway_is_not_for_the_client(play: Playbook) -> None:
    asked = asyncio.ensure_future(inner.ask(play.legs, "SELECT 1"))
    await play.sent()
    said = messages.notice_response("NOTICE", "00000", "row of ada")
    await play.answer(CLOSED + PREPARED + said + messages.command_complete("SELECT 0") + CLOSED + CLOSED)
    assert await asked == [] and not play.legs.local


async def test_what_a_trigger_says_at_the_commit_is(play: Playbook) -> None:
    asked = asyncio.ensure_future(inner.command(play.legs, "COMMIT"))
    await play.sent()
    said = messages.notice_response("NOTICE", "00000", "checked")
    zone = messages.parameter_status("TimeZone", "UTC")
    await play.answer(said + messages.command_complete("COMMIT") + zone + IDLE)
    await asked
    assert [chunk.data for chunk in play.legs.local] == [said, zone]


@pytest.mark.parametrize("masked", [False, True])
async def test_where_anything_is_masked_a_refusal_holds_no_value(masked: bool) -> None:
    """The question reads whole rows: the server's words about it can quote any of them."""
    plan = Plan(opaque={1: "it may show masked values"} if masked else {})
    async with Playbook(net=Net(detectors(), lambda mask, text: text, lambda: plan)) as play:
        play.task.cancel()
        await asyncio.wait({play.task})
        asked = asyncio.ensure_future(inner.ask(play.legs, "SELECT secret::int FROM t"))
        await play.sent()
        await play.answer(CLOSED + messages.error_response("ERROR", "22P02", 'invalid input: "4111 1111"'))
        with pytest.raises(inner.Refused) as refused:
            await asked
    assert refused.value.code == "22P02" and b"22P02" in refused.value.told
    assert (b"4111" in refused.value.told) is not masked and "4111" not in str(refused.value)


async def test_a_client_that_leaves_is_not_waited_for(play: Playbook) -> None:
    from blastwall.protocols.postgres.answers import Expected, Step

    play.answers.expect(Expected(Step.PARSE))

    async def follow() -> None:
        async for _ in inner.chunks(play.legs):
            pass

    following = asyncio.ensure_future(follow())
    await play.settle()
    play.down_wire.connection_lost(None)
    play.signal.set()
    with pytest.raises(ClientGone):
        await asyncio.wait_for(following, 5)
