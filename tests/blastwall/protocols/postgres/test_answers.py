"""Answers: the queue of what the server owes, and the filter on what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.answers import ALLOWED, FINAL, STEPS, Answers, Expected, Step
from blastwall.protocols.postgres.names import Names
from blastwall.protocols.postgres.net import Marking
from blastwall.protocols.postgres.upstream import Run


def run(frame: bytes) -> Run:
    return Run(frame[0], frame, 1, False)


def answers() -> Answers:
    return Answers(Names(), {"client_encoding": "UTF8"})


def test_every_step_ends_in_something_it_allows() -> None:
    for step in range(len(STEPS)):
        assert FINAL[step] <= ALLOWED[step]


def test_effects_run_once_for_each_completed_statement() -> None:
    told: list[str] = []
    owed = answers()
    owed.expect(Expected(Step.QUERY, 1, (lambda: told.append("first"), None, lambda: told.append("third"))))
    for tag in ("SELECT 1", "SELECT 1", "DEALLOCATE"):
        owed.digest(run(messages.command_complete(tag)))
    owed.digest(run(messages.ready_for_query(b"I")))
    assert told == ["first", "third"]
    assert owed.quiescent


def test_an_error_skips_to_sync_and_undoes_what_was_skipped() -> None:
    undone: list[str] = []
    owed = answers()
    owed.expect(Expected(Step.PARSE, 1, failed=lambda: undone.append("parse")))
    owed.expect(Expected(Step.BIND, 1, failed=lambda: undone.append("bind")))
    owed.expect(Expected(Step.SYNC))
    owed.digest(run(messages.error_response("ERROR", "42601", "no")))
    assert undone == ["bind", "parse"], "the last first: each finds what stood before it"
    assert not owed.skipping
    owed.digest(run(messages.ready_for_query(b"I")))
    assert owed.quiescent


def test_without_a_sync_on_its_way_the_server_is_skipping() -> None:
    owed = answers()
    owed.expect(Expected(Step.PARSE, 1))
    owed.digest(run(messages.error_response("ERROR", "42601", "no")))
    assert owed.skipping
    owed.expect(Expected(Step.SYNC))
    assert not owed.skipping


def test_the_refusal_takes_the_place_of_the_servers_error() -> None:
    owed = answers()
    refusal = messages.error_response("ERROR", "42501", "blastwall says no")
    owed.expect(Expected(Step.QUERY, 1, replacement=refusal))
    assert owed.digest(run(messages.error_response("ERROR", "42601", "syntax"))) == refusal
    assert owed.error == "42501"


def test_positions_of_a_rewritten_text_are_dropped() -> None:
    owed = answers()
    owed.expect(Expected(Step.QUERY, 1, rewritten=True))
    said = owed.digest(run(messages.error_response("ERROR", "42703", "no such column", position=8)))
    assert "P" not in replies.error_fields(said)
    assert replies.error_fields(said)["M"] == "no such column"


def test_hidden_queries_leave_no_trace() -> None:
    owed = answers()
    owed.expect(Expected(Step.QUERY, hidden=True))
    row = messages.data_row((b"x",))
    for frame in (row, messages.command_complete("SELECT 1"), messages.ready_for_query(b"I")):
        assert owed.digest(run(frame)) == b""


def test_w21_pins_are_watched() -> None:
    owed = answers()
    assert owed.digest(run(messages.parameter_status("client_encoding", "UTF8")))
    with pytest.raises(UpstreamFault, match="client_encoding"):
        owed.digest(run(messages.parameter_status("client_encoding", "SJIS")))


FRAMES = [
    messages.PARSE_COMPLETE,
    messages.BIND_COMPLETE,
    messages.CLOSE_COMPLETE,
    messages.NO_DATA,
    messages.data_row((b"1",)),
    messages.command_complete("SELECT 1"),
    messages.ready_for_query(b"I"),
    messages.PORTAL_SUSPENDED,
    messages.error_response("ERROR", "XX000", "e"),
]


@given(st.lists(st.integers(0, len(STEPS) - 1), max_size=6), st.lists(st.sampled_from(FRAMES), max_size=20))
def test_whatever_a_hostile_server_says_only_its_own_fault_is_raised(steps: list[int], said: list[bytes]) -> None:
    owed = answers()
    for step in steps:
        owed.expect(Expected(step, 1))
    try:
        for frame in said:
            owed.digest(run(frame))
    except UpstreamFault:
        pass
    assert owed.ready_owed >= 0


def test_between_flush_and_sync_nothing_is_owed_and_yet_the_batch_is_open() -> None:
    owed = answers()
    assert owed.at_rest
    owed.expect(Expected(Step.PARSE))
    owed.digest(run(messages.PARSE_COMPLETE))
    assert owed.quiescent and not owed.at_rest
    owed.expect(Expected(Step.SYNC))
    owed.digest(run(messages.ready_for_query(b"I")))
    assert owed.at_rest


def test_a_step_that_stands_for_another_has_nothing_of_the_first() -> None:
    told: list[str] = []
    owed = answers()
    first = Expected(
        *(Step.QUERY, 1, (lambda: told.append("done"),), lambda: told.append("failed"), b"instead", True),
        marking=Marking(),
    )
    owed.expect(first)
    owed.digest(run(messages.command_complete("SELECT 1")))
    owed.digest(run(messages.ready_for_query(b"I")))
    assert told == ["done"]
    owed.ask(Step.QUERY, 2, (), None, False, None)
    assert owed.head is first and first == Expected(Step.QUERY, 2) and first.marking is None
    said = messages.error_response("ERROR", "22012", "division by zero")
    assert owed.digest(run(said)) == said and told == ["done"]


@given(
    st.lists(
        st.sampled_from(["SELECT 1", "SELECT 2", "SELECT 10", "DELETE 10", "", "BEGIN", "UPDATE 1", "x" * 100]),
        max_size=100,
    )
)
def test_each_completion_tag_is_the_one_that_came(tags: list[str]) -> None:
    owed = answers()
    for number, tag in enumerate(tags):
        for each in (tag, f"SELECT {number}"):
            owed.expect(Expected(Step.EXECUTE, 1))
            owed.digest(run(messages.command_complete(each)))
            assert owed.tag == each
