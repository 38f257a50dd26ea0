"""Reading a recording: block by block, each checked against the chain before anything in it is believed.

Memory is bounded by one block (64 MiB at most). What comes before damage, or before the end of a torn file, is read and
stands; :attr:`Reader.problem` says afterwards why there was no more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, Protocol

from librt.strings import read_i64_be
from mypy_extensions import i64

from blastwall.recording import chain
from blastwall.recording.codec import (
    BLOCK_HEAD,
    PREAMBLE,
    RECORD,
    BlockHead,
    FormatFault,
    RecordType,
    Torn,
    check_preamble,
    inflate,
    parse_head,
    raw_record,
    split_records,
)
from blastwall.recording.records import Decoder, Header, Intent, Record
from blastwall.value import Fixed

_RECORD: Final = RECORD.size
_AT: Final = RECORD.size - 8  # where in a record's head its time stands
_TOP: Final = -(1 << 63)  # unsigned numbers compare as signed ones do that differ in this


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

    ``ahead`` is how many bytes are asked of the source at a time: 0 for no more than what is needed, so that it stands
    behind what was read.
    """

    def __init__(self, source: Source, ahead: int = 0) -> None:
        self._source = source
        self._ahead = ahead
        self._held = b""  # what was read of the source: from _used on, nobody has looked at it yet
        self._used: i64 = 0
        self.header: Header | None = None
        self.problem: FormatFault | None = None
        self.position = 0
        self.index = 0
        self.first = 0  # the number of the last block's first record
        self._offset = 0  # where the last block begins
        self._head: BlockHead | None = None  # the last block's
        self._sequence = 0
        self._latest: i64 = _TOP  # compares as signed numbers do
        self._session = b""
        self.chain = b""
        self.version = check_preamble(self._take(PREAMBLE.size))
        self.decoder = Decoder(self.version)
        self.position = PREAMBLE.size

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks that hold together; stop at the first that does not."""
        while (payload := self.payload()) is not None:
            assert self._head is not None
            yield Block(self.index - 1, self._offset, self._head, payload)

    def records(self) -> Iterator[Record]:
        """Yield the records of those blocks."""
        while (payload := self.payload()) is not None:
            sequence = self.first
            position, end = 0, len(payload)
            while position < end:  # their lengths were checked with the block
                raw = raw_record(payload, position)
                ran = self.decoder.pairs.ran(payload, position)
                try:
                    record = self.decoder.decode(raw, sequence)
                except FormatFault as problem:
                    self.damaged(problem)
                    return
                position += _RECORD + len(raw.body)
                sequence += 1
                if record is not None:
                    yield record._replace(ran=True) if ran and isinstance(record, Intent) else record

    def payload(self) -> bytes | None:
        """The records of the next block that holds; None at the end, and where there is a problem."""
        if self.problem is not None:
            return None
        try:
            return self._block()
        except FormatFault as problem:
            self.problem = problem
            return None

    def damaged(self, problem: FormatFault) -> None:
        """A record of the last block cannot be read: there is no more."""
        problem.offset = self._offset
        self.index -= 1
        self.problem = problem

    def again(self, source: Seekable) -> None:
        """Look at a file that has grown since: go on behind the last whole block, as if it had ended there."""
        if self.sound:
            self.problem = None
        source.seek(self.position)
        self._source = source
        self._held = b""
        self._used = 0

    def _block(self) -> bytes | None:
        offset = self.position
        data = self._take(BLOCK_HEAD)
        if not data:
            return None
        if len(data) < BLOCK_HEAD and not any(data):
            raise Torn("The file ends in zeros that were never written.", offset)
        if len(data) == BLOCK_HEAD and read_i64_be(data, 0) == 0 and not any(data) and self._zeros():
            raise Torn("The file ends in zeros that were never written.", offset)
        head = parse_head(data, offset)
        stored = self._take(head.stored)
        if len(stored) < head.stored:
            raise Torn("The file ends inside a block.", offset)
        if self.header is None:
            self._begin(inflate(head, stored, offset), offset)
        if len(stored) < chain.SMALL:
            value = chain.linked(b"".join((self.chain, self._session, head.sealed, stored)))
        else:
            value = chain.link(self.chain, self._session, head.sealed, (stored,))
        if value != head.chain:
            raise FormatFault("The chain is broken: this block is not what was written here.", offset)
        payload = inflate(head, stored, offset)
        if head.sequence != self._sequence:
            raise FormatFault("Records are missing before this block.", offset)
        count = self._count(payload, offset)
        self._head = head
        self._offset = offset
        self.first = self._sequence
        self.chain = value
        self._sequence += count
        self.index += 1
        self.position = offset + BLOCK_HEAD + head.stored
        return payload

    def _count(self, payload: bytes, offset: int) -> int:
        """How many whole records it holds, none older than the one before."""
        position: i64 = 0
        end: i64 = len(payload)
        count: i64 = 0
        while position < end:
            if end - position < _RECORD:
                raise FormatFault("A record's head runs over its block.", offset)
            at = read_i64_be(payload, position + _AT) ^ _TOP
            position += _RECORD + ((read_i64_be(payload, position) >> 32) & 0xFFFFFFFF)
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
        return (int(self._latest) ^ _TOP) & ((1 << 64) - 1)

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
        while data := self._take(1 << 20):
            if any(data):
                return False
        return True

    def _take(self, size: i64) -> bytes:
        """The next bytes; fewer than asked for where the source ends."""
        used = self._used
        held = self._held
        if len(held) - used < size:
            return self._fetch(size)
        self._used = used + size
        return held[used : used + size]

    def _fetch(self, size: i64) -> bytes:
        data = self._held[self._used :]
        while len(data) < size:
            more = self._source.read(max(size - len(data), self._ahead))
            if not more:
                break
            data += more
        if len(data) <= size:
            self._held = b""
            self._used = 0
            return data
        self._held = data
        self._used = size
        return data[:size]


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
