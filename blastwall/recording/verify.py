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

from blastwall.recording.codec import FormatFault, RecordType, Torn, split_records
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
    manifest: dict[str, Any] | None = None
    body = b""
    before = (b"", 0, 0, 0)  # chain, length, blocks, records: as they were when the manifest's block began
    after = 0  # blocks behind the manifest
    so_far = (reader.chain, reader.position, 0, 0)
    try:
        for block in reader.blocks():
            if manifest is not None:
                after += 1
            for raw in split_records(block.payload, block.offset):
                if raw.type == RecordType.MANIFEST and manifest is None:
                    manifest, body, before = parse_manifest(raw.body), raw.body, so_far
            so_far = (reader.chain, reader.position, reader.index, reader.sequence)
    except FormatFault as fault:
        reader.problem = fault
    return _judge(reader, manifest, body, before, after, trusted, beside, recording)


def _judge(
    reader: Reader,
    manifest: Mapping[str, Any] | None,
    body: bytes,
    before: tuple[bytes, int, int, int],
    after: int,
    trusted: Mapping[str, bytes],
    beside: bytes | None,
    recording: str | None,
) -> Verdict:
    id = reader.header.recording if reader.header is not None else ""
    key = str(manifest.get("key", "")) if manifest is not None else ""

    def verdict(state: State, reason: str) -> Verdict:
        return Verdict(state, reason, reader.index, reader.position, reader.sequence, id, key)

    problem = reader.problem
    if problem is not None and not isinstance(problem, Torn):
        return verdict(State.TAMPERED, str(problem))
    if recording is not None and reader.header is not None and recording != id:
        return verdict(State.TAMPERED, f"This is the recording {id}, filed under the id {recording}.")
    if manifest is None:
        if beside is not None:
            return verdict(State.TAMPERED, "The recording was finished, and its end has been cut off.")
        return verdict(State.TRUNCATED, str(problem or "The recording stops without an end: its writer was stopped."))
    if problem is not None or after:
        return verdict(State.TAMPERED, "Something was added after the end of the recording.")
    assert reader.header is not None
    wrong = _contradiction(manifest, reader.header, before)
    if wrong:
        return verdict(State.TAMPERED, wrong)
    if beside is not None and beside != body:
        return verdict(State.TAMPERED, "The manifest beside the recording is not the one inside it.")
    if not manifest.get("signature"):
        return verdict(State.UNSIGNED, "The recording is whole, and nobody signed it.")
    if not trusted:
        return verdict(State.UNSIGNED, "The recording is whole; without a public key its signature was not checked.")
    refusal = check_signature(manifest, trusted)
    if refusal is not None:
        return verdict(State.TAMPERED, f"The manifest cannot be trusted: {refusal}.")
    return verdict(State.INTACT, "Every block is what was written, and the manifest is signed by a trusted key.")


def _contradiction(manifest: Mapping[str, Any], header: Header, before: tuple[bytes, int, int, int]) -> str | None:
    """Say what in the manifest does not fit the file, if anything."""
    value, length, blocks, records = before
    expected = {
        "chain": value.hex(),
        "length": length,
        "blocks": blocks,
        "records": records,
        "recording": header.recording,
        "session": header.session,
        "connection": header.raw.get("connection"),
        "protocol": header.protocol,
        "started_at": header.raw.get("started_at"),
    }
    for name, value_ in expected.items():
        if manifest.get(name) != value_:
            return f"The manifest's {name} does not fit the file."
    return None
