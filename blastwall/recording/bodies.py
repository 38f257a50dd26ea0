"""What is inside the records: packed intents and relayed chunks, JSON for the rest. Pure, both ways."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from librt.strings import BytesWriter, write_i16_be, write_i32_be, write_i64_be
from mypy_extensions import i16, i32, i64

from blastwall.model import Decision, Denial, Facts, Parameter, Permit, Session, StatementKind, Target
from blastwall.recording.codec import VERSION

INTENT_FIELDS: Final = struct.Struct(">IBHHII")  # judgement, kind, name, parameters, text, upstream (lengths)
RELAYED_FIELDS: Final = struct.Struct(">IIBB")  # rows, masked cells, length of tag, length of error
PARAMETER: Final = struct.Struct(">BII")  # flags, type id, length

#: What reading a body raises that is not what it should be.
DAMAGE: Final = (KeyError, struct.error, TypeError, ValueError, IndexError, OverflowError, RecursionError)

Judgement: TypeAlias = tuple[Mapping[str, Any], Mapping[str, Any], str]  # facts, decision, surroundings

NULL: Final = 1  # flags of a parameter
BINARY: Final = 2
REMOVED: Final = 4

KINDS: Final[Mapping[StatementKind, int]] = {
    StatementKind.CONNECT: 0,
    StatementKind.PREPARE: 1,
    StatementKind.EXECUTE: 2,
    StatementKind.CANCEL: 3,
}
KIND_NAMES: Final[Sequence[str]] = [kind.value for kind in KINDS]


def encode_text(text: str) -> bytes:
    """UTF-8; bytes that arrived as surrogate escapes go back to what they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    """The text of :func:`encode_text`; what is not UTF-8 becomes surrogate escapes, never an error."""
    return data.decode("utf-8", "surrogateescape")


def encode_json(value: Mapping[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no spaces, ASCII. Values JSON does not know are written as their ``str``."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, default=str).encode()


def write_u32(writer: BytesWriter, number: i64) -> None:
    """Append an unsigned 32-bit number. Raises OverflowError for one that does not fit."""
    if number < 0 or number > 0xFFFFFFFF:
        raise OverflowError(f"{number} does not fit 32 bits")
    write_i32_be(writer, i32(number if number < 0x80000000 else number - 0x100000000))


def write_u16(writer: BytesWriter, number: i64) -> None:
    """Append an unsigned 16-bit number. Raises OverflowError for one that does not fit."""
    if number < 0 or number > 0xFFFF:
        raise OverflowError(f"{number} does not fit 16 bits")
    write_i16_be(writer, i16(number if number < 0x8000 else number - 0x10000))


def write_pair(writer: BytesWriter, first: i64, second: i64) -> None:
    """Append two unsigned 32-bit numbers in one go. Raises OverflowError when one of them does not fit."""
    if first < 0 or second < 0 or first > 0xFFFFFFFF or second > 0xFFFFFFFF:
        raise OverflowError(f"{first} or {second} does not fit 32 bits")
    if first >= 0x80000000:
        first -= 0x100000000
    write_i64_be(writer, first << 32 | second)


def write_head(writer: BytesWriter, length: i64, type_: i64, flags: i64, statement: i64, ticks: i64) -> None:
    """Append a record's head, as :data:`blastwall.recording.codec.RECORD` has it. Type and flags are a byte each."""
    if statement < 0 or statement > 0xFFFFFFFF:
        raise OverflowError(f"{statement} does not fit 32 bits")
    write_pair(writer, length, type_ << 24 | flags << 16 | statement >> 16)
    write_u16(writer, statement & 0xFFFF)
    write_i64_be(writer, ticks)


def write_parameters(writer: BytesWriter, parameters: tuple[Parameter, ...]) -> None:
    """Append bound parameters one after another."""
    for parameter in parameters:
        value = parameter.value
        binary = BINARY if parameter.binary else 0
        writer.append(NULL | binary if value is None else binary)
        type_id: i64 = parameter.type_id & 0xFFFFFFFF
        if value is None:
            write_pair(writer, type_id, 0)
        else:
            write_pair(writer, type_id, len(value))
            writer.write(value)


def header_of(
    recording: str, session: Session, target: Target, connection: str, started_at: float, origin: int
) -> dict[str, Any]:
    """The header's own fields: ``started_at`` in seconds since the epoch, ``origin`` in monotonic nanoseconds."""
    principal = session.principal
    return {
        "format": VERSION,
        "recording": recording,
        "connection": connection,
        "session": session.id,
        "break_glass": session.break_glass,
        "principal": {
            "issuer": principal.issuer,
            "subject": principal.subject,
            "agent": principal.agent,
            "groups": sorted(principal.groups),
            "on_behalf_of": principal.on_behalf_of,
            "token_id": principal.token_id,
            "expires_at": principal.expires_at,
        },
        "target": {
            "name": target.name,
            "host": target.host,
            "port": target.port,
            "labels": dict(target.labels),
        },
        "protocol": target.protocol,
        "mode": target.mode,
        "recording_mode": target.recording,
        "durability": target.durability,
        "started_at": started_at,
        "monotonic_origin": origin,
    }


def judgement(facts: Facts, decision: Decision, surroundings: str) -> dict[str, Any]:
    """Facts and decision as JSON values: what many intents share is written once."""
    if isinstance(decision, Permit):
        verdict = "permit"
    elif isinstance(decision, Denial):
        verdict = "denial"
    else:
        verdict = "pending"
    decided: dict[str, Any] = {
        "verdict": verdict,
        "policies": list(decision.policies),
        "risk": {"score": decision.risk.score, "reasons": [list(reason) for reason in decision.risk.reasons]},
    }
    for name in ("prepare_only", "approval", "would_have", "code", "reason", "hint", "ticket", "approvers", "quorum"):
        value = getattr(decision, name, None)
        if value:
            decided[name] = list(value) if isinstance(value, tuple) else value
    masked = {"masked_columns": sorted(facts.masked_columns)} if facts.masked_columns else {}
    return {
        "facts": {
            **masked,
            "effect": facts.effect,
            "verb": facts.verb,
            "objects": [{"kind": ref.kind, "name": ref.name, "access": ref.access} for ref in facts.objects],
            "flags": sorted(facts.flags),
            "bounded": facts.bounded,
            "reason": facts.reason,
            "fingerprint": facts.fingerprint,
            "statements": facts.statements,
        },
        "decision": decided,
        "surroundings": surroundings,
    }


def read_judgement(body: bytes) -> Judgement:
    """What :func:`judgement` gave, from its JSON. Raises one of :data:`DAMAGE`."""
    value = read_object(body)
    facts, decision = value["facts"], value["decision"]
    if not isinstance(facts, dict) or not isinstance(decision, dict):
        raise TypeError
    return facts, decision, str(value["surroundings"])


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises one of :data:`DAMAGE`."""
    value = json.loads(body.decode("ascii"))
    if not isinstance(value, dict):
        raise TypeError
    return value
