"""The end that a stopped writer could not write: found out from what stands, and signed as another's.

Pure: it reads a file and returns the bytes that complete it. What is damaged is not completed, because a signature
would vouch for it. The same file and the same key give the same end, but for the times it is given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from blastwall.recording.blocks import Blocks
from blastwall.recording.bodies import encode_json
from blastwall.recording.codec import RECORD, FormatFault, RecordType, Torn, split_records
from blastwall.recording.manifest import Signer, make_manifest
from blastwall.recording.reader import Reader, Source
from blastwall.recording.records import Decoder, End, Header, Intent, Relayed, Seal

STOPPED = "its writer was stopped"


@dataclass(frozen=True, slots=True)
class Survey:
    """What stands in a file: ``length`` bytes of whole blocks; ``end`` and ``seal`` are None where they are missing."""

    header: Header
    length: int
    blocks: int
    records: int
    chain: bytes
    latest: int  # the last record's time, nanoseconds since the recording began
    totals: dict[str, object]
    end: End | None
    seal: Seal | None


def survey(source: Source) -> Survey | None:
    """Read a recording to where it stops. None: not even its header was written, so nothing it would tell of ran.

    Raises :class:`FormatFault` for what is no recording, is of a newer version, or is damaged before its end.
    """
    try:
        reader = Reader(source)
    except Torn:
        return None
    totals = {"statements": 0, "denied": 0, "rows": 0, "relayed_bytes": 0}
    decoder = Decoder(reader.version)
    end: End | None = None
    seal: Seal | None = None
    for block in reader.blocks():
        if seal is not None:
            raise FormatFault("Something was added after the end of the recording.", block.offset)
        for sequence, raw in enumerate(split_records(block.payload, block.offset), block.head.sequence):
            if raw.type == RecordType.CHECKPOINT:
                continue
            match decoder.decode(raw, sequence):
                case Intent(decision=decision):
                    totals["statements"] += 1
                    totals["denied"] += decision.get("verdict") == "denial"
                case Relayed(rows=rows, data=data):
                    totals["rows"] += rows
                    totals["relayed_bytes"] += len(data)
                case End() as found:
                    end = found
                case Seal() as found:
                    seal = found
    if reader.problem is not None and not isinstance(reader.problem, Torn):
        raise reader.problem
    if reader.header is None:
        return None
    return Survey(
        reader.header,
        reader.position,
        reader.index,
        reader.sequence,
        reader.chain,
        reader.latest,
        dict(totals),
        end,
        seal,
    )


def completion(found: Survey, *, signer: Signer | None, by: str, now: float, torn: int) -> tuple[bytes, bytes]:
    """Return the blocks to append behind ``found.length`` bytes, and the manifest.

    ``by`` names who completes it, ``now`` is wall time in seconds, ``torn`` how many bytes of a block that was not
    whole are cut off. Raises RecordingFault when the signer does not sign, ValueError for what has its manifest.
    """
    if found.seal is not None:
        raise ValueError("the recording has its manifest")
    grown = _Grown()
    blocks = Blocks(found.header.recording, found.header.session, grown)
    blocks.resume(found.chain, found.length, found.blocks, found.records)
    end: dict[str, Any]
    if found.end is None:
        end = {
            "reason": STOPPED,
            "ended_at": found.header.started_at + found.latest / 1e9,
            "totals": found.totals,
            "completed_by": by,
            "completed_at": now,
            "torn": torn,
        }
        _add(blocks, RecordType.END, encode_json(end), found.latest)
    else:
        end = {"reason": found.end.reason, "ended_at": found.end.ended_at, "totals": found.end.totals}
    manifest = make_manifest(
        found.header.raw,
        ended_at=end["ended_at"],
        duration_ns=found.latest,
        reason=end["reason"],
        totals=end["totals"],
        records=blocks.sequence,
        blocks=blocks.count,
        length=blocks.length,
        chain=blocks.value,
        signer=signer,
        completed_by=by,
    )
    _add(blocks, RecordType.MANIFEST, manifest, found.latest)
    return bytes(grown.data), manifest


def _add(blocks: Blocks, type_: RecordType, body: bytes, at: int) -> None:
    record = RECORD.pack(len(body), int(type_), 0, 0, at) + body
    blocks.write((record,), len(record), 1)


class _Grown:
    """A sink in memory: what is appended here is two small blocks."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, parts: Sequence[bytes], length: int) -> None:
        for part in parts:
            self.data += part

    def settle(self) -> Awaitable[None] | None:
        return None

    def room(self) -> Awaitable[None] | None:
        return None

    def check(self) -> None:
        pass

    def seal(self, manifest: bytes) -> None:
        pass

    def close(self) -> None:
        pass
