"""The engine that faces the agent, heard in every cut of its bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import OurFault, ProtocolViolation
from blastwall.model import Secret
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.downstream import RECEIVE_SLACK, Downstream
from blastwall.protocols.postgres.requests import (
    LARGE,
    READERS,
    Bind,
    CancelRequest,
    CopyData,
    CopyDone,
    Describe,
    Event,
    Execute,
    Flush,
    FunctionCall,
    GSSENCRequest,
    Parse,
    Password,
    Query,
    SSLRequest,
    Startup,
    Sync,
    Terminate,
)
from tests.blastwall.protocols.postgres.test_requests import events
from tests.blastwall.protocols.postgres.transcripts import CUTS, at_random, downstream, error, fatal, play, spoken

GSSENC_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x30"
START = messages.startup({"user": "agent", "database": "shop"})
STARTED = Startup(0, {"user": "agent", "database": "shop"})
PASSWORD = messages.password(b"token")
GIVEN = Password(Secret("token"))
OPEN: list[Any] = [START, STARTED, PASSWORD, GIVEN, "authenticated"]
PARSE, SELECT = messages.parse(b"", b"SELECT 1"), messages.query(b"SELECT 1")
BYE = Terminate(orderly=False)


def packet(version: int, body: bytes) -> bytes:
    return struct.pack(">II", len(body) + 8, version) + body


def frame(kind: bytes, length: int, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", length) + body


V3 = 3 << 16

TRANSCRIPTS: dict[str, list[Any]] = {
    "a session by the simple protocol": [
        *OPEN, SELECT, Query(b"SELECT 1"), SELECT * 2, Query(b"SELECT 1"), Query(b"SELECT 1"),
        messages.TERMINATE, Terminate(orderly=True),
    ],
    "a session by the extended protocol": [
        *OPEN,
        messages.parse(b"s", b"SELECT $1", (23,)) + messages.bind(b"", b"s", (), (b"7",), ())
        + messages.describe(b"P", b"") + messages.execute(b"", 10) + messages.FLUSH + messages.SYNC,
        Parse(b"s", b"SELECT $1", (23,)), Bind(b"", b"s", (), (b"7",), (), b"\0\0\0\1\0\0\0\x017\0\0"),
        Describe(b"P", b""), Execute(b"", 10), Flush(), Sync(), b"", BYE,
    ],
    "copy data in between": [
        *OPEN, messages.copy_data(b"1\n") + messages.copy_data(b"") + messages.COPY_DONE,
        CopyData(b"1\n"), CopyData(b""), CopyDone(),
    ],
    "encryption refused, then plain": [GSSENC_REQUEST, GSSENCRequest(), messages.SSL_REQUEST, SSLRequest(), *OPEN],
    "encryption accepted": [messages.SSL_REQUEST, SSLRequest(), "encrypted", *OPEN],
    "a probe that connects and leaves": [b"", BYE],
    "a client that leaves in the middle of a packet": [START[:7], b"", BYE],
    "a client that leaves in the middle of a frame": [*OPEN, SELECT[:-3], b"", BYE],
    "a client that leaves during authentication": [START, STARTED, messages.TERMINATE, Terminate(orderly=True)],
    "nothing is read after Terminate": [*OPEN, messages.TERMINATE + SELECT, Terminate(orderly=True), b""],
    "nothing is read after a fatal violation": [*OPEN, b"?\0\0\0\x04" + SELECT, fatal("08P01"), SELECT, b""],
    # W1
    "W1: a function call is its own event": [*OPEN, b"F\0\0\0\x0e\0\0\x05\xdc\0\0\0\0\0\0", FunctionCall(1500)],
    # W13
    "W13: a malformed body is an error and the stream goes on": [
        *OPEN, b"Q\0\0\0\x0aSELECT" + SELECT, error("08P01", "invalid string in message"), Query(b"SELECT 1"),
    ],
    "W13: Sync with a body": [*OPEN, b"S\0\0\0\x05\0" + SELECT, error("08P01", "invalid message format"), Query(b"SELECT 1")],
    "W13: trailing bytes in Parse": [
        *OPEN, b"P\0\0\0\x0as\0x\0\0\0" + b"P\0\0\0\x0bs\0x\0\0\0\0" + SELECT,
        Parse(b"s", b"x", ()), error("08P01", "invalid message format"), Query(b"SELECT 1"),
    ],
    "W13: a bad Describe kind": [*OPEN, b"D\0\0\0\x06X\0", error("08P01", "invalid DESCRIBE message subtype 88")],
    "W13: an unknown type": [*OPEN, b"!\0\0\0\x04", fatal("08P01", "invalid frontend message type 33")],
    "W13: a length below four": [*OPEN, b"Q\0\0\0\x03", fatal("08P01", "invalid message length")],
    "W13: a length of zero": [*OPEN, b"S\0\0\0\0", fatal("08P01", "invalid message length")],
    "W13: a negative length": [*OPEN, b"Q\xff\xff\xff\xff", fatal("08P01", "invalid message length")],
    "W13: bytes after the NUL": [*OPEN, messages.frame(b"Q", b"SELECT 1\0;DROP"), error("08P01", "invalid message format")],
    "a password once one is authenticated": [*OPEN, PASSWORD, fatal("08P01", "invalid frontend message type 112")],
    "a query before authentication": [START, STARTED, SELECT, fatal("08P01", "expected password response, got message type 81")],
    "a Terminate with a body before authentication": [START, STARTED, b"X\0\0\0\x05x", fatal("08P01", "expected password")],
    "a second password": [START, STARTED, PASSWORD, GIVEN, PASSWORD, fatal("08P01", "second password")],
    "an empty password": [START, STARTED, b"p\0\0\0\x05\0", fatal("28P01", "empty password")],
    "a password without end": [START, STARTED, b"p\0\0\0\x05x", fatal("08P01", "invalid password packet size")],
    "a password with a NUL inside": [START, STARTED, b"p\0\0\0\x08a\0b\0", fatal("08P01", "invalid password packet size")],
    "a password of no length": [START, STARTED, b"p\0\0\0\x03", fatal("08P01", "invalid message length")],
    "a password that is not UTF-8": [START, STARTED, b"p\0\0\0\x06\xff\0", fatal("28P01", "not UTF-8")],
    # W14
    "W14: lengths are read as unsigned and bounded before the body": [
        *OPEN, frame(b"Q", 0x80000004), fatal("08P01", "invalid message length"),
    ],
    "W14: a length of 2 GiB less one": [*OPEN, frame(b"Q", 0x7FFFFFFF), fatal("54000", "at most 16777216")],
    # W15, W16: the engine reports, startup.py judges
    "W15, W16: what a client asks for is reported as it is": [
        messages.startup({"user": "u", "replication": "database", "options": "-c role=x", "role": "x"}),
        Startup(0, {"user": "u", "replication": "database", "options": "-c role=x", "role": "x"}),
    ],
    # W17
    "W17: duplicate keys": [
        packet(V3, b"user\0a\0user\0b\0\0"), fatal("08P01", 'startup parameter "user" is given twice'),
    ],
    "W17: duplicate keys with equal values": [packet(V3, b"user\0a\0database\0d\0user\0a\0\0"), fatal("08P01", "given twice")],
    # W18
    "W18: minor version 3.2": [messages.startup({"user": "u"}, 2), Startup(2, {"user": "u"})],
    "W18: a minor version of the future and an option": [
        messages.startup({"user": "u", "_pq_.x": "1"}, 9999), Startup(9999, {"user": "u", "_pq_.x": "1"}),
    ],
    "protocol 2.0": [packet(2 << 16, b"u\0" * 20), fatal("0A000", "unsupported frontend protocol 2.0")],
    "protocol 4.0": [packet(4 << 16, b"user\0u\0\0"), fatal("0A000", "unsupported frontend protocol 4.0")],
    # W19
    "W19: a second SSLRequest": [
        messages.SSL_REQUEST, SSLRequest(), messages.SSL_REQUEST, fatal("0A000", "unsupported frontend protocol 1234.5679"),
    ],
    "W19: a second GSSENCRequest": [
        GSSENC_REQUEST, GSSENCRequest(), GSSENC_REQUEST, fatal("0A000", "unsupported frontend protocol 1234.5680"),
    ],
    "W19: an SSLRequest inside TLS": [
        messages.SSL_REQUEST, SSLRequest(), "encrypted", messages.SSL_REQUEST, fatal("0A000"),
    ],
    "W19: a GSSENCRequest inside TLS": [messages.SSL_REQUEST, SSLRequest(), "encrypted", GSSENC_REQUEST, fatal("0A000")],
    "W19: an SSLRequest after the startup packet": [START, STARTED, messages.SSL_REQUEST, fatal("08P01", "expected password")],
    "W19: an SSLRequest with a body": [packet(messages.SSL_CODE, b"\0"), fatal("08P01", "invalid length of startup packet")],
    "direct TLS": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", fatal("08P01", "sslnegotiation=postgres")],
    # W20
    "W20: a cancel request of protocol 3.0": [messages.cancel_request(7, b"abcd"), CancelRequest(7, b"abcd")],
    "W20: a cancel request of protocol 3.2": [
        messages.cancel_request(0xFFFFFFFF, b"k" * 32), CancelRequest(0xFFFFFFFF, b"k" * 32),
    ],
    "W20: the longest key": [messages.cancel_request(7, b"k" * 256), CancelRequest(7, b"k" * 256)],
    "W20: a cancel request after SSLRequest": [
        messages.SSL_REQUEST, SSLRequest(), "encrypted", messages.cancel_request(7, b"abcd"), CancelRequest(7, b"abcd"),
    ],
    "W20: nothing is read after a cancel request": [
        messages.cancel_request(7, b"abcd") + START, CancelRequest(7, b"abcd"), START, b"",
    ],
    "W20: a key too short": [messages.cancel_request(7, b"abc"), fatal("08P01", "invalid length of query cancel packet")],
    "W20: no key": [packet(messages.CANCEL_CODE, b""), fatal("08P01", "invalid length of query cancel packet")],
    "W20: a key too long": [messages.cancel_request(7, b"k" * 257), fatal("08P01", "invalid length of query cancel packet")],
    # startup packets
    "a startup packet that is too long": [b"\0\0\x27\x11", fatal("08P01", "invalid length of startup packet")],
    "a startup packet that is too short": [b"\0\0\0\x07", fatal("08P01", "invalid length of startup packet")],
    "an HTTP client": [b"GET / HTTP/1.1\r\n\r\n", fatal("08P01", "invalid length of startup packet")],
    "no terminator": [packet(V3, b"user\0u\0x"), fatal("08P01", "expected terminator as last byte")],
    "nothing at all": [packet(V3, b""), fatal("08P01", "expected terminator as last byte")],
    "a value without end": [packet(V3, b"user\0u\0"), fatal("08P01", "the parameter list is not terminated")],
    "a name without value": [packet(V3, b"user\0u\0database\0\0"), fatal("08P01", "a parameter has no value")],
    "bytes after the terminator": [packet(V3, b"user\0u\0\0x\0\0"), fatal("08P01", "invalid startup packet layout")],
    "more terminators": [packet(V3, b"user\0u\0\0\0\0"), fatal("08P01", "invalid startup packet layout")],
    "no user": [packet(V3, b"database\0d\0\0"), fatal("28000", "no PostgreSQL user name")],
    "no parameters": [packet(V3, b"\0"), fatal("28000", "no PostgreSQL user name")],
    "an empty user": [packet(V3, b"user\0\0\0"), fatal("28000", "no PostgreSQL user name")],
    "parameters that are not UTF-8": [packet(V3, b"user\0\xff\0\0"), fatal("22021", "UTF-8")],
    "empty values are values": [packet(V3, b"user\0u\0database\0\0\0"), Startup(0, {"user": "u", "database": ""})],
    # skipping
    "skip to Sync": [
        *OPEN, PARSE + PARSE + SELECT + messages.SYNC + SELECT, Parse(b"", b"SELECT 1", ()), "skip_to_sync",
        Sync(), Query(b"SELECT 1"),
    ],
    "skipping does not read bodies, but types and lengths": [
        *OPEN, "skip_to_sync", b"D\0\0\0\x05X" + b"!\0\0\0\x04", fatal("08P01", "invalid frontend message type"),
    ],
    "skipping ends at a Sync that is malformed itself": [
        *OPEN, "skip_to_sync", b"S\0\0\0\x05\0" + SELECT, error("08P01"), Query(b"SELECT 1"),
    ],
    "skipping ends with Terminate": [*OPEN, "skip_to_sync", PARSE + messages.TERMINATE, Terminate(orderly=True)],
    "skipping ends with the connection": [*OPEN, "skip_to_sync", PARSE, b"", BYE],
}  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript(name: str, cut: str) -> None:
    """Every transcript whole, one byte at a time and cut at random says the same."""
    play(Downstream(), TRANSCRIPTS[name], CUTS[cut])


@pytest.mark.parametrize("request_", [messages.SSL_REQUEST, GSSENC_REQUEST])
def test_w19_an_encryption_request_with_anything_coalesced_is_dropped(request_: bytes) -> None:
    """A client waits for the answer; what came along was not meant for it (CVE-2021-23214, CVE-2021-23222)."""
    for behind in (START, b"\x16", b"\0"):
        play(Downstream(), [request_ + behind, fatal("08P01", "received unencrypted data after"), START, b""])


def test_w19_bytes_in_the_clear_behind_an_accepted_request_end_it() -> None:
    engine = Downstream()
    play(engine, [messages.SSL_REQUEST, SSLRequest()])
    engine.receive(b"\0")
    with pytest.raises(ProtocolViolation, match="received unencrypted data after SSL request"):
        engine.encrypted()
    play(engine, [START, b""])


def test_w22_a_long_frame_is_refused_at_its_header() -> None:
    engine = downstream(max_frame=20_000)
    engine.receive(frame(b"Q", 20_000))
    with pytest.raises(ProtocolViolation, match="20001 bytes is longer than this gateway accepts: at most 20000"):
        engine.next_event()
    engine.receive(b"x" * 10_000)
    assert engine.buffered == 0


def test_w22_the_longest_frame_passes() -> None:
    text = b"x" * (20_000 - 6)
    play(downstream(max_frame=20_000), [messages.query(text), Query(text)], at_random(1))


@pytest.mark.parametrize("kind", sorted(READERS))
def test_w22_small_messages_have_the_servers_small_limit(kind: int) -> None:
    engine = downstream()
    engine.receive(frame(bytes([kind]), 10_001))
    if kind in LARGE:
        assert engine.next_event() is None
    else:
        with pytest.raises(ProtocolViolation, match="invalid message length"):
            engine.next_event()


def test_w22_a_password_is_bounded_like_the_startup_packet() -> None:
    engine = Downstream(max_startup=500)
    play(engine, [START, STARTED, frame(b"p", 501), fatal("08P01", "invalid message length")])
    play(Downstream(max_startup=500), [messages.startup({"user": "u" * 500}), fatal("08P01", "invalid length")])


def test_w22_a_caller_that_never_drains_is_stopped() -> None:
    engine = downstream(max_frame=20_000)
    with pytest.raises(OurFault, match="drain"):
        for _ in range(RECEIVE_SLACK // 10_000 + 4):
            engine.receive(messages.copy_data(b"x" * 10_000))
    assert engine.buffered <= 20_000 + RECEIVE_SLACK


def test_ready_tells_whether_next_event_would_say_something() -> None:
    engine = Downstream()
    for data, state in ((START, "startup"), (PASSWORD, "auth"), (SELECT, "ready")):
        assert engine.state == state
        for byte in range(len(data)):
            assert not engine.ready and engine.backlog == 0
            assert engine.next_event() is None
            engine.receive(data[byte : byte + 1])
        assert engine.ready and engine.backlog == engine.buffered == len(data)
        assert engine.next_event() is not None
        if state == "auth":
            engine.authenticated()
    assert not engine.ready
    engine.receive(b"Q\0\0\0\x01")  # a header that will be refused
    assert engine.ready
    with pytest.raises(ProtocolViolation):
        engine.next_event()
    assert not engine.ready and engine.state == "closed"


def test_holds_looks_through_all_that_is_unread() -> None:
    engine = downstream()
    for data in (messages.SYNC, PARSE[:4]):
        engine.receive(data)
    assert engine.holds(b"P") and engine.holds(b"S") and engine.holds(b"xS")
    assert not engine.holds(b"Q"), "a text is not a type"
    engine.receive(PARSE[4:] + messages.copy_data(b"Q" * 100)[:50])
    assert engine.holds(b"d") and not engine.holds(b"Q")
    assert engine.next_event() == Sync() and not engine.holds(b"S") and engine.holds(b"P")
    engine.receive(b"Q" * 60 + b"Q")
    assert engine.holds(b"Q")


def test_holds_does_not_gather_a_long_frame_before_it_is_whole() -> None:
    engine = downstream()
    engine.receive(messages.query(b"x" * 1_000_000)[:1000])
    kept = engine._buffer.data
    for _ in range(10):
        engine.receive(b"x" * 1000)
        assert engine.holds(b"Q") and not engine.holds(b"S")
    assert engine._buffer.data is kept


def test_holds_survives_any_length() -> None:
    for length in (0, 3, 0xFFFFFFFF):
        engine = downstream()
        engine.receive(frame(b"S", length) * 3)
        assert not engine.holds(b"Q")


def test_next_is_asks_for_a_whole_message() -> None:
    engine = Downstream()
    engine.receive(b"dddd")
    assert not engine.next_is(ord("d")), "only once authenticated"
    engine = downstream()
    assert not engine.next_is(ord("d"))
    for byte in messages.copy_data(b"x"):
        assert not engine.next_is(ord("d"))
        engine.receive(bytes([byte]))
    assert engine.next_is(ord("d")) and not engine.next_is(ord("c"))
    engine.next_event()
    engine.receive(b"")
    assert not engine.next_is(ord("d"))


@pytest.mark.parametrize(("end", "count"), [(messages.END_DESCRIBED, 3), (messages.END, 2)])
def test_the_usual_end_of_a_batch_is_read_at_once_where_it_is_all_there(end: bytes, count: int) -> None:
    engine = Downstream()
    engine.receive(end)
    assert engine.take_end() == 0, "only once authenticated"
    engine = downstream()
    for byte in end:
        assert engine.take_end() == 0
        engine.receive(bytes([byte]))
    engine.holds(b"?")  # which gathers what came in pieces
    assert engine.ready and engine.take_end() in (0, count)
    engine = downstream()
    engine.receive(end + end + messages.END)
    assert (engine.take_end(), engine.take_end(), engine.take_end(), engine.take_end()) == (count, count, 2, 0)
    assert engine.buffered == 0
    engine = downstream()
    engine.receive(end)
    engine.skip_to_sync()
    assert engine.take_end() == 0, "what is skipped is not read"
    assert engine.next_event() == Sync()


@pytest.mark.parametrize("end", [messages.END_DESCRIBED, messages.END])
def test_one_bit_of_difference_makes_it_another_end(end: bytes) -> None:
    for place in range(len(end) * 8):
        other = bytearray(end)
        other[place // 8] ^= 1 << place % 8
        engine = downstream()
        engine.receive(bytes(other))
        assert engine.take_end() == 0, bytes(other)
        assert engine.buffered == len(end)


def test_the_end_of_the_stream_is_ready_and_told_once() -> None:
    engine = downstream()
    engine.receive(SELECT + SELECT[:3])
    engine.receive(b"")
    assert engine.ready and engine.next_event() == Query(b"SELECT 1")
    assert engine.ready and engine.next_event() == BYE
    assert not engine.ready and engine.next_event() is None


def test_a_long_frame_in_small_pieces_is_no_backlog() -> None:
    """By its backlog a shell pauses reading: while a frame is incomplete it must read on."""
    engine = downstream()
    data = messages.query(b"x" * 2_000_000)
    for start in range(0, len(data) - 65536, 65536):
        engine.receive(data[start : start + 65536])
        assert engine.next_event() is None and engine.backlog == 0
    engine.receive(data[engine.buffered :])
    assert engine.backlog == len(data)


def test_bytes_that_came_early_are_read_once_authenticated() -> None:
    play(Downstream(), [START, STARTED, "authenticated", SELECT, Query(b"SELECT 1")])
    engine = Downstream()
    engine.authenticated()
    assert engine.state == "startup"


def test_a_password_is_not_shown() -> None:
    engine = Downstream()
    engine.receive(START + PASSWORD)
    assert engine.next_event() == STARTED
    assert "token" not in repr(engine.next_event())


def test_a_password_that_does_not_decode_is_not_quoted() -> None:
    engine = Downstream()
    engine.receive(START + messages.password(b"hunter2\xff"))
    engine.next_event()
    with pytest.raises(ProtocolViolation) as caught:
        engine.next_event()
    assert caught.value.__cause__ is None and "hunter2" not in str(caught.value)


def test_impossible_limits_are_refused() -> None:
    for limit in (0, 9_999, 0x80000000):
        with pytest.raises(ValueError, match="max_frame"):
            Downstream(max_frame=limit)
    for limit in (16_384, 0x7FFFFFFF):
        Downstream(max_frame=limit)


@given(st.lists(events, max_size=8), st.integers(0, 1 << 32))
def test_what_clients_say_is_heard_whatever_the_cuts(said: list[Event], seed: int) -> None:
    play(downstream(), [b"".join(map(spoken, said)) or SELECT, *(said or [Query(b"SELECT 1")])], at_random(seed))


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """Noise, frames with noise inside, and good frames with a few bytes changed."""
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        shape = draw(st.integers(0, 2))
        if shape == 0:
            parts.append(draw(st.binary(max_size=40)))
        elif shape == 1:
            body = draw(st.binary(max_size=40))
            parts.append(bytes([draw(st.sampled_from(sorted(READERS)))]) + struct.pack(">I", len(body) + 4) + body)
        else:
            good = bytearray(spoken(draw(events)))
            for _ in range(draw(st.integers(1, 3))):
                good[draw(st.integers(0, len(good) - 1))] = draw(st.integers(0, 255))
            parts.append(bytes(good))
    return b"".join(parts)


@given(hostile(), st.sampled_from(("startup", "auth", "ready")), st.integers(0, 1 << 32), st.booleans())
def test_hostile_bytes_raise_violations_only_and_are_never_hoarded(
    data: bytes, state: str, seed: int, skip: bool
) -> None:
    engine = Downstream(max_frame=20_000)
    if state != "startup":
        play(engine, [START, STARTED])
    if state == "ready":
        engine.authenticated()
        if skip:
            engine.skip_to_sync()
    for piece in at_random(seed)(data):
        engine.receive(piece)
        while True:
            try:
                if engine.next_event() is None:
                    break
            except ProtocolViolation as violation:
                assert len(violation.code) == 5
                if violation.fatal:
                    assert engine.state == "closed"
        assert engine.buffered < 20_000
