"""Reading a recording: block by block, each checked against the chain before anything in it is believed.

Memory is bounded by one block (64 MiB at most). What comes before damage, or before the end of a torn file, is read and
stands; :attr:`Reader.problem` says afterwards why there was no more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, Protocol

from blastwall.recording import chain
from blastwall.recording.codec import (
    BLOCK_HEAD,
    PREAMBLE,
    RECORD,
    BlockHead,
    FormatFault,
    RawRecord,
    RecordType,
    Torn,
    check_preamble,
    inflate,
    parse_head,
    read_u32,
    read_u64,
    split_records,
)
from blastwall.recording.records import Decoder, Header, Record
from blastwall.value import Fixed

_AT: Final = RECORD.size - 8  # where in a record's head its time stands


class Source(Protocol):
    """What a binary file opened for reading offers."""

    def read(self, size: int = -1, /) -> bytes: ...


class Seekable(Source, Protocol):
    """A source that can be put back."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...


class Block(Fixed):
    """One block that the chain vouches for. ``index`` counts from 0; ``offset`` is where its head begins."""

    __slots__ = ("head", "index", "offset", "payload")
    __match_args__ = ("index", "offset", "head", "payload")

    def __init__(
        self,
        index: int,
        offset: int,
        head: BlockHead,
        payload: bytes,
    ) -> None:
        self.index: Final = index
        self.offset: Final = offset
        self.head: Final = head
        self.payload: Final = payload

    @property
    def end(self) -> int:
        return self.offset + BLOCK_HEAD + self.head.stored


class Reader:
    """One pass over a recording.

    ``header`` is known once the first block was read. ``problem`` is None after a clean end of the file, :class:`Torn`
    when it ends inside a block, another :class:`FormatFault` when it was tampered with or damaged (``position`` and
    ``index`` say where). Construction raises :class:`FormatFault` for what is not a recording, or is of a newer
    version.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.header: Header | None = None
        self.problem: FormatFault | None = None
        self.position = 0
        self.index = 0
        self._sequence = 0
        self._latest = 0
        self._session = b""
        self.chain = b""
        self.version = check_preamble(_exactly(source, PREAMBLE.size))
        self._decoder = Decoder(self.version)
        self.position = PREAMBLE.size

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks that hold together; stop at the first that does not."""
        while (block := self._next()) is not None:
            yield block

    def records(self) -> Iterator[Record]:
        """Yield the records of those blocks."""
        while (block := self._next()) is not None:
            payload, sequence = block.payload, block.head.sequence
            position, end = 0, len(payload)
            while position < end:  # their lengths were checked with the block
                start = position + RECORD.size
                stop = start + read_u32(payload, position)
                raw = RawRecord(
                    payload[position + 4],
                    payload[position + 5],
                    read_u32(payload, position + 6),
                    read_u64(payload, position + _AT),
                    payload[start:stop],
                )
                position = stop
                try:
                    record = self._decoder.decode(raw, sequence)
                except FormatFault as problem:
                    problem.offset = block.offset
                    self.index = block.index
                    self.problem = problem
                    return
                sequence += 1
                if record is not None:
                    yield record

    def _next(self) -> Block | None:
        """The next block that holds; None at the end, and where there is a problem."""
        if self.problem is not None:
            return None
        try:
            return self._block()
        except FormatFault as problem:
            self.problem = problem
            return None

    def again(self, source: Seekable) -> None:
        """Look at a file that has grown since: go on behind the last whole block, as if it had ended there."""
        if self.sound:
            self.problem = None
        source.seek(self.position)
        self._source = source

    def _block(self) -> Block | None:
        offset = self.position
        data = _exactly(self._source, BLOCK_HEAD)
        if not data:
            return None
        if len(data) < BLOCK_HEAD and not any(data):
            raise Torn("The file ends in zeros that were never written.", offset)
        if not any(data) and self._zeros():
            raise Torn("The file ends in zeros that were never written.", offset)
        head = parse_head(data, offset)
        stored = _exactly(self._source, head.stored)
        if len(stored) < head.stored:
            raise Torn("The file ends inside a block.", offset)
        if self.header is None:
            self._begin(inflate(head, stored, offset), offset)
        value = chain.link(self.chain, self._session, head.sealed, (stored,))
        if value != head.chain:
            raise FormatFault("The chain is broken: this block is not what was written here.", offset)
        payload = inflate(head, stored, offset)
        if head.sequence != self._sequence:
            raise FormatFault("Records are missing before this block.", offset)
        count = self._count(payload, offset)
        block = Block(self.index, offset, head, payload)
        self.chain = value
        self._sequence += count
        self.index += 1
        self.position = block.end
        return block

    def _count(self, payload: bytes, offset: int) -> int:
        """How many whole records it holds, none older than the one before."""
        position, end, count = 0, len(payload), 0
        while position < end:
            if end - position < RECORD.size:
                raise FormatFault("A record's head runs over its block.", offset)
            at = read_u64(payload, position + _AT)
            position += RECORD.size + read_u32(payload, position)
            if position > end:
                raise FormatFault("A record's body runs over its block.", offset)
            if at < self._latest:
                raise FormatFault("A record is older than the one before it.", offset)
            self._latest = at
            count += 1
        return count

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong so far but that the file may end too early."""
        return self.problem is None or isinstance(self.problem, Torn)

    @property
    def sequence(self) -> int:
        """How many records were read."""
        return self._sequence

    @property
    def latest(self) -> int:
        """The time of the last record that was read, in nanoseconds since the recording began."""
        return self._latest

    def _begin(self, payload: bytes, offset: int) -> None:
        """Learn from the first record whose recording this is: the chain cannot be checked before."""
        raw = next(split_records(payload, offset), None)
        if raw is None or raw.type != RecordType.HEADER:
            raise FormatFault("The recording does not begin with its header.", offset)
        header = Decoder().decode(raw, 0)
        assert isinstance(header, Header)
        self.header = header
        try:
            self._session = chain.session_key(header.session)
        except ValueError as error:
            raise FormatFault("The header's session id is too long.", offset) from error
        self.chain = chain.origin(header.recording, self.version)

    def _zeros(self) -> bool:
        """Whether nothing but zeros follows: a disk that lost power keeps the length of what it did not keep."""
        while data := self._source.read(1 << 20):
            if any(data):
                return False
        return True


def _exactly(source: Source, size: int) -> bytes:
    data = source.read(size)
    while 0 < len(data) < size:
        more = source.read(size - len(data))
        if not more:
            break
        data += more
    return data


def read_header(source: Source) -> Header:
    """Read only the header. Raises :class:`FormatFault` when the file does not hold one whole block that it opens."""
    reader = Reader(source)
    for _ in reader.blocks():
        assert reader.header is not None
        return reader.header
    raise reader.problem or Torn("The recording has no header.")


def read_manifest(text: bytes) -> dict[str, object]:
    """Parse the manifest beside a recording; for listings only, nothing in it is verified. Raises FormatFault."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatFault("The manifest is not JSON.") from error
    if not isinstance(value, dict):
        raise FormatFault("The manifest is not a JSON object.")
    return value
