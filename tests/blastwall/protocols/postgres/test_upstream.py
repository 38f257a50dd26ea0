"""The engine that faces the database, heard in every cut of its bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import OurFault, UpstreamFault
from blastwall.model import Secret
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.frames import CONTROL, STARTUP
from blastwall.protocols.postgres.upstream import PIECE, RECEIVE_SLACK, Encryption, Ready, Run, Upstream
from tests.blastwall.protocols.postgres.transcripts import CUTS, LOGGED_IN, Heard, Sends, at_random, play, upstream

ROW = messages.data_row([b"42", None])
LAYOUT = messages.row_description([("id", 16384, 1, 23, 4, -1, 0), ("x", 0, 0, 25, -1, -1, 0)])
DONE = messages.command_complete("SELECT 3")
IDLE = messages.ready_for_query(b"I")
COPY = messages.copy_data(b"1\t2\n")


def start(secret: str | None = None, **options: Any) -> Any:
    def call(engine: Upstream) -> None:
        engine.start(
            {"user": "u", "database": "d"}, None if secret is None else Secret(secret), nonce="n" * 18, **options
        )

    return call


def frame(kind: str | int, length: int, body: bytes = b"") -> bytes:
    return (kind.encode() if isinstance(kind, str) else bytes([kind])) + struct.pack(">I", length) + body


def alone(data: bytes) -> Run:
    return Run(data[0], data, 1, False)


def rows(count: int) -> Run:
    return Run(ord("D"), ROW * count, count, False)


STARTUP_PACKET = messages.startup({"user": "u", "database": "d"})
OPEN: list[Any] = [start(), Sends(STARTUP_PACKET), LOGGED_IN, Ready(b"I", {})]


def fault(words: str, code: str = "08P01") -> Heard:
    return Heard(code, words)


TRANSCRIPTS: dict[str, list[Any]] = {
    "start-up with a password": [
        start("pw", allow_cleartext=True), Sends(STARTUP_PACKET), messages.AUTHENTICATION_CLEARTEXT,
        Sends(messages.password(b"pw")),
        messages.AUTHENTICATION_OK + messages.parameter_status("a", "b") + messages.backend_key_data(7, b"abcd") + IDLE,
        Ready(b"I", {"a": "b"}, 7, b"abcd"),
    ],
    "TLS, then start-up": ["request_tls", Sends(messages.SSL_REQUEST), b"S", Encryption(True), *OPEN],
    "no TLS": ["request_tls", Sends(messages.SSL_REQUEST), b"N", Encryption(False), *OPEN],
    "an error for an answer to TLS": [
        "request_tls", Sends(messages.SSL_REQUEST), b"E", fault("neither yes nor no"), LOGGED_IN,
    ],
    "a simple query": [
        *OPEN, LAYOUT + ROW * 3 + DONE + IDLE, alone(LAYOUT), rows(3), alone(DONE), alone(IDLE),
    ],
    "two results and a notice between": [
        *OPEN, ROW + messages.notice_response("NOTICE", "00000", "n") + ROW + DONE,
        rows(1), alone(messages.notice_response("NOTICE", "00000", "n")), rows(1), alone(DONE),
    ],
    "an extended batch": [
        *OPEN,
        messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.parameter_description([23]) + messages.NO_DATA
        + ROW * 2 + messages.PORTAL_SUSPENDED + messages.CLOSE_COMPLETE + messages.EMPTY_QUERY_RESPONSE + IDLE,
        alone(messages.PARSE_COMPLETE), alone(messages.BIND_COMPLETE), alone(messages.parameter_description([23])),
        alone(messages.NO_DATA), rows(2), alone(messages.PORTAL_SUSPENDED), alone(messages.CLOSE_COMPLETE),
        alone(messages.EMPTY_QUERY_RESPONSE), alone(IDLE),
    ],
    "copy out": [
        *OPEN, messages.copy_response(b"H", 0, [0, 0]) + COPY * 5 + messages.COPY_DONE + DONE,
        alone(messages.copy_response(b"H", 0, [0, 0])), Run(ord("d"), COPY * 5, 5, False), alone(messages.COPY_DONE), alone(DONE),
    ],
    "rows and copy data are not mixed": [*OPEN, ROW + COPY + ROW, rows(1), Run(ord("d"), COPY, 1, False), rows(1)],
    "the server leaves": [*OPEN, ROW, rows(1), b"", fault("closed the connection", "08006"), b""],
    "the server leaves in the middle of a row": [*OPEN, ROW + ROW[:-1], rows(1), b"", fault("closed the connection", "08006")],
    "the server leaves during start-up": [
        start(), Sends(STARTUP_PACKET), LOGGED_IN[:8], b"", fault("closed the connection", "08006"),
    ],
    "an error that ends start-up": [
        start(), Sends(STARTUP_PACKET), messages.error_response("FATAL", "3D000", 'database "d" does not exist'),
        fault('refused the connection: database "d" does not exist', "3D000"), LOGGED_IN,
    ],
    "rows before start-up ends": [start(), Sends(STARTUP_PACKET), ROW, fault("type b'D', which has no place here")],
    "W13: an unknown type": [*OPEN, ROW + frame("?", 4), rows(1), fault("type b'?', which has no place here"), ROW],
    "W13: a row too short for its count": [*OPEN, ROW + frame("D", 5, b"x"), rows(1), fault("impossible length 5")],
    "W13: a length below four": [*OPEN, frame("d", 3), fault("impossible length 3")],
    "W13: a negative length": [*OPEN, frame("D", 0xFFFFFFFF), fault("impossible length 4294967295")],
    "W13: a negative length of a control frame": [*OPEN, frame("E", 0x80000000), fault("impossible length 2147483648")],
    "W22: the longest length there is": [*OPEN, frame("E", 0x7FFFFFFF), fault("at most 1048576 are accepted", "54000")],
    "W13: a body where there is none": [*OPEN, frame("1", 5, b"x"), fault("type b'1' of 5 bytes; at most 4", "54000")],
    "W13: a long ReadyForQuery": [*OPEN, frame("Z", 6, b"II"), fault("type b'Z' of 6 bytes; at most 5", "54000")],
    "W22: a control frame too long": [*OPEN, frame("E", 1 << 30), fault("at most 1048576 are accepted", "54000")],
    "W22: a row too long": [*OPEN, frame("D", (1 << 30) + 1), fault("at most 1073741824 are accepted", "54000")],
    "W22: a key too long": [start(), Sends(STARTUP_PACKET), frame("K", 265), fault("at most 264 are accepted", "54000")],
}  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript(name: str, cut: str) -> None:
    """Every transcript whole, one byte at a time and cut at random says the same."""
    play(Upstream(), TRANSCRIPTS[name], CUTS[cut])


@pytest.mark.parametrize("kind", [kind for kind in range(256) if kind not in CONTROL and kind not in b"Dd"])
def test_what_a_server_may_not_send_is_refused_at_its_header(kind: int) -> None:
    play(upstream(), [frame(kind, 8), fault(f"type {bytes([kind])!r}, which has no place here")])


@pytest.mark.parametrize("kind", [kind for kind in range(256) if kind not in STARTUP])
def test_what_a_server_may_not_send_during_startup_is_refused_at_its_header(kind: int) -> None:
    play(
        Upstream(),
        [start(), Sends(STARTUP_PACKET), frame(kind, 8), fault(f"type {bytes([kind])!r}, which has no place here")],
    )


def test_bytes_in_the_clear_where_tls_should_begin_are_a_fault() -> None:
    """CVE-2021-23222."""
    play(
        Upstream(),
        ["request_tls", Sends(messages.SSL_REQUEST), b"S" + LOGGED_IN, fault("bytes in the clear"), LOGGED_IN],
    )
    engine = Upstream()
    play(engine, ["request_tls", Sends(messages.SSL_REQUEST), b"S", Encryption(True)])
    engine.receive(b"x")
    with pytest.raises(UpstreamFault, match="spoke first"):
        start()(engine)


def drain(engine: Upstream, data: bytes, cut: int) -> Iterator[Run]:
    for begin in range(0, len(data), cut):
        engine.receive(data[begin : begin + cut])
        while (event := engine.next_event()) is not None:
            assert isinstance(event, Run)
            yield event


@pytest.mark.parametrize("cut", [1009, 65536, PIECE - 1, PIECE, 300_000, RECEIVE_SLACK])
@pytest.mark.parametrize("kind", ["D", "d"])
@pytest.mark.parametrize("size", [PIECE - 2, PIECE - 1, PIECE, PIECE + 1, 1_000_000])
def test_w22_long_rows_pass_in_pieces_without_being_held(size: int, kind: str, cut: int) -> None:
    long = frame(kind, size, b"x" * (size - 4))
    data = ROW * 3 + long + ROW * 2 + long + long + COPY + DONE
    engine = upstream()
    runs = []
    for run in drain(engine, data, cut):
        runs.append(run)
        assert engine.buffered < PIECE + cut
    assert b"".join(run.data for run in runs) == data
    assert sum(run.count for run in runs) == 3 + 2 + 3 + 2
    open_frame = False
    for run in runs:
        if run.partial:
            assert run.count == 0 and len(long) > PIECE
            assert open_frame or run.data[:5] == long[:5], "the first piece starts with the header"
            open_frame = True
        elif open_frame:
            assert run.count == 1, "a last piece is alone"
            open_frame = False
        else:
            assert run.data[:1] in (b"D", b"d", b"C")
            assert len(run.data) == measured(run.data, run.count)
    in_pieces = any(run.partial for run in runs)
    assert in_pieces if len(long) > PIECE >= cut else not in_pieces or len(long) > PIECE


def measured(data: bytes, count: int) -> int:
    """How long ``count`` frames at the start of ``data`` are."""
    end = 0
    for _ in range(count):
        end += 1 + int.from_bytes(data[end + 1 : end + 5], "big")
    return end


def test_w22_a_long_row_is_bounded_at_its_header_too() -> None:
    play(upstream(max_frame=2_000_000), [frame("D", 2_000_001), fault("at most 2000000 are accepted", "54000")])
    exact = frame("D", 2_000_000, b"x" * (2_000_000 - 4))
    assert sum(run.count for run in drain(upstream(max_frame=2_000_000), exact, 100_000)) == 1


def test_w22_short_rows_obey_a_small_limit_when_they_are_at_hand_too() -> None:
    play(
        upstream(max_frame=1024, max_control=1024), [frame("D", 1025, b"x" * 1021) * 2, fault("at most 1024", "54000")]
    )


def test_w22_a_caller_that_never_drains_is_stopped() -> None:
    engine = upstream()
    with pytest.raises(OurFault, match="drain"):
        for _ in range(40):
            engine.receive(b"x" * 65536)
    assert engine.buffered <= (1 << 20) + RECEIVE_SLACK


def test_rows_that_are_all_of_a_chunk_pass_without_a_copy() -> None:
    engine = upstream()
    chunk = ROW * 100
    engine.receive(chunk)
    event = engine.next_event()
    assert isinstance(event, Run) and event.data is chunk and event.count == 100


def test_ready_tells_whether_next_event_would_say_something() -> None:
    engine = upstream()
    for data in (ROW, LAYOUT, COPY, DONE, IDLE):
        for byte in range(len(data)):
            assert not engine.ready and engine.backlog == 0
            assert engine.next_event() is None
            engine.receive(data[byte : byte + 1])
        assert engine.ready and engine.backlog == engine.buffered == len(data)
        assert engine.next_event() is not None
    assert not engine.ready
    engine.receive(frame("D", PIECE + 10, b"x"))
    for _ in range(3):  # the beginning of a long row, then more of it
        assert engine.ready and engine.next_event() is not None
        assert not engine.ready
        engine.receive(b"x")
    engine.receive(b"x" * (PIECE + 10 - 4 - 4))
    assert engine.next_event() is not None
    engine.receive(b"")
    assert engine.ready
    with pytest.raises(UpstreamFault):
        engine.next_event()
    assert not engine.ready


def test_a_bad_header_is_ready() -> None:
    for bad in (frame("D", 0), frame("Z", 0xFFFFFFFF), frame("E", (1 << 20) + 1)):
        engine = upstream()
        engine.receive(bad)
        assert engine.ready
        with pytest.raises(UpstreamFault):
            engine.next_event()


def test_the_answer_about_tls_is_ready() -> None:
    engine = Upstream()
    engine.request_tls()
    assert not engine.ready
    engine.receive(b"S")
    assert engine.ready


def test_impossible_limits_are_refused() -> None:
    for limits in ({"max_control": 10}, {"max_frame": 1 << 31}, {"max_frame": 2048, "max_control": 4096}):
        with pytest.raises(ValueError, match="limits"):
            Upstream(**limits)


replies = st.one_of(
    st.builds(messages.data_row, st.lists(st.one_of(st.none(), st.binary(max_size=20)), max_size=4)),
    st.builds(messages.copy_data, st.binary(max_size=20)),
    st.sampled_from((LAYOUT, DONE, IDLE, messages.PARSE_COMPLETE, messages.NO_DATA, messages.COPY_DONE)),
)


@given(st.lists(replies, max_size=20), st.integers(0, 1 << 32))
def test_what_servers_say_is_heard_whatever_the_cuts(said: list[bytes], seed: int) -> None:
    engine = upstream()
    data = b"".join(said)
    frames: list[bytes] = []
    for piece in at_random(seed)(data) if data else []:
        engine.receive(piece)
        while (event := engine.next_event()) is not None:
            assert isinstance(event, Run) and not event.partial
            place = 0
            for _ in range(event.count):
                end = place + 1 + int.from_bytes(event.data[place + 1 : place + 5], "big")
                frames.append(event.data[place:end])
                place = end
            assert place == len(event.data)
    assert frames == said


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
            kind = draw(st.sampled_from(sorted({*CONTROL, *STARTUP, *b"Dd"})))
            parts.append(frame(kind, len(body) + 4, body))
        else:
            good = bytearray(draw(replies))
            for _ in range(draw(st.integers(1, 3))):
                good[draw(st.integers(0, len(good) - 1))] = draw(st.integers(0, 255))
            parts.append(bytes(good))
    return b"".join(parts)


@given(hostile(), st.sampled_from(("tls", "startup", "scram", "ready")), st.integers(0, 1 << 32))
def test_hostile_bytes_raise_faults_only_and_are_never_hoarded(data: bytes, state: str, seed: int) -> None:
    engine = upstream() if state == "ready" else Upstream()
    if state == "tls":
        engine.request_tls()
    elif state != "ready":
        start("pw", allow_cleartext=True)(engine)
    if state == "scram":
        engine.receive(messages.frame(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
    try:
        for piece in at_random(seed)(data) if data else []:
            engine.receive(piece)
            while engine.next_event() is not None:
                pass
            assert engine.buffered < PIECE
    except UpstreamFault:
        assert engine.next_event() is None and engine.buffered == 0
