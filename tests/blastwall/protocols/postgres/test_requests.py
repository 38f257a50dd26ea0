"""The bodies of client messages: each shape, each way to be malformed, and the server's wording for it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import ProtocolViolation
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.bodies import NAME_LIMIT, MessageViolation
from blastwall.protocols.postgres.requests import (
    READERS,
    Bind,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Event,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Terminate,
)
from tests.blastwall.protocols.postgres.transcripts import spoken


def read(kind: str, body: bytes) -> Event:
    """Read a body in the middle of other bytes: a reader must not look outside its bounds."""
    return READERS[ord(kind)](b"\0x\0" + body + b"\0\0\0\0y\0", 3, 3 + len(body))


BIND = b"p\0s\0" + b"\0\1\0\1" + b"\0\3" + b"\0\0\0\1x" + b"\xff\xff\xff\xff" + b"\0\0\0\0" + b"\0\2\0\0\0\1"

GOOD: list[tuple[str, bytes, Event]] = [
    ("Q", b"SELECT 1\0", Query(b"SELECT 1")),
    ("Q", b"\0", Query(b"")),
    ("P", b"s\0SELECT $1\0\0\1\0\0\0\x17", Parse(b"s", b"SELECT $1", (23,))),
    ("P", b"\0\0\0\0", Parse(b"", b"", ())),
    ("P", b"\0x\0\0\1\xff\xff\xff\xff", Parse(b"", b"x", (0xFFFFFFFF,))),
    ("B", BIND, Bind(b"p", b"s", (1,), (b"x", None, b""), (0, 1), BIND[4:])),
    ("B", b"\0\0\0\0\0\0\0\0", Bind(b"", b"", (), (), (), b"\0\0\0\0\0\0")),
    ("B", b"\0\0\0\1\0\0\0\0\0\1\0\1", Bind(b"", b"", (0,), (), (1,), b"\0\1\0\0\0\0\0\1\0\1")),
    ("D", b"Ss\0", Describe(b"S", b"s")),
    ("D", b"P\0", Describe(b"P", b"")),
    ("E", b"p\0\0\0\0\x32", Execute(b"p", 50)),
    ("E", b"\0\0\0\0\0", Execute(b"", 0)),
    ("C", b"S\0", Close(b"S", b"")),
    ("C", b"Pp\0", Close(b"P", b"p")),
    ("S", b"", Sync()),
    ("H", b"", Flush()),
    ("d", b"1\t2\n", CopyData(b"1\t2\n")),
    ("d", b"", CopyData(b"")),
    ("c", b"", CopyDone()),
    ("f", b"why\0", CopyFail(b"why")),
    ("F", b"\0\0\x05\xdc\0\0\0\0\0\0", FunctionCall(1500)),
    ("X", b"", Terminate(orderly=True)),
]


@pytest.mark.parametrize(
    ("kind", "body", "event"), GOOD, ids=[f"{kind} {number}" for number, (kind, _, _) in enumerate(GOOD)]
)
def test_each_message_reads(kind: str, body: bytes, event: Event) -> None:
    assert read(kind, body) == event


def test_every_reader_is_tried_above() -> None:
    assert {ord(kind) for kind, _, _ in GOOD} == READERS.keys()


def test_a_negative_row_limit_means_all_as_it_does_to_the_server() -> None:
    assert read("E", b"\0" + struct.pack(">i", -5)) == Execute(b"", 0)
    assert read("E", b"\0" + struct.pack(">i", 0x7FFFFFFF)) == Execute(b"", 0x7FFFFFFF)


EARLY, LATE, STRING = "insufficient data left in message", "invalid message format", "invalid string in message"

BAD: list[tuple[str, bytes, str]] = [
    ("Q", b"", STRING),
    ("Q", b"SELECT 1", STRING),
    ("Q", b"SELECT 1\0; DROP TABLE t\0", LATE),
    ("Q", b"SELECT 1\0\0", LATE),
    ("P", b"", STRING),
    ("P", b"s\0", STRING),
    ("P", b"s\0x", STRING),
    ("P", b"s\0x\0", EARLY),
    ("P", b"s\0x\0\0", EARLY),
    ("P", b"s\0x\0\0\1\0\0\0", EARLY),
    ("P", b"s\0x\0\xff\xff", EARLY),
    ("P", b"s\0x\0\0\0\0", LATE),
    ("P", b"s\0x\0\0\1\0\0\0\x17x", LATE),
    ("B", b"", STRING),
    ("B", b"p\0", STRING),
    ("B", b"p\0s\0", EARLY),
    ("B", b"p\0s\0\0\0", EARLY),
    ("B", b"p\0s\0\0\0\0\0", EARLY),
    ("B", BIND[:-1], EARLY),
    ("B", BIND + b"\0", LATE),
    ("B", b"\0\0\0\0" + b"\0\1" + struct.pack(">i", -2) + b"\0\0", EARLY),
    ("B", b"\0\0\0\0" + b"\0\1" + struct.pack(">I", 0x80000000) + b"\0\0", EARLY),
    ("B", b"\0\0\0\0" + b"\0\1" + struct.pack(">i", 0x7FFFFFFF) + b"\0\0", EARLY),
    ("B", b"\0\0\0\0" + b"\0\1" + struct.pack(">i", 3) + b"\0\0", EARLY),
    ("B", b"\0\0\0\0" + b"\xff\xff", EARLY),
    ("B", b"\0\0\xff\xff", EARLY),
    ("B", b"\0\0\0\0\0\0\xff\xff", EARLY),
    ("B", b"\0\0\0\2\0\0\0\0\0\1\xff\xff\xff\xff\0\0", "bind message has 2 parameter formats but 1 parameters"),
    ("B", b"\0\0\0\1\0\2\0\0\0\0", "unsupported format code: 2"),
    ("B", b"\0\0\0\0\0\0\0\1\xff\xff", "unsupported format code: 65535"),
    ("D", b"", EARLY),
    ("D", b"S", STRING),
    ("D", b"Ss", STRING),
    ("D", b"Xs\0", "invalid DESCRIBE message subtype 88"),
    ("D", b"\0\0", "invalid DESCRIBE message subtype 0"),
    ("D", b"Ss\0x", LATE),
    ("C", b"xs\0", "invalid CLOSE message subtype 120"),
    ("C", b"Ss\0\0", LATE),
    ("E", b"p\0", EARLY),
    ("E", b"p\0\0\0\0", EARLY),
    ("E", b"p\0\0\0\0\0\0", LATE),
    ("E", b"\x01\x02\x03\x04\x05", STRING),
    ("S", b"\0", LATE),
    ("H", b"\0", LATE),
]


@pytest.mark.parametrize(
    ("kind", "body", "words"), BAD, ids=[f"{kind} {number}" for number, (kind, _, _) in enumerate(BAD)]
)
def test_w13_malformed_bodies_are_errors_in_the_servers_words(kind: str, body: bytes, words: str) -> None:
    with pytest.raises(MessageViolation) as caught:
        read(kind, body)
    assert str(caught.value) == words
    assert caught.value.code == ("22023" if "format code" in words else "08P01")
    assert caught.value.kind == kind.encode()
    assert caught.value.fatal is False
    assert caught.value.extended is (kind not in "QS")


@pytest.mark.parametrize(
    ("kind", "body"), [("c", b"\0"), ("f", b""), ("f", b"why"), ("f", b"a\0b\0"), ("F", b"\0\0\0"), ("X", b"x")]
)
def test_w13_malformed_bodies_outside_queries_end_the_connection(kind: str, body: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        read(kind, body)
    assert caught.value.fatal is True and caught.value.code == "08P01"


def test_long_names_are_refused() -> None:
    fits, long = b"n" * NAME_LIMIT, b"n" * (NAME_LIMIT + 1)
    tails = {"P": b"\0x\0\0\0", "E": b"\0\0\0\0\0", "B": b"\0\0" + b"\0" * 6}
    for kind, tail in tails.items():
        read(kind, fits + tail)
        with pytest.raises(MessageViolation) as caught:
            read(kind, long + tail)
        assert caught.value.code == "42622"
    for kind in "DC":
        read(kind, b"S" + fits + b"\0")
        with pytest.raises(MessageViolation):
            read(kind, b"S" + long + b"\0")


names = st.binary(max_size=20).filter(lambda name: 0 not in name)
texts = st.binary(max_size=60).filter(lambda text: 0 not in text)


@st.composite
def binds(draw: st.DrawFn) -> Bind:
    parameters = tuple(draw(st.lists(st.one_of(st.none(), st.binary(max_size=30)), max_size=6)))
    counts = st.sampled_from(sorted({0, 1, len(parameters)}))
    count = draw(counts)
    formats = tuple(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    results = tuple(draw(st.lists(st.integers(0, 1), max_size=6)))
    portal, statement = draw(names), draw(names)
    raw = messages.bind(b"", b"", formats, parameters, results)[5 + 2 :]
    return Bind(portal, statement, formats, parameters, results, raw)


#: Any event a client can say once it is authenticated.
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Query, texts),
    st.builds(Parse, names, texts, st.lists(st.integers(0, 0xFFFFFFFF), max_size=5).map(tuple)),
    binds(),
    st.builds(Describe, st.sampled_from((b"S", b"P")), names),
    st.builds(Execute, names, st.integers(0, 0x7FFFFFFF)),
    st.builds(Close, st.sampled_from((b"S", b"P")), names),
    st.just(Sync()),
    st.just(Flush()),
    st.builds(CopyData, st.binary(max_size=60)),
    st.just(CopyDone()),
    st.builds(CopyFail, texts),
)


@given(events)
def test_what_builders_write_reads_as_the_same_event(event: Event) -> None:
    said = spoken(event)
    assert READERS[said[0]](said, 5, len(said)) == event


@given(binds())
def test_a_bind_written_again_is_the_same_bytes(event: Bind) -> None:
    """So that nothing can hide between what was read and what goes upstream."""
    said = messages.bind(event.portal, event.statement, event.formats, event.parameters, event.result_formats)
    assert messages.rebind(event.portal, event.statement, event.raw) == said


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=80))
def test_what_reads_writes_as_the_same_bytes(kind: int, body: bytes) -> None:
    """Only one spelling of each message is accepted: what was judged is what can be sent."""
    try:
        event = READERS[kind](body, 0, len(body))
    except ProtocolViolation:
        return
    if isinstance(event, FunctionCall):
        return
    if isinstance(event, Execute) and event.max_rows == 0:
        body = body[:-4] + bytes(4)  # the negative spellings of "all"
    assert spoken(event) == messages.frame(bytes([kind]), body)


@given(st.sampled_from([b"", b"SELECT 1", b"\xff"]), st.booleans(), st.booleans())
def test_a_query_that_came_by_itself_keeps_its_frame(text: bytes, before: bool, behind: bool) -> None:
    frame = messages.query(text)
    data = (messages.SYNC if before else b"") + frame + (messages.SYNC if behind else b"")
    start = len(messages.SYNC) if before else 0
    event = READERS[ord("Q")](data, start + 5, start + len(frame))
    assert isinstance(event, Query)
    assert event.text == text
    assert event.frame == (b"" if before or behind else messages.query(text))
