"""The bytes of a recording: preamble, blocks, records. Pure; ``docs/recording-format.md`` is the same, byte by byte.

All integers are big-endian. A file is one preamble and then blocks; a block is what one commit wrote: a head and a
payload of whole records. Nothing here hashes or does I/O.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import Final

import zstandard
from librt.strings import read_i32_be, read_i64_be

from blastwall.errors import OurFault
from blastwall.value import Fixed

MAGIC: Final = b"\x89BWR\r\n\x1a\n"  # as PNG's: a transfer that mangles line ends or the eighth bit is seen at once
VERSION: Final = 2  # what is written; 1, which lacks marks, checkpoints and result formats, is read too
SUFFIX: Final = ".bwr"

PREAMBLE: Final = struct.Struct(">8sHHI")  # magic, version, two reserved fields that are 0
BLOCK: Final = struct.Struct(">IIIQ")  # flags, stored length, raw length, sequence of the first record
CHECK: Final = struct.Struct(">32sI")  # chain value, CRC-32 of everything in the head before it
BLOCK_HEAD: Final = BLOCK.size + CHECK.size
_CHECKED: Final = BLOCK_HEAD - 4  # bytes of a block's head that its check sum covers
RECORD: Final = struct.Struct(">IBBIQ")  # body length, type, flags, statement, nanoseconds since the recording began

MAX_BLOCK: Final = 64 * 1024 * 1024  # bytes of one block's payload, stored or raw: what a reader must be able to hold
MAX_BODY: Final = 32 * 1024 * 1024  # bytes of one record's body: the largest statement that can be recorded
COMPRESS_FROM: Final = 4096  # bytes of payload below which compression costs more than it saves


crc32: Final = zlib.crc32  # looked up once

ZSTD: Final = 1  # the only block flag: the payload is one zstd frame


class RecordType(IntEnum):
    """What a record tells. Numbers are never reused."""

    HEADER = 1
    JUDGEMENT = 2  # facts and decision, written once and then referred to by the intents that share them
    INTENT = 3
    RELAYED = 4
    EVENT = 5
    END = 6
    MANIFEST = 7
    MARK = 8  # the next checkpoint speaks of what stands before this record's block
    CHECKPOINT = 9


class Flag(IntFlag):
    """Flags of a record."""

    REDACTED = 1  # a secret was taken out of the body
    UPSTREAM = 2  # intent: the text that went upstream follows, because it differs
    CONTINUED = 4  # relayed: the chunk was too large for one record and goes on in the next
    TO_TARGET = 8  # relayed: what the agent streamed in under a permit


class FormatFault(OurFault):
    """Bytes that are not a recording, or not one this version reads. ``offset`` is where in the file."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


class Torn(FormatFault):
    """The file ends inside a block, as it does when its writer was killed."""


class BlockHead(Fixed):
    """A block's head as stored. ``sealed`` is the part of it that the chain covers."""

    __slots__ = ("chain", "flags", "raw", "sealed", "sequence", "stored")
    __match_args__ = ("flags", "stored", "raw", "sequence", "chain", "sealed")

    def __init__(
        self,
        flags: int,
        stored: int,
        raw: int,
        sequence: int,
        chain: bytes,
        sealed: bytes,
    ) -> None:
        self.flags: Final = flags
        self.stored: Final = stored
        self.raw: Final = raw
        self.sequence: Final = sequence
        self.chain: Final = chain
        self.sealed: Final = sealed


class RawRecord(Fixed):
    """A record before its body is understood. ``at`` is in nanoseconds since the recording began."""

    __slots__ = ("at", "body", "flags", "statement", "type")
    __match_args__ = ("type", "flags", "statement", "at", "body")

    def __init__(
        self,
        type: int,
        flags: int,
        statement: int,
        at: int,
        body: bytes,
    ) -> None:
        self.type: Final = type
        self.flags: Final = flags
        self.statement: Final = statement
        self.at: Final = at
        self.body: Final = body


def read_u32(data: bytes, position: int) -> int:
    """An unsigned 32-bit number. Raises IndexError behind the end."""
    return int(read_i32_be(data, position)) & 0xFFFFFFFF


def read_u64(data: bytes, position: int) -> int:
    """An unsigned 64-bit number. Raises IndexError behind the end."""
    number = int(read_i64_be(data, position))
    return number if number >= 0 else number + (1 << 64)


def preamble(version: int = VERSION) -> bytes:
    """Return the 16 bytes a file of this version begins with."""
    return PREAMBLE.pack(MAGIC, version, 0, 0)


def check_preamble(data: bytes) -> int:
    """Return the format version of the recording that ``data`` (16 bytes) opens.

    Raises :class:`FormatFault` for what is no recording, or one of a newer version.
    """
    if len(data) < PREAMBLE.size:
        if MAGIC.startswith(data[: len(MAGIC)]):
            raise Torn("The file ends inside its preamble: its writer was stopped before anything was recorded.")
        raise FormatFault("This is not a Blastwall recording: the file does not begin with its magic.")
    magic, version, reserved, reserved2 = PREAMBLE.unpack(data[: PREAMBLE.size])
    if magic != MAGIC:
        raise FormatFault("This is not a Blastwall recording: the file does not begin with its magic.")
    if version > VERSION:
        raise FormatFault(
            f"This recording has format version {version}; this Blastwall reads up to {VERSION}. "
            "Read it with the release that wrote it, or a later one."
        )
    if version < 1 or reserved or reserved2:
        raise FormatFault("The recording's preamble is damaged.")
    return int(version)


def seal_head(head: bytes, chain: bytes) -> bytes:
    """Complete a packed :data:`BLOCK` with its chain value and a check sum: a torn head is not a damaged one."""
    sealed = head + chain
    return sealed + crc32(sealed).to_bytes(4, "big")


def parse_head(data: bytes, offset: int) -> BlockHead:
    """Parse a block's head. Raises :class:`Torn` when ``data`` is too short, :class:`FormatFault` when damaged."""
    if len(data) < BLOCK_HEAD:
        raise Torn("The file ends inside a block's head.", offset)
    if read_u32(data, _CHECKED) != crc32(data[:_CHECKED]):
        raise FormatFault("A block's head is damaged.", offset)
    flags, stored, raw = read_u32(data, 0), read_u32(data, 4), read_u32(data, 8)
    if flags & ~ZSTD:
        raise FormatFault(f"A block has flags ({flags:#x}) that this version does not know.", offset)
    if max(stored, raw) > MAX_BLOCK or (stored != raw and not flags & ZSTD):
        raise FormatFault("A block's head states an impossible length.", offset)
    return BlockHead(flags, stored, raw, read_u64(data, 12), data[BLOCK.size : _CHECKED], data[: BLOCK.size])


def inflate(head: BlockHead, stored: bytes, offset: int = 0) -> bytes:
    """Return the raw payload: one zstd frame that states its size, and nothing behind it. Raises :class:`FormatFault`.

    Never more than ``head.raw`` bytes are produced, whatever the frame says of itself.
    """
    if not head.flags & ZSTD:
        return stored
    try:
        if zstandard.get_frame_parameters(stored).content_size != head.raw:
            raise FormatFault("A compressed block does not have the length its head states.", offset)
        return zstandard.ZstdDecompressor().decompress(stored, max_output_size=head.raw, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatFault("A compressed block does not decompress.", offset) from error


def deflate(payload: bytes) -> bytes:
    """Compress a payload at zstd level 1 (higher levels cost more than they save on wire bytes)."""
    return zstandard.ZstdCompressor(level=1).compress(payload)


def raw_record(payload: bytes, position: int) -> RawRecord:
    """The record that begins there, in a payload of whole records."""
    start = position + RECORD.size
    return RawRecord(
        payload[position + 4],
        payload[position + 5],
        read_u32(payload, position + 6),
        read_u64(payload, position + 10),
        payload[start : start + read_u32(payload, position)],
    )


def split_records(payload: bytes, offset: int = 0) -> Iterator[RawRecord]:
    """Yield a payload's records. Raises :class:`FormatFault` when a record runs over the end."""
    position, end = 0, len(payload)
    while position < end:
        if end - position < RECORD.size:
            raise FormatFault("A record's head runs over its block.", offset)
        length, type_, flags, statement, at = RECORD.unpack_from(payload, position)
        position += RECORD.size
        if length > end - position:
            raise FormatFault("A record's body runs over its block.", offset)
        yield RawRecord(type_, flags, statement, at, payload[position : position + length])
        position += length
