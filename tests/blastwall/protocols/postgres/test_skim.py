"""Skim: whatever a server says, reading ahead gives the client, the queue and the recording what frame by frame does."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import COMPLETE, COPY_DATA, ROW, STEPS, Answers, Expected, Step
from blastwall.protocols.postgres.names import Names
from blastwall.protocols.postgres.skim import CHUNK_BYTES, skim
from blastwall.protocols.postgres.upstream import Ready, Run, Upstream
from tests.blastwall.protocols.postgres.playbook import UNASKED

IDLE = messages.ready_for_query(b"I")
EMPTY = messages.EMPTY_QUERY_RESPONSE
LAYOUT = messages.row_description([("n", 0, 0, 23, 4, -1, 0)])
DATA = messages.data_row((b"12345",))
ONE = messages.command_complete("SELECT 1")
TWO = messages.command_complete("DELETE 2")
GOOD = {
    Step.PARSE: [messages.PARSE_COMPLETE],
    Step.BIND: [messages.BIND_COMPLETE],
    Step.CLOSE: [messages.CLOSE_COMPLETE],
    Step.DESCRIBE_STATEMENT: [messages.parameter_description((23,)) + LAYOUT],
    Step.DESCRIBE_PORTAL: [LAYOUT, messages.NO_DATA],
    Step.EXECUTE: [DATA * 3 + ONE, TWO, EMPTY, DATA + messages.PORTAL_SUSPENDED],
    Step.SYNC: [IDLE, messages.ready_for_query(b"T"), messages.ready_for_query(b"E")],
    Step.QUERY: [LAYOUT + DATA * 2 + ONE + IDLE, TWO + LAYOUT + ONE + IDLE, EMPTY + IDLE],
}
#: What a server, or somebody in its place, may put between.
OTHER = [
    *UNASKED,
    DATA,
    ONE,
    IDLE,
    messages.frame(b"C", b"SELECT 1"),  # without its end
    messages.frame(b"Z", b"?"),
    b"Z\0\0\0\6I",
    b"D\0\0\0\5",
    b"?\0\0\0\4",
    b"W\0\0\0\4",
]


@dataclass
class Server:
    """Both engines, past the start-up, and what came of them."""

    ahead: bool
    told: bytes = b""
    rows: int = 0
    tags: list[str] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    fault: str = ""

    def __post_init__(self) -> None:
        self.up = Upstream()
        self.up.start({"user": "a", "database": "d"}, None, nonce="n" * 24)
        self.up.receive(messages.AUTHENTICATION_OK + messages.backend_key_data(1, b"abcd") + IDLE)
        assert isinstance(self.up.next_event(), Ready)
        self.answers = Answers(Names(), {"client_encoding": "UTF8"})

    def expect(self, number: int, step: int, hidden: bool) -> None:
        def done() -> None:
            self.effects.append(f"{STEPS[step]} {number}")

        def failed() -> None:
            self.effects.append(f"{STEPS[step]} {number} failed")

        if hidden:
            self.answers.expect(Expected(step, number, (done,), failed, hidden=True))
        else:
            self.answers.ask(step, number, (done,), failed, False, None)

    def receive(self, data: bytes) -> None:
        if self.fault:
            return
        self.up.receive(data)
        try:
            while True:
                chunk = skim(self.up, self.answers) if self.ahead else None
                if chunk is not None:
                    self.told += chunk.data
                    self.rows += chunk.rows
                    self.tags += [chunk.tag] if chunk.tag else []
                    continue
                run = self.up.next_event()
                if run is None:
                    return
                assert isinstance(run, Run)
                data = self.answers.digest(run)
                self.told += data
                if data and run.type in (ROW, COPY_DATA):
                    self.rows += run.count
                elif data and run.type == COMPLETE:
                    self.tags.append(self.answers.tag)
        except UpstreamFault as fault:
            self.fault = str(fault)

    @property
    def state(self) -> tuple[object, ...]:
        answers = self.answers
        return (
            *(answers.status, answers.ready_owed, answers.at_rest, answers.copying_in, answers.number, answers.fatal),
            *(answers.skipping, answers.error, self.effects, self.fault, self.fault or self.up.buffered),
        )


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[tuple[int, int, bool]], bytes]:
    """What was asked, and what a server says: mostly what it should."""
    steps = draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([*GOOD]), st.booleans()), max_size=8))
    asked = [(number, step, hidden and step != Step.QUERY) for number, step, hidden in sorted(steps)]
    said = b""
    for _, step, _ in asked:
        if draw(st.integers(0, 9)) == 0:
            said += draw(st.sampled_from(OTHER))
        said += draw(st.sampled_from(GOOD[step]))
    return asked, said + draw(st.sampled_from([b"", *OTHER]))


@settings(max_examples=300)
@given(conversations(), st.integers(1, 80))
@example(([(1, Step.QUERY, False)], LAYOUT + DATA * 3 + ONE + IDLE), 1)
def test_reading_ahead_changes_nothing(conversation: tuple[list[tuple[int, int, bool]], bytes], pace: int) -> None:
    asked, said = conversation
    ahead, plain = Server(True), Server(False)
    for server in (ahead, plain):
        for number, step, hidden in asked:
            server.expect(number, step, hidden)
        for start in range(0, len(said), pace):
            server.receive(said[start : start + pace])
    assert ahead.state == plain.state
    if plain.fault:
        assert plain.told.startswith(ahead.told), "what was read with the fault is not told"
    else:
        assert (ahead.told, ahead.rows, ahead.tags) == (plain.told, plain.rows, plain.tags)


def skimmed(*steps: Expected, said: bytes) -> tuple[Server, list[tuple[int, int, str, int]]]:
    server = Server(True)
    for step in steps:
        server.answers.expect(step)
    server.up.receive(said)
    chunks = []
    while (chunk := skim(server.up, server.answers)) is not None:
        chunks.append((chunk.statement, chunk.rows, chunk.tag, len(chunk.data)))
    return server, chunks


def test_a_whole_answer_is_one_chunk_and_its_very_bytes() -> None:
    said = LAYOUT + DATA * 3 + ONE + IDLE
    server, chunks = skimmed(Expected(Step.QUERY, 7), said=said)
    assert chunks == [(7, 3, "SELECT 1", len(said))]
    assert server.answers.at_rest and server.up.silent


def test_answers_to_two_statements_are_two_chunks() -> None:
    steps = [Expected(step, number) for number in (1, 2) for step in (Step.BIND, Step.EXECUTE)]
    each = messages.BIND_COMPLETE + DATA + ONE
    _, chunks = skimmed(*steps, Expected(Step.SYNC), said=each * 2 + IDLE)
    assert [chunk[:3] for chunk in chunks] == [(1, 1, "SELECT 1"), (2, 1, "SELECT 1")]


@pytest.mark.parametrize("said", [OTHER[0], OTHER[1], b"D\0\0\0\5", DATA[:-1], b"Z\0\0\0\6I", messages.NO_DATA])
def test_it_stops_before_whatever_is_not_plainly_an_answer(said: bytes) -> None:
    server, chunks = skimmed(Expected(Step.QUERY, 1), said=LAYOUT + said)
    assert chunks == [(0, 0, "", len(LAYOUT))]
    assert server.up.buffered == len(said)


def test_what_is_kept_from_the_client_is_not_skimmed() -> None:
    server, chunks = skimmed(Expected(Step.BIND, 1, hidden=True), said=messages.BIND_COMPLETE)
    assert chunks == [] and not server.answers.at_rest
    for name in ("condemned", "muted"):
        server = Server(True)
        server.answers.expect(Expected(Step.QUERY, 1))
        setattr(server.answers, name, True)
        server.up.receive(LAYOUT + DATA + ONE + IDLE)
        assert skim(server.up, server.answers) is None


def test_chunks_are_bounded() -> None:
    row = messages.data_row((b"x" * 1000,))
    many = messages.NO_DATA * 20_000
    _, chunks = skimmed(*[Expected(Step.DESCRIBE_PORTAL, 1) for _ in range(20_000)], said=many)
    assert sum(chunk[3] for chunk in chunks) == len(many)
    assert max(chunk[3] for chunk in chunks) <= CHUNK_BYTES + len(row)
