"""What is packed can be read back as it was, and says no more than it was given."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from blastwall.model import (
    Denial,
    DenialCode,
    Effect,
    Facts,
    ObjectRef,
    Parameter,
    Pending,
    Permit,
    Principal,
    Risk,
    Session,
    Target,
)
from blastwall.recording.bodies import (
    BINARY,
    KIND_NAMES,
    NULL,
    PARAMETER,
    decode_text,
    encode_json,
    encode_text,
    header_of,
    judgement,
    write_head,
    write_pair,
    write_parameters,
    write_u16,
    write_u32,
)
from blastwall.recording.codec import RECORD

FACTS = Facts(
    Effect.DESTROY,
    "delete",
    (ObjectRef("table", "public.orders", "write"),),
    frozenset({"unbounded_write", "a"}),
    False,
    "Why.",
    "f" * 16,
    2,
)


@given(st.binary(max_size=200))
def test_any_bytes_survive_as_text(data):
    assert encode_text(decode_text(data)) == data


@pytest.mark.parametrize("text", ["Grüße 🦊", "", "a\0b", "\udcff\udc80", "\ud800"])
def test_any_text_can_be_written(text):
    written = encode_text(text)
    assert isinstance(written, bytes)
    if not text.startswith("\ud800"):  # half a pair has no bytes of its own; it must only not fail
        assert decode_text(written) == text


def test_json_is_canonical():
    assert encode_json({"b": 1, "a": {"d": "é", "c": None}}) == b'{"a":{"c":null,"d":"\\u00e9"},"b":1}'
    assert encode_json({"a": {1}}) == b'{"a":"{1}"}'


@pytest.mark.parametrize(
    ("parameter", "packed"),
    [
        (Parameter(None), PARAMETER.pack(NULL, 0, 0)),
        (Parameter(b""), PARAMETER.pack(0, 0, 0)),
        (Parameter(b"ab", True, 23), PARAMETER.pack(BINARY, 23, 2) + b"ab"),
        (Parameter(None, True, 17), PARAMETER.pack(NULL | BINARY, 17, 0)),
        (Parameter(b"x", False, -1), PARAMETER.pack(0, 0xFFFFFFFF, 1) + b"x"),
    ],
)
def test_a_parameter_says_null_apart_from_empty(parameter, packed):
    for count in (1, 2):
        writer = BytesWriter()
        write_parameters(writer, (parameter,) * count)
        assert writer.getvalue() == packed * count


@pytest.mark.parametrize("number", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_record_is_written_as_its_layout_says(number):
    writer = BytesWriter()
    write_head(writer, number, 3, 9, number, 2**62 + number)
    write_u32(writer, number)
    write_u16(writer, number >> 16)
    assert writer.getvalue() == RECORD.pack(number, 3, 9, number, 2**62 + number) + struct.pack(
        ">IH", number, number >> 16
    )


@pytest.mark.parametrize("number", [2**32, -1, -(2**31) - 1])
def test_a_number_that_does_not_fit_is_not_cut(number):
    with pytest.raises(OverflowError):
        write_u32(BytesWriter(), number)
    with pytest.raises(OverflowError):
        write_u16(BytesWriter(), number)
    for pair in ((number, 0), (0, number)):
        with pytest.raises(OverflowError):
            write_pair(BytesWriter(), *pair)
    with pytest.raises(OverflowError):
        write_head(BytesWriter(), number, 1, 1, 1, 1)
    with pytest.raises(OverflowError):
        write_head(BytesWriter(), 1, 1, 1, number, 1)


@pytest.mark.parametrize("first", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("second", [0, 0xFFFF, 0x80000000, 0xFFFFFFFF])
def test_two_numbers_are_written_one_after_the_other(first, second):
    writer = BytesWriter()
    write_pair(writer, first, second)
    assert writer.getvalue() == struct.pack(">II", first, second)


def test_the_kinds_keep_their_numbers():
    assert KIND_NAMES == ["connect", "prepare", "execute", "cancel"]


@pytest.mark.parametrize(
    ("decision", "verdict", "fields"),
    [
        (Permit("t", ("p",), Risk(7, (("r", 7),)), approval="a-1"), "permit", {"approval": "a-1"}),
        (Permit("t", would_have="denial", prepare_only=True), "permit", {"would_have": "denial", "prepare_only": True}),
        (
            Denial(DenialCode.POLICY, "no", "ask", ticket="t-1"),
            "denial",
            {"code": "policy", "reason": "no", "hint": "ask", "ticket": "t-1"},
        ),
        (
            Pending(approvers=("dba",), reason="r", quorum=2),
            "pending",
            {"approvers": ["dba"], "reason": "r", "quorum": 2},
        ),
    ],
)
def test_a_judgement_holds_what_was_decided_and_nothing_empty(decision, verdict, fields):
    found = json.loads(encode_json(judgement(FACTS, decision, "around")))
    decided = found["decision"]
    assert decided.pop("verdict") == verdict
    assert decided.pop("policies") == list(decision.policies)
    risk = decided.pop("risk")
    assert risk == {"score": decision.risk.score, "reasons": [list(each) for each in decision.risk.reasons]}
    assert decided == fields
    assert found["surroundings"] == "around"


def test_a_judgement_holds_all_facts():
    found = json.loads(encode_json(judgement(FACTS, Permit("t"), "")))["facts"]
    assert found == {
        "effect": "destroy",
        "verb": "delete",
        "objects": [{"kind": "table", "name": "public.orders", "access": "write"}],
        "flags": ["a", "unbounded_write"],
        "bounded": False,
        "reason": "Why.",
        "fingerprint": "f" * 16,
        "statements": 2,
    }


def test_the_header_names_who_and_where_but_no_upstream_secret(begin, sink, records):
    begin().close("end")
    header = records(sink.data)[0].raw
    assert header["principal"]["agent"] == "reporting-agent"
    assert header["principal"]["groups"] == ["agents", "readers"]
    assert header["target"] == {
        "name": "shop",
        "host": "db.example",
        "port": 5432,
        "labels": {"environment": "production"},
    }
    assert (header["session"], header["connection"], header["mode"]) == ("session-1", "connection-1", "enforce")


def test_target_options_stay_out_of_the_header():
    target = Target("t", "postgres", "h", 1, options={"password": "hunter2"})
    session = Session("s", Principal("iss", "sub", "agent"), "t", 0.0, 1.0)
    assert "hunter2" not in json.dumps(header_of("r", session, target, "c", 0.0, 0))
