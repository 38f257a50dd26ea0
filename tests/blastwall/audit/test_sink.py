"""Events as lines, and what all sinks share: sizes, pieces, a session's order."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from blastwall.audit.sink import MAX_EVENT, chunks, cut, day, line, send_in_order, session, uid


def event(id="r-1", time=1_800_000_000_000, of="s-1", **more):
    return {"metadata": {"uid": id, "correlation_uid": of}, "time": time, **more}


def test_a_line_cannot_be_forged_or_broken():
    text = line(event(message="a\n{}\u2028\x1b[31m\u202e"))
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["message"] == "a\n{}\u2028\x1b[31m\u202e"


def test_equal_events_give_equal_lines():
    assert line({"b": 1, "a": 2}) == line({"a": 2, "b": 1}) == '{"a":2,"b":1}'


def test_days_are_utc():
    assert day(event(time=1_800_000_000_000)) == "2027-01-15"
    assert day({"time": 1_799_971_199_999}) == "2027-01-14"
    assert day({"time": 1_799_971_200_000}) == "2027-01-15"


def test_what_is_too_long_is_cut_and_says_so():
    large = event(message="\U0001f600" * 32_768, objects=["read table " + "x" * 500] * 2_000, short="kept")
    text = line(large)
    found = json.loads(text)
    assert len(text) <= MAX_EVENT
    assert found["unmapped"]["blastwall"]["cut"] is True
    assert (found["short"], uid(found), session(found)) == ("kept", "r-1", "s-1")
    assert found["message"]
    assert found["objects"]
    assert "cut" not in line(event(message="x" * 1000))


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(st.text(max_size=300), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("ab"), inner))
)
def test_cutting_ends(value):
    found = cut(event(value=value), 600)
    assert len(line(found)) <= 600 or '""' in line(found) or "[]" in line(found)


def test_chunks_keep_number_and_size():
    batch = [event(str(number)) for number in range(25)]
    assert [len(piece) for piece in chunks(batch, most=10, size=10_000, of=lambda _: 1)] == [10, 10, 5]
    assert [len(piece) for piece in chunks(batch, most=99, size=70, of=lambda _: 10)] == [7, 7, 7, 4]
    assert [len(piece) for piece in chunks(batch[:2], most=9, size=5, of=lambda _: 10)] == [1, 1], "alone, if must be"


def test_nothing_is_sent_behind_a_failed_event_of_its_session():
    pieces = [
        [event("1", of="a"), event("2", of="b")],
        [event("3", of="a"), event("4", of="b")],
        [event("5", of="a")],
        [event("6", of="b")],
    ]
    sent = []

    def send(piece):
        sent.append([uid(one) for one in piece])
        return {"1"} & {uid(one) for one in piece}

    assert send_in_order(pieces, send) == {"1", "3", "5"}
    assert sent == [["1", "2"], ["4"], ["6"]]
