"""Is a recording what was written? The chain tells about the blocks, the signed manifest about their end.

Four answers. *intact*: every block chains, the manifest is the last block, fits the file beside it and the header, and
a trusted key signed it. *truncated*: every block chains and the file just stops, as when its writer was killed; signed
checkpoints in it say how much of it a key vouches for. *unsigned*: as intact, but no signature, or no key to check it
with. *tampered*: anything else, with the block and the offset.

What the chain cannot tell: whoever can write the file *and* remove the manifest beside it can cut it at a block's end,
and the rest looks like a writer that was killed. Only a copy elsewhere tells; keep the audit events elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

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
    proven: int = 0  # bytes from the beginning that a trusted key has signed for, by checkpoint or manifest


def verify(
    source: Source, *, trusted: Mapping[str, bytes], beside: bytes | None = None, recording: str | None = None
) -> Verdict:
    """Verify one recording.

    ``trusted`` maps key ids to public keys (32 bytes Ed25519, 65 bytes P-256); ``beside`` is the content of
    ``ID.manifest.json`` (None: there is none); ``recording`` is the id the recording is filed under. Raises
    :class:`FormatFault` for what is no recording, and for a version newer than this reader.
    """
    try:
        reader = Reader(source)
    except Torn as torn:
        return Verdict(State.TRUNCATED if beside is None else State.TAMPERED, str(torn), 0, 0, 0)
    end = _walk(reader, trusted)
    return _judge(reader, end, trusted, beside, recording)


@dataclass(frozen=True, slots=True)
class _Place:
    """What stands before a block: blocks, bytes, records, and the chain's value."""

    block: int = 0
    offset: int = PREAMBLE.size
    records: int = 0
    chain: bytes = b""


@dataclass(slots=True)
class _End:
    """Where the walk ended; ``wrong`` is what it found at that place."""

    place: _Place = _Place()
    manifest: dict[str, Any] | None = None
    body: bytes = b""
    wrong: str = ""
    mark: _Place | None = None  # what the next checkpoint must speak of
    proven: int = 0  # bytes


def _walk(reader: Reader, trusted: Mapping[str, bytes]) -> _End:
    """Read to the end, or to the first thing that cannot be: then the place is where its block begins."""
    end = _End()
    for block in reader.blocks():
        assert reader.header is not None
        try:
            if end.manifest is not None:
                raise FormatFault("Something was added after the end of the recording.")
            for number, raw in enumerate(split_records(block.payload, block.offset), block.head.sequence):
                if (raw.type == RecordType.HEADER) != (number == 0):
                    raise FormatFault("The header is the first record, and only that.")
                if raw.type == RecordType.MANIFEST:
                    if len(block.payload) != RECORD.size + len(raw.body) or raw.flags or raw.statement:
                        raise FormatFault("The manifest is not alone in its block.")
                    end.manifest, end.body = parse_manifest(raw.body), raw.body
                    _compare(end.manifest, reader.header, end.place, "manifest", _MANIFEST)
                elif raw.type == RecordType.MARK and reader.version >= 2:
                    end.mark = end.place
                elif raw.type == RecordType.CHECKPOINT and reader.version >= 2:
                    _check(raw.body, reader.header, end, trusted)
        except FormatFault as fault:
            end.wrong = str(fault)
            return end
        end.place = _Place(reader.index, reader.position, reader.sequence, reader.chain)
    return end


def _check(body: bytes, header: Header, end: _End, trusted: Mapping[str, bytes]) -> None:
    """A checkpoint: it speaks of the last mark, and a trusted key signed it. Raises FormatFault."""
    checkpoint = parse_manifest(body)
    if end.mark is None:
        raise FormatFault("A checkpoint speaks of no mark.")
    _compare(checkpoint, header, end.mark, "checkpoint", _CHECKPOINT)
    if trusted:
        refusal = check_signature(checkpoint, trusted)
        if refusal is not None:
            raise FormatFault(f"A checkpoint cannot be trusted: {refusal}.")
        end.proven = end.mark.offset
    end.mark = None


def _judge(
    reader: Reader, end: _End, trusted: Mapping[str, bytes], beside: bytes | None, recording: str | None
) -> Verdict:
    id = reader.header.recording if reader.header is not None else ""
    manifest, place = end.manifest, end.place
    key = str(manifest.get("key", "")) if manifest is not None else ""
    completed_by = str(manifest.get("completed_by", "")) if manifest is not None else ""

    def verdict(state: State, reason: str) -> Verdict:
        proven = place.offset if state is State.INTACT else end.proven
        return Verdict(state, reason, place.block, place.offset, place.records, id, key, completed_by, proven)

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
    if completed_by:
        return verdict(
            State.INTACT,
            "Every block is what was written. Its writer was stopped; what stood there then was completed and signed "
            "with a trusted key.",
        )
    return verdict(State.INTACT, "Every block is what was written, and the manifest is signed by a trusted key.")


_CHECKPOINT: Final = ("format", "recording", "session")
_MANIFEST: Final = (*_CHECKPOINT, "connection", "protocol", "started_at")


def _compare(said: Mapping[str, Any], header: Header, place: _Place, what: str, names: Sequence[str]) -> None:
    """Raise FormatFault when what is said of a place does not fit it, or not the header (in ``names``)."""
    expected = {name: header.raw.get(name) for name in names}
    expected |= {"chain": place.chain.hex(), "length": place.offset, "blocks": place.block, "records": place.records}
    for name, value in expected.items():
        # As they are written: 1, 1.0 and true are equal to Python, and to nobody else.
        if name not in said or encode_json({"": said[name]}) != encode_json({"": value}):
            raise FormatFault(f"The {what}'s {name} does not fit the file.")
