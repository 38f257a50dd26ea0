"""What is held back: counted by its tags, up to a size, and given out in portions that are whole messages."""

from __future__ import annotations

import time

import pytest

from blastwall.model import Chunk
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import Answers
from blastwall.protocols.postgres.held import SUSPENDED, Count, Held, Portion, changed
from blastwall.protocols.postgres.names import Names


@pytest.mark.parametrize(
    ("tag", "rows"),
    [
        ("INSERT 0 7", 7),
        ("UPDATE 0", 0),
        ("DELETE 12", 12),
        ("MERGE 3", 3),
        ("COPY 9", 9),
        ("SELECT 3", None),
        ("TRUNCATE TABLE", None),
        ("DELETE", None),
        ("DELETE ٣", None),
        ("", None),
    ],
)
def test_some_tags_say_how_many_rows_were_changed(tag: str, rows: int | None) -> None:
    assert changed(tag) == rows


def counted(changing: tuple[bool, ...], *tags: str) -> int | None:
    answers = Answers(Names(), {})
    ran: list[str] = []
    count = Count(answers, changing)
    effects = count.watch((lambda: ran.append("its own"),))
    for effect, tag in zip(effects, tags, strict=False):
        answers.tag = tag
        assert effect is not None
        effect()
    assert ran == ["its own"] * bool(tags), "the effects it had still happen"
    return count.rows


def test_a_texts_changes_are_counted_together() -> None:
    assert counted((True,), "DELETE 2") == 2
    assert counted((True, False, True), "DELETE 2", "SELECT 5", "INSERT 0 3") == 5


def test_unless_all_of_them_say_so_nothing_is_counted() -> None:
    assert counted((True,)) is None
    assert counted((True, True), "DELETE 2") is None
    assert counted((True, True), "DELETE 2", "SELECT 1") is None


def test_more_than_fits_is_let_go_but_for_errors() -> None:
    held = Held(most=10)
    held.add(Chunk(b"12345678"))
    assert not held.too_much
    held.add(Chunk(b"345"))
    held.add(Chunk(b"6"))
    held.add(Chunk(b"error", error="22012"))
    assert held.too_much and [chunk.data for chunk in held.release()] == [b"error"]
    assert held.release() == []


def test_the_completion_can_be_taken_out_alone() -> None:
    held = Held()
    row, done = messages.data_row((b"DELETE 1\0",)), messages.command_complete("DELETE 1")
    held.add(Chunk(row, 4, 1))
    held.add(Chunk(row + done, 4, 1, "DELETE 1"))
    assert [(chunk.data, chunk.tag, chunk.rows) for chunk in held.without_completion()] == [(row, "", 1), (row, "", 1)]


def test_the_statements_before_the_last_have_completed() -> None:
    held = Held()
    first, last = messages.command_complete("UPDATE 1"), messages.command_complete("DELETE 1")
    held.add(Chunk(first, 4, 0, "UPDATE 1"))
    held.add(Chunk(last, 4, 0, "DELETE 1"))
    assert [(chunk.data, chunk.tag) for chunk in held.without_completion()] == [(first, "UPDATE 1"), (b"", "")]


def test_portions_are_as_large_as_they_are_asked_for() -> None:
    rows = [messages.data_row((str(number).encode(),)) for number in range(5)]
    notice = messages.notice_response("NOTICE", "00000", "hm")
    done = messages.command_complete("DELETE 5")
    everything = rows[0] + notice + b"".join(rows[1:]) + done
    pieces = [Chunk(everything[:13], 3, 0), Chunk(everything[13:], 3, 5, "DELETE 5")]  # cut within a row
    portion = Portion(pieces, 3)
    (first,) = portion.take(2)
    assert (first.data, first.rows, first.tag) == (rows[0] + notice + rows[1] + SUSPENDED, 2, "")
    (second,) = portion.take(3)
    assert second.data == b"".join(rows[2:]) + SUSPENDED and not portion.done, "as the server: it did not look further"
    (third,) = portion.take(3)
    assert (third.data, third.rows, third.tag, portion.done) == (done, 0, "DELETE 5", True)


def test_all_of_it_is_given_as_it_came() -> None:
    pieces = [Chunk(b"x", 3, 1), Chunk(b"y", 3, 1, "DELETE 2")]
    assert Portion(pieces, 3).take(0) == pieces


def test_many_rows_one_by_one_take_no_time_of_their_own() -> None:
    """A list that is shifted for every row takes a second for these."""
    many = 200_000
    row, done = messages.data_row((b"1",)), messages.command_complete(f"DELETE {many}")
    portion = Portion([Chunk(row * many + done, 3, many, f"DELETE {many}")], 3)
    began = time.process_time()
    while not portion.done:
        portion.take(1)
    assert time.process_time() - began < 4
    assert portion.size == 0


def test_what_was_given_out_is_not_held_any_more() -> None:
    portion = Portion([Chunk(b"x" * 50, 3, 1), Chunk(b"y", 3, 1, "DELETE 2")], 3)
    assert portion.size == 51
    portion.take(0)
    assert portion.done and portion.size == 0 and portion.take(0) == []
