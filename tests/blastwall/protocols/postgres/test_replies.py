"""Reading servers: what builders write comes back, and nothing that is a byte off is read at all."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.replies import Field, Notification

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
oids = st.integers(0, 0xFFFFFFFF)
small = st.integers(-0x8000, 0x7FFF)
fields = st.builds(Field, words, oids, small, oids, small, st.integers(-1, 0x7FFFFFFF), st.sampled_from((0, 1)))
values = st.one_of(st.none(), st.binary(max_size=20))


@given(st.lists(fields, max_size=8))
def test_row_descriptions_come_back(columns: list[Field]) -> None:
    assert replies.row_description(messages.row_description(columns)) == tuple(columns)


@given(st.lists(st.lists(values, max_size=8), max_size=5))
def test_rows_come_back_one_by_one_and_as_a_run(rows: list[list[bytes | None]]) -> None:
    frames = [messages.data_row(row) for row in rows]
    assert [replies.data_row(frame) for frame in frames] == [tuple(row) for row in rows]
    assert replies.data_rows(b"".join(frames)) == [tuple(row) for row in rows]


@given(words, words)
def test_parameters_come_back(name: str, value: str) -> None:
    assert replies.parameter_status(messages.parameter_status(name, value)) == (name, value)


@given(st.integers(0, 0xFFFFFFFF), st.binary(min_size=4, max_size=256))
def test_keys_come_back(pid: int, secret: bytes) -> None:
    assert replies.backend_key_data(messages.backend_key_data(pid, secret)) == (pid, secret)


def test_keys_of_the_shortest_and_the_longest_kind() -> None:
    for secret in (b"k" * 4, b"k" * 256):
        assert replies.backend_key_data(messages.backend_key_data(1, secret)) == (1, secret)


def test_a_string_without_end_is_called_so() -> None:
    for read, bad in ((replies.command_tag, frame("C", b"SELECT")), (replies.parameter_status, frame("S", b"a\0b"))):
        with pytest.raises(UpstreamFault, match="has a string without end"):
            read(bad)


def test_the_other_replies_come_back() -> None:
    assert replies.command_tag(messages.command_complete("DELETE 3")) == "DELETE 3"
    assert [replies.ready_status(messages.ready_for_query(status)) for status in (b"I", b"T", b"E")] == [
        b"I",
        b"T",
        b"E",
    ]
    assert replies.parameter_description(messages.parameter_description([23, 0])) == (23, 0)
    assert replies.copy_response(messages.copy_response(b"H", 1, [1, 1])) == (1, (1, 1))
    assert replies.negotiation(messages.negotiate_protocol_version(0, ["_pq_.a", "_pq_.b"])) == (
        0,
        ("_pq_.a", "_pq_.b"),
    )
    assert replies.notification(b"A\0\0\0\x0e\0\0\0\x07c\0pay\0") == Notification(7, "c", "pay")


def test_the_documented_form_of_a_negotiation_is_read_too() -> None:
    """The documentation says minor version, servers send 3.minor."""
    assert replies.negotiation(b"v\0\0\0\x0c\0\0\0\x02\0\0\0\0") == (2, ())


def test_errors_come_back_as_fields() -> None:
    built = messages.error_response("ERROR", "42501", "no", detail="d", hint="h", position=3, fields={"n": "c1"})
    assert replies.error_fields(built) == {
        "S": "ERROR", "V": "ERROR", "C": "42501", "M": "no", "D": "d", "H": "h", "P": "3", "n": "c1",
    }  # fmt: skip


def test_errors_in_another_encoding_are_still_read() -> None:
    """Before start-up ends a server speaks in its own encoding."""
    assert replies.error_fields(b"E\0\0\0\x0aMf\xfcr\0\0") == {"M": "f\ufffdr"}


def frame(kind: str, body: bytes) -> bytes:
    return messages.frame(kind.encode(), body)


READERS: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "row_description": (replies.row_description, messages.row_description([("id", 1, 1, 23, 4, -1, 0)])),
    "data_row": (replies.data_row, messages.data_row([b"abc", None, b""])),
    "data_rows": (replies.data_rows, messages.data_row([b"abc", None, b""])),
    "parameter_status": (replies.parameter_status, messages.parameter_status("a", "b")),
    "command_tag": (replies.command_tag, messages.command_complete("SELECT 1")),
    "ready_status": (replies.ready_status, messages.ready_for_query(b"I")),
    "parameter_description": (replies.parameter_description, messages.parameter_description([23, 25])),
    "notification": (replies.notification, b"A\0\0\0\x0e\0\0\0\x07c\0pay\0"),
    "copy_response": (replies.copy_response, messages.copy_response(b"H", 0, [0, 0])),
    "negotiation": (replies.negotiation, messages.negotiate_protocol_version(0, ["_pq_.a"])),
    "error_fields": (replies.error_fields, messages.error_response("ERROR", "42501", "no")),
}


@pytest.mark.parametrize("name", READERS)
def test_w13_every_missing_and_every_surplus_byte_is_a_fault(name: str) -> None:
    read, good = READERS[name]
    read(good)
    body = good[5:]
    for shorter in range(len(body)):
        with pytest.raises(UpstreamFault, match="malformed"):
            read(frame(chr(good[0]), body[:shorter]))
    for surplus in (b"\0", b"x", b"\0\0\0\0", b"S\0"):
        with pytest.raises(UpstreamFault, match="malformed"):
            read(frame(chr(good[0]), body + surplus))


@pytest.mark.parametrize("name", [*READERS, "backend_key_data"])
def test_another_type_or_a_length_that_is_not_the_frames_is_a_fault(name: str) -> None:
    read, good = {**READERS, "backend_key_data": (replies.backend_key_data, messages.backend_key_data(1, b"abcd"))}[
        name
    ]
    lying = good[:1] + struct.pack(">I", len(good)) + good[5:]
    for bad in (b"?" + good[1:], lying, good[:4], b""):
        if bad == b"" and name == "data_rows":
            continue  # no rows are a run too
        with pytest.raises(UpstreamFault, match="malformed"):
            read(bad)


@pytest.mark.parametrize(
    ("read", "bad"),
    [
        (replies.data_row, frame("D", b"\0\1" + struct.pack(">i", -2))),
        (replies.data_row, frame("D", b"\0\1" + struct.pack(">i", 0x7FFFFFFF) + b"x")),
        (replies.data_row, frame("D", b"\0\1" + struct.pack(">I", 0x80000000) + b"x")),
        (replies.data_row, frame("D", b"\xff\xff")),
        (replies.row_description, frame("T", b"\xff\xff")),
        (replies.row_description, frame("T", b"\0\1\xff\0" + b"\0" * 18)),
        (replies.ready_status, frame("Z", b"X")),
        (replies.copy_response, frame("G", b"\2\0\0")),
        (replies.copy_response, frame("G", b"\0\0\1\0\2")),
        (replies.backend_key_data, frame("K", b"\0\0\0\1abc")),
        (replies.backend_key_data, frame("K", b"\0\0\0\1" + b"x" * 257)),
        (replies.negotiation, frame("v", b"\0\2\0\0\0\0\0\0")),
        (replies.negotiation, frame("v", b"\0\3\0\0\xff\xff\xff\xff")),
        (replies.error_fields, frame("E", b"Ma\0Mb\0\0")),
        (replies.error_fields, frame("E", b"\xffa\0\0")),
        (replies.command_tag, frame("C", b"\xff\0")),
    ],
)
def test_hostile_bodies_are_faults(read: Callable[[bytes], Any], bad: bytes) -> None:
    with pytest.raises(UpstreamFault, match="malformed") as caught:
        read(bad)
    assert caught.value.code == "08P01"


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=60))
def test_random_bodies_raise_nothing_but_faults(name: str, body: bytes) -> None:
    read, good = READERS[name]
    try:
        read(frame(chr(good[0]), body))
    except UpstreamFault:
        pass
