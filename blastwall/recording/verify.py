"""Is a recording what was written? The chain tells about the blocks, the signed manifest about their end.

Four answers. *intact*: every block chains, the manifest is the last block, fits the file beside it and the header, and
a trusted key signed it. *truncated*: every block chains and the file just stops, as when its writer was killed.
*unsigned*: as intact, but no signature, or no key to check it with. *tampered*: anything else, with the block and the
offset.

What the chain cannot tell: whoever can write the file *and* remove the manifest beside it can cut it at a block's end,
and the rest looks like a writer that was killed. Only a copy elsewhere tells; keep the audit events elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from blastwall.recording.bodies import encode_json
from blastwall.recording.codec import PREAMBLE, RECORD, FormatFault, RecordType, Torn, split_records
from blastwall.recording.manifest import check_signature, parse_manifest
from blastwall.recording.reader import Reader, Source
from blastwall.recording.records import Header


class State(StrEnum):
    """What verification found."""

    INTACT = "intact"
    UNSIGNED = "unsigned"
    TRUNCATED = "truncated"
    TAMPERED = "tampered"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The finding, why, and how far the file is whole: ``block`` counts from 0, ``offset`` is in bytes."""

    state: State
    reason: str
    block: int
    offset: int
    records: int
    recording: str = ""
    key: str = ""
    completed_by: str = ""  # who wrote the end, when it was not the recording's own writer


def verify(
    source: Source, *, trusted: Mapping[str, bytes], beside: bytes | None = None, recording: str | None = None
) -> Verdict:
    """Verify one recording.

    ``trusted`` maps key ids to 32-byte Ed25519 public keys; ``beside`` is the content of ``ID.manifest.json`` (None:
    there is none); ``recording`` is the id the recording is filed under. Raises :class:`FormatFault` for what is no
    recording, and for a version newer than this reader.
    """
    try:
        reader = Reader(source)
    except Torn as torn:
        return Verdict(State.TRUNCATED if beside is None else State.TAMPERED, str(torn), 0, 0, 0)
    end = _walk(reader)
    return _judge(reader, end, trusted, beside, recording)


@dataclass(slots=True)
class _End:
    """The manifest and what stood before its block; ``wrong`` is what the walk found, at the place where it stopped."""

    manifest: dict[str, Any] | None = None
    body: bytes = b""
    wrong: str = ""
    block: int = 0
    offset: int = PREAMBLE.size
    records: int = 0


def _walk(reader: Reader) -> _End:
    """Read to the end, or to the first thing that cannot be: then the place is where its block begins."""
    end = _End()
    value = b""  # the chain before the block at hand
    for block in reader.blocks():
        assert reader.header is not None
        if end.manifest is not None:
            end.wrong = "Something was added after the end of the recording."
            return end
        try:
            for number, raw in enumerate(split_records(block.payload, block.offset), block.head.sequence):
                if (raw.type == RecordType.HEADER) != (number == 0):
                    raise FormatFault("The header is the first record, and only that.")
                if raw.type != RecordType.MANIFEST:
                    continue
                if len(block.payload) != RECORD.size + len(raw.body) or raw.flags or raw.statement:
                    raise FormatFault("The manifest is not alone in its block.")
                end.manifest, end.body = parse_manifest(raw.body), raw.body
                wrong = _contradiction(end.manifest, reader.header, value, end)
                if wrong:
                    raise FormatFault(wrong)
        except FormatFault as fault:
            end.wrong = str(fault)
            return end
        value = reader.chain
        end.block, end.offset, end.records = reader.index, reader.position, reader.sequence
    return end


def _judge(
    reader: Reader, end: _End, trusted: Mapping[str, bytes], beside: bytes | None, recording: str | None
) -> Verdict:
    id = reader.header.recording if reader.header is not None else ""
    manifest = end.manifest
    key = str(manifest.get("key", "")) if manifest is not None else ""
    completed_by = str(manifest.get("completed_by", "")) if manifest is not None else ""

    def verdict(state: State, reason: str) -> Verdict:
        return Verdict(state, reason, end.block, end.offset, end.records, id, key, completed_by)

    problem = reader.problem
    if end.wrong:
        return verdict(State.TAMPERED, end.wrong)
    if problem is not None and not isinstance(problem, Torn):
        return verdict(State.TAMPERED, str(problem))
    if recording is not None and reader.header is not None and recording != id:
        return verdict(State.TAMPERED, f"This is the recording {id}, filed under the id {recording}.")
    if manifest is None:
        if beside is not None:
            return verdict(State.TAMPERED, "The recording was finished, and its end has been cut off.")
        return verdict(State.TRUNCATED, str(problem or "The recording stops without an end: its writer was stopped."))
    if problem is not None:
        return verdict(State.TAMPERED, "Something was added after the end of the recording.")
    if beside is not None and beside != end.body:
        return verdict(State.TAMPERED, "The manifest beside the recording is not the one inside it.")
    if not manifest.get("signature"):
        return verdict(State.UNSIGNED, "The recording is whole, and nobody signed it.")
    if not trusted:
        return verdict(State.UNSIGNED, "The recording is whole; without a public key its signature was not checked.")
    refusal = check_signature(manifest, trusted)
    if refusal is not None:
        return verdict(State.TAMPERED, f"The manifest cannot be trusted: {refusal}.")
    return verdict(State.INTACT, "Every block is what was written, and the manifest is signed by a trusted key.")


def _contradiction(manifest: Mapping[str, Any], header: Header, value: bytes, before: _End) -> str | None:
    """Say what in the manifest does not fit what stands before its block, if anything; ``value`` is the chain there."""
    expected = {
        "chain": value.hex(),
        "length": before.offset,
        "blocks": before.block,
        "records": before.records,
        "recording": header.recording,
        "session": header.session,
        "connection": header.raw.get("connection"),
        "protocol": header.protocol,
        "started_at": header.raw.get("started_at"),
    }
    for name, value_ in expected.items():
        # As they are written: 1, 1.0 and true are equal to Python, and to nobody else.
        if name not in manifest or encode_json({"": manifest[name]}) != encode_json({"": value_}):
            return f"The manifest's {name} does not fit the file."
    return None
