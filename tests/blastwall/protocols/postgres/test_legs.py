"""Legs: runs become chunks that say whom they answer; the gateway's own questions stay its own."""

from __future__ import annotations

import asyncio

import pytest

from blastwall.errors import UpstreamFault
from blastwall.masking.detectors import detectors
from blastwall.masking.plan import Plan
from blastwall.model import Direction, Masked
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import Expected, Step
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.legs import ASKING, ClientGone
from blastwall.protocols.postgres.net import Net
from blastwall.protocols.postgres.skim import CHUNK_BYTES
from tests.blastwall.protocols.postgres.playbook import Playbook, written

IDLE = messages.ready_for_query(b"I")


async def quiet(net: Net | None = None) -> Playbook:
    """A playbook whose channel does not run: the test drives the legs itself."""
    play = await Playbook(net=net).__aenter__()
    play.task.cancel()
    await asyncio.wait({play.task})
    return play


async def test_chunks_say_which_statement_of_a_batch_they_answer() -> None:
    play = await quiet()
    for number in (1, 2):
        play.answers.expect(Expected(Step.BIND, number))
        play.answers.expect(Expected(Step.EXECUTE, number))
    play.answers.expect(Expected(Step.SYNC))
    row, done = messages.data_row((b"1",)), messages.command_complete("SELECT 1")
    play.up.receive((messages.BIND_COMPLETE + row + done) * 2 + IDLE)
    chunks = [chunk async for chunk in play.legs.results(True)]
    assert [(chunk.statement, chunk.rows, chunk.tag) for chunk in chunks] == [(1, 1, "SELECT 1"), (2, 1, "SELECT 1")]
    assert b"".join(chunk.data for chunk in chunks) == (messages.BIND_COMPLETE + row + done) * 2 + IDLE


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("failing", [False, True])
async def test_each_statement_of_a_text_has_its_completion_told(masks: bool, failing: bool) -> None:
    net = Net(detectors(), lambda mask, text: text, Plan) if masks else None
    play = await quiet(net)
    play.answers.expect(Expected(Step.QUERY, 1))
    said = messages.command_complete("DELETE 2") + messages.command_complete("INSERT 0 1")
    if failing:
        said += messages.error_response("ERROR", "22012", "division by zero")
    play.up.receive(said + IDLE)
    chunks = [chunk async for chunk in play.legs.results(True)]
    told = [(chunk.tag, chunk.error) for chunk in chunks if chunk.tag or chunk.error]
    assert told == [("DELETE 2", ""), ("INSERT 0 1", ""), *([("", "22012")] if failing else [])]
    assert b"".join(chunk.data for chunk in chunks) == said + IDLE


async def test_a_notice_is_told_of_the_statement_that_runs() -> None:
    """The recording takes out of it what it took out of the statement."""
    play = await quiet()
    notice = messages.notice_response("NOTICE", "00000", "as you said: hunter2")
    play.answers.expect(Expected(Step.QUERY, 7))
    play.up.receive(notice)
    assert [chunk.statement async for chunk in play.legs.results(False)] == [7]
    play.up.receive(messages.command_complete("DO") + IDLE + notice)
    assert [(chunk.statement, chunk.tag) async for chunk in play.legs.results(False)] == [(7, "DO"), (0, "")]


async def test_a_large_result_travels_in_bounded_chunks() -> None:
    play = await quiet()
    play.answers.expect(Expected(Step.QUERY, 1))
    row = messages.data_row((b"x" * 1000,))
    rows = row * 1000
    sizes = []
    for start in range(0, len(rows), 50_000):
        play.up.receive(rows[start : start + 50_000])
        sizes += [len(chunk.data) async for chunk in play.legs.results(False)]
    assert sum(sizes) == len(rows)
    assert max(sizes) <= 2 * CHUNK_BYTES


async def test_the_gateways_own_question_is_answered_to_the_gateway_only() -> None:
    play = await quiet()
    asked = asyncio.ensure_future(play.legs.ask("SELECT 1"))
    await play.settle()
    sent = written(play.up_wire)
    question = messages.close(b"S", ASKING) + messages.parse(ASKING, b"SELECT 1")
    assert sent.startswith(question), "a simple query would destroy the unnamed statement"
    assert sent.endswith(messages.close(b"P", ASKING) + messages.close(b"S", ASKING) + messages.SYNC)
    made = messages.CLOSE_COMPLETE + messages.PARSE_COMPLETE + messages.BIND_COMPLETE
    play.up.receive(made + messages.data_row((b"42", None)))
    play.up.receive(messages.command_complete("SELECT 1") + messages.CLOSE_COMPLETE * 2 + IDLE)
    play.signal.set()
    assert await asyncio.wait_for(asked, 5) == [(b"42", None)]
    assert not play.legs.outgoing


async def test_a_refused_question_is_a_fault_of_the_target() -> None:
    play = await quiet()
    asked = asyncio.ensure_future(play.legs.ask("SELECT 1"))
    await play.settle()
    play.up.receive(messages.error_response("ERROR", "42501", "permission denied for view x") + IDLE)
    play.signal.set()
    with pytest.raises(UpstreamFault, match="permission denied"):
        await asyncio.wait_for(asked, 5)
    assert play.answers.quiescent


async def test_a_slow_client_is_waited_for_and_a_gone_one_is_not() -> None:
    play = await quiet()
    play.down_wire.choked = True
    relaying = asyncio.ensure_future(play.legs.relay(Masked(b"data")))
    await play.settle()
    assert not relaying.done()
    play.down_wire.closed = True
    play.signal.set()
    with pytest.raises(ClientGone):
        await asyncio.wait_for(relaying, 5)


async def test_what_the_agent_streams_in_is_framed_anew() -> None:
    play = await quiet()
    await play.legs.relay(Masked(b"1\n2\n", direction=Direction.TO_TARGET))
    assert written(play.up_wire) == messages.copy_data(b"1\n2\n")


async def test_a_held_client_that_cancels_or_leaves_is_noticed() -> None:
    play = await quiet()
    gone = asyncio.ensure_future(play.legs.gone())
    await play.settle()
    assert play.legs.waiting
    play.legs.cancelled = True
    play.signal.set()
    assert await asyncio.wait_for(gone, 5) == "cancelled"
    assert not play.legs.waiting
    gone = asyncio.ensure_future(play.legs.gone())
    play.legs.down.receive(messages.query(b"SELECT 1"))
    play.signal.set()
    await play.settle()
    assert not gone.done(), "what is pipelined behind it changes nothing"
    play.legs.down.receive(messages.TERMINATE)
    play.signal.set()
    assert await asyncio.wait_for(gone, 5) == "disconnected"
    play = await quiet()
    gone = asyncio.ensure_future(play.legs.gone())
    play.down_wire.closed = True
    play.signal.set()
    assert await asyncio.wait_for(gone, 5) == "disconnected"


def test_who_waits_for_a_message_looks_at_what_is_new_only() -> None:
    down = Downstream()
    down.receive(messages.startup({"user": "a"}))
    down.next_event()
    down.authenticated()
    down.receive(messages.FLUSH * 3 + messages.FLUSH[:2])
    offset = down.search(b"X", 0)
    assert offset == 3 * len(messages.FLUSH)
    down.receive(messages.FLUSH[2:] + messages.FLUSH)
    assert down.search(b"X", offset) == 5 * len(messages.FLUSH)
    down.receive(messages.TERMINATE)
    assert down.search(b"X", offset) == -1 and down.holds(b"X")
