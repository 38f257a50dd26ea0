"""Recordings made record by record, of whatever a writer may or should not write."""

from __future__ import annotations

import json
from dataclasses import dataclass

from blastwall.recording import chain
from blastwall.recording.bodies import INTENT_FIELDS, KINDS, PARAMETER, RELAYED_FIELDS, encode_json, encode_text
from blastwall.recording.codec import BLOCK, RECORD, VERSION, ZSTD, RecordType, deflate, preamble, seal_head

KIND = {kind.value: number for kind, number in KINDS.items()}
ID, SESSION = "0123456789abcdef", "session-1"
MIDNIGHT = 1_799_971_199.75  # a quarter of a second before 2027-01-15, UTC


@dataclass(frozen=True)
class Raw:
    """A record that is not yet part of a recording; ``after`` is in nanoseconds since the one before."""

    type: int
    body: bytes
    flags: int = 0
    statement: int = 0
    after: int = 0


def header(protocol="postgres", started_at=MIDNIGHT):
    value = {
        "recording": ID,
        "session": SESSION,
        "connection": "c-1",
        "protocol": protocol,
        "started_at": started_at,
        "principal": {"issuer": "https://idp", "subject": "a-7", "agent": "100% agent", "groups": ["agents"]},
        "target": {"name": "shop", "host": "db", "port": 5432, "labels": {}},
    }
    return Raw(RecordType.HEADER, encode_json(value))


def judgement(number, facts, decision, surroundings=""):
    body = {"facts": facts, "decision": decision, "surroundings": surroundings}
    return Raw(RecordType.JUDGEMENT, json.dumps(body).encode(), 0, number)


def intent(
    number,
    text="SELECT 1",
    kind="execute",
    judged=1,
    name="",
    upstream="",
    parameters=(),
    results=b"",
    flags=0,
    after=0,
):
    raw, sent, named = (encode_text(value) for value in (text, upstream, name))
    code = kind if isinstance(kind, int) else KIND[kind]
    body = INTENT_FIELDS.pack(judged, code, len(named), len(parameters), len(raw), len(sent)) + raw + sent + named
    body += b"".join(PARAMETER.pack(0, 23, len(value)) + value for value in parameters)
    return Raw(RecordType.INTENT, body + results, flags, number, after)


def relayed(number, tag="SELECT 1", error="", data=b"", after=0):
    said, wrong = tag.encode(), error.encode()
    return Raw(
        RecordType.RELAYED, RELAYED_FIELDS.pack(1, 0, len(said), len(wrong)) + said + wrong + data, 0, number, after
    )


def written(blocks, version=VERSION, compress=False):
    """The file of these blocks of records."""
    data, value, session = preamble(version), chain.origin(ID, version), chain.session_key(SESSION)
    sequence = at = 0
    for records in blocks:
        payload = b""
        for record in records:
            at += record.after
            payload += RECORD.pack(len(record.body), record.type, record.flags, record.statement, at) + record.body
        stored = deflate(payload) if compress else payload
        sealed = BLOCK.pack(ZSTD if compress else 0, len(stored), len(payload), sequence)
        value = chain.link(value, session, sealed, (stored,))
        data += seal_head(sealed, value) + stored
        sequence += len(records)
    return data
