"""Records are read back as they were written, and nothing in them is believed without a check."""

from __future__ import annotations

import json

import pytest
from librt.strings import BytesWriter

from blastwall.model import Direction, Parameter
from blastwall.recording.bodies import INTENT_FIELDS, PARAMETER, RELAYED_FIELDS, write_parameters
from blastwall.recording.codec import Flag, FormatFault, RawRecord, RecordType
from blastwall.recording.records import MAX_REFUSED, Decoder, Event, Relayed

JUDGED = {"facts": {"effect": "read"}, "decision": {"verdict": "permit"}, "surroundings": "around"}
HEADER = {
    "recording": "r",
    "session": "s",
    "protocol": "postgres",
    "started_at": 1.5,
    "principal": {},
    "target": {},
}


def raw(kind: int, body: object = b"", *, statement: int = 0, flags: int = 0, at: int = 9) -> RawRecord:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawRecord(kind, flags, statement, at, data)


def intent_body(
    reference: int = 1, text: bytes = b"SELECT 1", upstream: bytes = b"", name: bytes = b"", kind: int = 2, bound=()
) -> bytes:
    fields = INTENT_FIELDS.pack(reference, kind, len(name), len(bound), len(text), len(upstream))
    writer = BytesWriter()
    write_parameters(writer, tuple(bound))
    return fields + text + upstream + name + writer.getvalue()


def judged(verdict: str = "permit", reference: int = 1) -> tuple[Decoder, RawRecord]:
    decoder = Decoder()
    judgement = {**JUDGED, "decision": {"verdict": verdict}}
    assert decoder.decode(raw(RecordType.JUDGEMENT, judgement, statement=reference), 1) is None
    return decoder, raw(RecordType.INTENT, intent_body(reference), statement=5)


def relayed(statement: int) -> RawRecord:
    return raw(RecordType.RELAYED, RELAYED_FIELDS.pack(0, 0, 0, 0), statement=statement)


def test_an_intent_is_read_back_whole():
    decoder, _ = judged()
    bound = (Parameter(None, False, 23), Parameter(b"\0\1", True, 17), Parameter(b"x"))
    body = intent_body(text="é".encode() + b"\xff", upstream=b"SELECT 2", name=b"s1", kind=1, bound=bound)
    found = decoder.decode(raw(RecordType.INTENT, body, statement=7, flags=Flag.UPSTREAM | Flag.REDACTED), 3)
    assert (found.sequence, found.at, found.statement, found.kind) == (3, 9, 7, "prepare")
    assert (found.text, found.upstream, found.name) == ("é\udcff", "SELECT 2", "s1")
    assert found.parameters == bound
    assert (found.facts, found.decision, found.surroundings) == ({"effect": "read"}, {"verdict": "permit"}, "around")
    assert found.redacted


def test_without_the_flag_nothing_else_went_upstream():
    decoder, intent = judged()
    found = decoder.decode(intent, 2)
    assert found.upstream is None
    assert not found.redacted


@pytest.mark.parametrize(
    ("flags", "direction", "redacted"),
    [(0, Direction.TO_AGENT, False), (Flag.TO_TARGET | Flag.REDACTED, Direction.TO_TARGET, True)],
)
def test_relayed_bytes_keep_their_marks(flags, direction, redacted):
    body = RELAYED_FIELDS.pack(3, 2, 8, 5) + b"SELECT 3" + b"42P01" + b"bytes"
    found = Decoder().decode(raw(RecordType.RELAYED, body, statement=4, flags=flags), 1)
    assert found == Relayed(1, 9, 4, b"bytes", 3, 2, "SELECT 3", "42P01", direction, redacted)


@pytest.mark.parametrize(("verdict", "refused"), [("permit", False), ("denial", True), ("pending", True)])
def test_answers_to_what_was_refused_are_told_from_the_targets(verdict, refused):
    decoder, intent = judged(verdict)
    decoder.decode(intent, 2)
    assert decoder.decode(relayed(5), 3).refused is refused
    assert decoder.decode(relayed(6), 3).refused is False


def test_a_statement_permitted_later_is_no_longer_refused():
    decoder, intent = judged("denial")
    decoder.decode(intent, 2)
    decoder.decode(raw(RecordType.JUDGEMENT, JUDGED, statement=2), 3)
    decoder.decode(raw(RecordType.INTENT, intent_body(2), statement=5), 4)
    assert decoder.decode(relayed(5), 5).refused is False


def test_what_is_remembered_of_refusals_is_bounded():
    decoder, _ = judged("denial")
    for number in range(MAX_REFUSED + 1):
        decoder.decode(raw(RecordType.INTENT, intent_body(), statement=number), 2)
    assert [decoder.decode(relayed(number), 3).refused for number in (0, 1, MAX_REFUSED)] == [False, True, True]


def test_the_rest_is_json_with_its_shape():
    decoder = Decoder()
    header = decoder.decode(raw(RecordType.HEADER, HEADER), 0)
    assert (header.recording, header.session, header.protocol, header.started_at) == ("r", "s", "postgres", 1.5)
    assert decoder.decode(raw(RecordType.EVENT, {"name": "n", "fields": {"a": 1}}), 1) == Event(1, 9, "n", {"a": 1})
    end = decoder.decode(raw(RecordType.END, {"reason": "bye", "ended_at": 2, "totals": {"rows": 1}}), 2)
    assert (end.reason, end.ended_at, end.totals) == ("bye", 2.0, {"rows": 1})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (RecordType.INTENT, b""),
        (RecordType.INTENT, INTENT_FIELDS.pack(1, 2, 0, 0xFFFF, 0, 0)),
        (RecordType.RELAYED, b"\0"),
        (RecordType.INTENT, intent_body(reference=99)),
        (RecordType.INTENT, intent_body(kind=4)),
        (RecordType.INTENT, intent_body()[:-1]),
        (RecordType.INTENT, intent_body() + b"x"),
        (RecordType.INTENT, INTENT_FIELDS.pack(1, 2, 0, 0, 0xFFFFFFFF, 0) + b"x"),
        (RecordType.INTENT, INTENT_FIELDS.pack(1, 2, 0, 1, 0, 0) + PARAMETER.pack(0, 0, 9)),
        (RecordType.RELAYED, RELAYED_FIELDS.pack(0, 0, 9, 0)),
        (RecordType.JUDGEMENT, b"[]"),
        (RecordType.JUDGEMENT, {"facts": [], "decision": {}, "surroundings": ""}),
        (RecordType.HEADER, {**HEADER, "principal": []}),
        (RecordType.HEADER, {**HEADER, "started_at": "nan"}),
        (RecordType.HEADER, {**HEADER, "started_at": 1e12}),
        (RecordType.HEADER, {**HEADER, "session": "\ud800"}),
        (RecordType.HEADER, {}),
        (RecordType.EVENT, {"name": "n", "fields": []}),
        (RecordType.EVENT, b"[" * 100_000),
        (RecordType.END, {"reason": "r", "ended_at": None, "totals": {}}),
        (RecordType.END, {"reason": "r", "ended_at": 1, "totals": 1}),
        (RecordType.MANIFEST, b"{}"),
        (99, b""),
    ],
)
def test_damage_is_a_fault_and_nothing_else(kind, body):
    decoder, _ = judged()
    with pytest.raises(FormatFault, match=r"Record 8 is|manifest is damaged"):
        decoder.decode(raw(kind, body), 8)
