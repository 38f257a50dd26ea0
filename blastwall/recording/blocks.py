"""Records into chained blocks, and blocks into a sink: the only place that hashes and writes."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from concurrent.futures import Executor, Future
from typing import Final, Protocol, cast

from librt.strings import BytesWriter, write_i64_be
from mypy_extensions import i64

from blastwall.errors import RecordingFault
from blastwall.recording import chain
from blastwall.recording.bodies import write_pair, write_u32
from blastwall.recording.codec import BLOCK, COMPRESS_FROM, ZSTD, crc32, deflate, preamble, seal_head

SPILL: Final = 256 * 1024  # bytes at which pending records are written without waiting for a commit


class Sink(Protocol):
    """Where a recording's bytes go. A sink takes a block whole or raises OSError: a short write is an error too."""

    def write(self, parts: Sequence[bytes], length: int) -> None: ...

    def settle(self) -> Awaitable[None] | None:
        """None when what was written is accepted; else an awaitable that completes then, or raises RecordingFault."""
        ...

    def room(self) -> Awaitable[None] | None:
        """None while more may be written at once; else an awaitable: whoever fills the sink waits for it."""
        ...

    def check(self) -> None:
        """Raise OSError when something handed over before is lost, or is not accepted in time."""
        ...

    def seal(self, manifest: bytes) -> None:
        """Put the manifest beside the recording. Raises OSError."""
        ...

    def close(self) -> None: ...


class Immediate:
    """A sink that has accepted a block when :meth:`put` returns: nothing is to be settled, and there is always room.

    A class, and not only what it can do: compiled code calls it without a look-up. It is a :class:`Sink` as well.
    """

    def put(self, block: bytes) -> None:
        """Append one block. Raises OSError, also when only some of it was taken."""
        raise AssertionError("one that puts has its own")


class Blocks:
    """The file as it grows. After a failed write ``refusal`` says why, and nothing is written any more.

    ``background`` takes the hashing and writing of large blocks off the caller's thread, one block at a time, so that
    what is held in memory stays bounded. ``length``, ``count``, ``sequence`` and ``value`` (the chain's head) are exact
    only after :meth:`wait`.
    """

    def __init__(
        self, recording: str, session: str, sink: Sink, *, compress: bool = False, background: Executor | None = None
    ) -> None:
        self._recording = recording
        self._session = chain.session_key(session)
        self._sink = sink
        # Said outright: what is both at once would be called by name.
        self._immediate: Immediate | None = cast(Immediate, sink) if isinstance(sink, Immediate) else None
        self._compress = compress
        self._background = background
        self._joined, self._block = BytesWriter(), BytesWriter()  # what a small block is put together in
        self._job: Future[None] | None = None
        self.refusal: RecordingFault | None = None
        self.value = chain.origin(recording)
        self.length: i64 = 0  # bytes
        self.count: i64 = 0  # blocks
        self.sequence: i64 = 0  # records

    def begin(self) -> None:
        """Write the preamble. Raises RecordingFault."""
        first = preamble()
        try:
            self._sink.write((first,), len(first))
        except OSError as error:
            raise self._fail(error) from error
        self.length = len(first)

    def resume(self, value: bytes, length: int, count: int, sequence: int) -> None:
        """Go on where another stopped, instead of :meth:`begin`."""
        self.value, self.length, self.count, self.sequence = value, length, count, sequence

    def write(self, parts: Sequence[bytes], size: int, records: int) -> None:
        """Make ``parts`` (``size`` bytes, so many records) the next block. Raises RecordingFault.

        A large block may still be under way on return; then its failure is raised by the next call.
        """
        if self._job is not None:
            self.wait()
        elif self.refusal is not None:
            raise self.refusal
        sequence = self.sequence
        self.sequence = sequence + records
        if self._background is not None and size >= SPILL:
            self._job = self._background.submit(self._seal, parts, size, sequence)
            return
        self._seal(parts, size, sequence)
        if self.refusal is not None:
            raise self.refusal

    def put(self, payload: bytes, records: i64) -> None:
        """As :meth:`write` for one piece of fewer than :data:`COMPRESS_FROM` bytes: what nearly every commit writes."""
        if self._job is not None:
            self.wait()
        elif self.refusal is not None:
            raise self.refusal
        sequence = self.sequence
        self.sequence = sequence + records
        self._seal_small(payload, sequence)
        if self.refusal is not None:
            raise self.refusal

    def wait(self) -> None:
        """Wait until every block is with the sink. Raises RecordingFault."""
        if self._job is not None:
            self._job.result()
            self._job = None
        if self.refusal is not None:
            raise self.refusal

    def settle(self) -> Awaitable[None] | None:
        """As the sink's, once every block is with it."""
        if self._job is not None:
            self.wait()
        return None if self._immediate is not None else self._sink.settle()

    @property
    def busy(self) -> bool:
        """Is a large block still under way? Then the figures are not exact."""
        return self._job is not None and not self._job.done()

    def room(self) -> Awaitable[None] | None:
        """As the sink's."""
        return None if self._immediate is not None else self._sink.room()

    def check(self) -> None:
        """Ask the sink whether all is well with what it has. Raises RecordingFault."""
        if self.refusal is None:
            try:
                self._sink.check()
            except OSError as error:
                self._fail(error)
        if self.refusal is not None:
            raise self.refusal

    def end(self, manifest: bytes) -> None:
        """Put the manifest beside the recording. Raises RecordingFault."""
        try:
            self._sink.seal(manifest)
        except OSError as error:
            raise self._fail(error) from error

    def close(self) -> None:
        """Let go of the sink, whatever happened. Idempotent."""
        if self.refusal is None:
            self.refusal = RecordingFault("This recording is closed.")
        if self._job is not None:
            self._job.result()
            self._job = None
        self._sink.close()

    def _seal(self, parts: Sequence[bytes], size: int, sequence: int) -> None:
        """Seal one block and hand it over. A failure becomes the refusal: on a thread nobody would catch it."""
        stored = size
        flags = 0
        if size < COMPRESS_FROM:
            self._seal_small(b"".join(parts), sequence)
            return
        if self._compress:
            packed = deflate(b"".join(parts))
            if len(packed) < size:
                parts, stored, flags = (packed,), len(packed), ZSTD
        sealed = BLOCK.pack(flags, stored, size, sequence)
        value = chain.link(self.value, self._session, sealed, parts)
        head = seal_head(sealed, value)
        try:
            self._sink.write((head, *parts), len(head) + stored)
        except OSError as error:
            self._fail(error)
            return
        self.value = value
        self.count += 1
        self.length += len(head) + stored

    def _seal_small(self, payload: bytes, sequence: i64) -> None:
        """A block that is one write."""
        size = i64(len(payload))
        joined = self._joined
        joined.truncate(0)
        joined.write(self.value)
        joined.write(self._session)
        _write_head(joined, size, sequence)
        joined.write(payload)
        value = chain.linked(joined.getvalue())
        writer = self._block
        writer.truncate(0)
        _write_head(writer, size, sequence)
        writer.write(value)
        write_u32(writer, crc32(writer.getvalue()))
        writer.write(payload)
        block = writer.getvalue()
        try:
            if self._immediate is not None:
                self._immediate.put(block)
            else:
                self._sink.write((block,), len(block))
        except OSError as error:
            self._fail(error)
            return
        self.value = value
        self.count += 1
        self.length += len(block)

    def _fail(self, error: OSError) -> RecordingFault:
        self.refusal = RecordingFault(
            f"The recording {self._recording} could not be written: {error}. Nothing runs unrecorded."
        )
        return self.refusal


def _write_head(writer: BytesWriter, size: i64, sequence: i64) -> None:
    """Append :data:`BLOCK` of a payload that is stored as it is."""
    write_pair(writer, 0, size)
    write_u32(writer, size)
    write_i64_be(writer, sequence)
