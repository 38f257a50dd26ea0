"""The end of a batch that is read at once: client, server and recording see what they see message by message.

An Execute for -1 rows is one for all, as it is to the server. Yet it is not how the usual end of a batch is written, so
every batch that is played here with one goes message by message: what the other is held against.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blastwall.masking.detectors import detectors
from blastwall.masking.plan import Plan
from blastwall.model import Denial, Guard, Permit, Statement
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.legs import POISON
from blastwall.protocols.postgres.net import Net
from tests.blastwall.protocols.postgres.playbook import Playbook, decide, frames, types, written

ALL = messages.execute(b"")
ALL_TOO = ALL[:-4] + b"\xff\xff\xff\xff"
DESCRIBE = messages.describe(b"P", b"")
LAYOUT = messages.row_description([("n", 0, 0, 23, 4, -1, 0)])


class Server:
    """Answers frames as PostgreSQL does, as far as it matters here: what it is to fail says so in its bytes."""

    def __init__(self) -> None:
        self.status = b"I"
        self.skipping = False
        self.late = False

    def answer(self, data: bytes) -> bytes:
        return b"".join(self._one(frame) for frame in frames(data))

    def _one(self, frame: bytes) -> bytes:
        kind = chr(frame[0])
        if kind == "S":
            self.skipping = False
            return messages.ready_for_query(self.status)
        if self.skipping or kind == "H":
            return b""
        if kind == "Q":
            return self._query(frame[5:-1])
        if POISON in frame or b"early" in frame or (kind == "E" and self.late):
            return self._fail()
        if kind == "B":
            self.late = b"late" in frame
        layout = messages.parameter_description(()) + LAYOUT if frame[5:6] == b"S" else LAYOUT
        ran = messages.data_row((b"1",)) + messages.command_complete("SELECT 1")
        return {
            "P": messages.PARSE_COMPLETE,
            "B": messages.BIND_COMPLETE,
            "C": messages.CLOSE_COMPLETE,
            "D": layout,
            "E": ran,
        }[kind]

    def _fail(self) -> bytes:
        self.skipping = True
        if self.status == b"T":
            self.status = b"E"
        return messages.error_response("ERROR", "22012", "division by zero")

    def _query(self, text: bytes) -> bytes:
        if POISON in text:
            told = self._fail()
            self.skipping = False
        else:
            self.status = {b"BEGIN": b"T", b"COMMIT": b"I"}.get(text, self.status)
            told = messages.command_complete("DONE")
        return told + messages.ready_for_query(self.status)


def unless_refused(statement: Statement) -> Permit | Denial:
    """Guarded where it says so: what a person approved for so many rows."""
    decided = decide(statement)
    if isinstance(decided, Permit) and "guarded" in statement.text:
        return Permit(statement.text, guard=Guard(3))
    return decided


async def play_it(said: list[bytes], slow: bool, masked: bool, prompt: bool) -> tuple[Any, ...]:
    """What the server heard, what the client did, what was judged, and what the recording was given."""
    net = Net(detectors(), lambda mask, text: text, Plan) if masked else None
    server = Server()
    sent = heard = b""
    async with Playbook(unless_refused, net=net) as play:
        play.slow = slow
        for piece in said:
            new = await play.say(piece)
            while prompt and new:
                sent += new
                heard += await play.answer(server.answer(new))
                new = written(play.up_wire)
            sent += new
            pending = b"" if prompt else new
            while pending:
                heard += await play.answer(server.answer(pending))
                pending = written(play.up_wire)
                sent += pending
        chunks = [(chunk.data, chunk.statement, chunk.rows, chunk.tag, chunk.error) for chunk in play.chunks]
        names = (sorted(play.names.prepared), sorted(play.names.portals), play.names.unnamed is None)
        answers = (play.answers.status, play.answers.quiescent, play.answers.skipping)
        return sent, heard, play.judged, chunks, names, answers, repr(play.fault)


statements = st.sampled_from([b"SELECT 1", b"SELECT 2", b"DELETE FROM t"] * 2 + [b"DENY", b"SELECT early"])
names = st.sampled_from([b"", b"", b"", b"s", b"s", b"unknown"])
values = st.lists(st.sampled_from([b"1", b"2", None, b"late", b"early"]), max_size=2)


@st.composite
def batches(draw: st.DrawFn) -> bytes:
    """A batch as clients send it, with more or less in it than most."""
    name = draw(names)
    parts = [messages.parse(name, draw(statements))] if draw(st.sampled_from([True, True, False])) else []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        portal = draw(st.sampled_from([b"", b"", b"", b"", b"", b"p"]))
        parts.append(messages.bind(portal, name, (), draw(values), draw(st.sampled_from([(), (1,)]))))
        if draw(st.booleans()):
            parts.append(draw(st.sampled_from([DESCRIBE, DESCRIBE, DESCRIBE, messages.describe(b"S", name)])))
        parts.append(draw(st.sampled_from([ALL, ALL, ALL, ALL, ALL, messages.execute(b"p"), messages.execute(b"", 2)])))
    parts.append(draw(st.sampled_from([messages.SYNC] * 5 + [messages.FLUSH, b""])))
    return b"".join(parts)


others = st.sampled_from(
    [
        messages.query(b"BEGIN"),
        messages.query(b"COMMIT"),
        messages.query(b"DENY"),
        messages.SYNC,
        messages.close(b"S", b"s"),
        messages.close(b"P", b""),
        DESCRIBE + ALL + messages.SYNC,
        ALL + messages.SYNC,
        messages.frame(b"B", b"?"),
    ]
)
END = DESCRIBE + ALL + messages.SYNC
PLAIN = messages.parse(b"", b"SELECT 1") + messages.bind(b"", b"") + END


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


@given(
    st.lists(st.one_of(batches(), batches(), batches(), others), min_size=3, max_size=6),
    st.lists(st.integers(0, 2000), max_size=4),
    *[st.booleans()] * 3,
)
@example([PLAIN, PLAIN, PLAIN], [], False, False, True)
@example([PLAIN, PLAIN], [], False, True, False)
@example([PLAIN, PLAIN], [], True, False, True)
@example([PLAIN + PLAIN], [len(PLAIN) - 3], False, False, True)
@settings(max_examples=250, deadline=None)
def test_the_end_of_a_batch_is_the_same_read_at_once(
    said: list[bytes], cuts: list[int], slow: bool, masked: bool, prompt: bool
) -> None:
    whole = b"".join(said)
    at_once = asyncio.run(play_it(cut(whole, cuts), slow, masked, prompt))
    each = asyncio.run(play_it(cut(whole.replace(ALL, ALL_TOO), cuts), slow, masked, prompt))
    assert at_once == each


async def test_what_runs_under_a_guard_goes_message_by_message() -> None:
    """Its rows are counted before anything behind it is sent."""
    text = b"DELETE FROM t WHERE guarded"
    async with Playbook(unless_refused) as play:
        sent = await play.say(messages.parse(b"", text) + messages.bind(b"", b"") + END)
        assert "S" not in types(sent)


async def test_each_run_of_a_prepared_statement_has_its_own_number_permit_and_formats() -> None:
    """Its portal is one that is kept."""
    server = Server()
    async with Playbook() as play:
        await play.answer(server.answer(await play.say(messages.parse(b"s", b"SELECT 1") + messages.SYNC)))
        seen = []
        for formats in ((), (1,), (0,)):
            sent = await play.say(messages.bind(b"", b"s", (), (), formats) + END)
            portal = play.names.unnamed
            assert portal is not None
            seen.append((portal.number, portal.formats, portal.permit, portal.described))
            await play.answer(server.answer(sent))
            assert play.names.unnamed is None, "it ends with its transaction"
        assert [(number, formats, described) for number, formats, _, described in seen] == [
            (2, (), True),
            (3, (1,), True),
            (4, (0,), True),
        ]
        assert len({id(permit) for _, _, permit, _ in seen}) == 3
        await play.say(messages.bind(b"", b"s") + ALL + messages.SYNC)
        assert play.names.unnamed is not None and not play.names.unnamed.described


@pytest.mark.parametrize("end", [END, ALL + messages.SYNC])
async def test_a_batch_leaves_in_one_piece_after_its_commit(end: bytes) -> None:
    async with Playbook() as play:
        batch = messages.parse(b"", b"SELECT 1") + messages.bind(b"", b"", (), (b"7",)) + end
        assert await play.say(batch) == batch, "without a name nothing of it changes"


async def test_w5_a_query_that_the_server_ignores_is_not_waited_for() -> None:
    async with Playbook() as play:
        batch = (
            messages.parse(b"", b"SELECT 1/0")
            + messages.bind(b"", b"")
            + messages.execute(b"")
            + messages.query(b"SELECT 1")
        )
        assert types(await play.say(batch)) == "PBEQ", "nobody knows yet that it fails"
        error = messages.error_response("ERROR", "22012", "division by zero")
        assert types(await play.answer(messages.PARSE_COMPLETE + messages.BIND_COMPLETE + error)) == "12E"
        assert await play.say(messages.query(b"SELECT 2")) == b""
        assert await play.say(messages.SYNC) == messages.SYNC
        assert await play.answer(messages.ready_for_query(b"I")) == messages.ready_for_query(b"I")
        assert await play.say(messages.query(b"SELECT 3")) == messages.query(b"SELECT 3")


@pytest.mark.parametrize("before", [b"", messages.parse(b"", b"SELECT 1"), messages.parse(b"", b"DENY")])
async def test_a_sync_that_does_not_read_is_an_error_and_inside_a_batch_the_end(before: bytes) -> None:
    async with Playbook() as play:
        sent = await play.say(before + messages.frame(b"S", b"?") + messages.query(b"SELECT 2"))
        heard = play.heard()
        if before:
            assert b"SELECT 2" not in sent and POISON not in sent
            assert types(heard)[-1] == "E" and b"SFATAL" in heard and play.task.done()
        else:
            assert types(heard) == "EZ" and sent == messages.query(b"SELECT 2")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("end", [ALL + messages.SYNC, ALL_TOO + messages.SYNC, ALL + messages.FLUSH])
async def test_what_fails_as_late_as_at_sync_is_told_of_the_statement_before_it(end: bytes, masked: bool) -> None:
    net = Net(detectors(), lambda mask, text: text, Plan) if masked else None
    failed = messages.error_response("ERROR", "23505", "duplicate key value violates unique constraint")
    async with Playbook(net=net) as play:
        sent = await play.say(messages.parse(b"", b"INSERT x") + messages.bind(b"", b"") + end)
        done = messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.NO_DATA * types(sent).count("D")
        await play.answer(done + messages.command_complete("INSERT 0 1"))
        if end.endswith(messages.FLUSH):
            await play.say(messages.SYNC)
        await play.answer(failed + messages.ready_for_query(b"I"))
        assert [(chunk.statement, chunk.tag, chunk.error) for chunk in play.chunks if chunk.tag or chunk.error] == [
            (2, "INSERT 0 1", ""),
            (2, "", "23505"),
        ]
        await play.say(messages.SYNC)
        await play.answer(messages.error_response("ERROR", "XX000", "of nothing") + messages.ready_for_query(b"I"))
        assert play.chunks[-1].statement == 0, "an empty batch has no statement"
