"""``ports.Recorder`` on this machine's disk: ``STATE/recordings/<YYYY-MM-DD>/<id>.bwr`` and a manifest beside each."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from blastwall.errors import RecordingFault
from blastwall.local.recordings import MANIFEST_SUFFIX, Shelf, sync_directory
from blastwall.local.syncing import GroupSync
from blastwall.model import Secret, Session, Target
from blastwall.ports import Clock
from blastwall.recording.codec import SUFFIX
from blastwall.recording.manifest import Signer
from blastwall.recording.redact import Redactor
from blastwall.recording.writer import Writer

CHUNK = 256 * 1024  # bytes read at a time
IOV_MAX = 1024  # parts one writev takes on Linux (POSIX promises 16)


class FileSink:
    """``recording.writer.Sink`` on one file, locked as long as it is written so that readers can tell it is live."""

    def __init__(self, path: Path, sync: GroupSync | None) -> None:
        self._path = path
        self._sync = sync
        self._lost: BaseException | None = None  # what the disk said when it did not take what the kernel had
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if sync is not None:
            sync_directory(path.parent)

    def write(self, parts: Sequence[bytes], length: int) -> None:
        """Append the parts with one system call. Raises OSError, also when the call took only some of it."""
        if self._lost is not None:
            raise OSError(str(self._lost))
        if len(parts) == 2 and length < 16_384:
            written = os.write(self._file, parts[0] + parts[1])
        elif len(parts) <= IOV_MAX:
            written = os.writev(self._file, parts)
        else:
            written = os.write(self._file, b"".join(parts))
        if written != length:
            raise OSError(f"only {written} of {length} bytes were taken")

    def settle(self) -> Awaitable[None] | None:
        if self._sync is None:
            return None
        settled = self._sync.want(self._file)
        settled.add_done_callback(self._settled)
        return settled

    def _settled(self, settled: asyncio.Future[None]) -> None:
        if not settled.cancelled() and settled.exception() is not None:
            self._lost = settled.exception()

    def seal(self, manifest: bytes) -> None:
        path = self._path.with_name(self._path.name.removesuffix(SUFFIX) + MANIFEST_SUFFIX)
        part = path.with_name(path.name + ".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(manifest)
            os.link(part, path)  # whole at once, and never over another one: readers may look at any moment
        finally:
            part.unlink()

    def close(self) -> None:
        if self._file < 0:
            return
        if self._sync is None:
            os.close(self._file)
        else:
            self._sync.finish(self._file)
        self._file = -1


class LocalRecorder:
    """Recordings as files that only their owner reads (directories 0700, files 0600).

    ``known`` gives the secrets of a session that must never be written, whatever they stand in; what is vended later is
    added with ``Writer.protect``. A target's ``durability: power_loss`` turns commits into group fsyncs.
    """

    def __init__(
        self,
        state: Path,
        clock: Clock,
        *,
        signer: Signer | None = None,
        known: Callable[[Session], Iterable[Secret]] = lambda session: (),
        compress: bool = False,
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
        sync: GroupSync | None = None,
    ) -> None:
        self._shelf = Shelf(state)
        self._clock = clock
        self._signer = signer
        self._known = known
        self._compress = compress
        self._new_id = new_id
        self._sync = sync or GroupSync()
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recording blocks")
        self._live: set[Writer] = set()

    def open(self, session: Session, target: Target, connection: str, header: Mapping[str, object]) -> Writer:
        """Begin a recording. Raises RecordingFault when it cannot be written."""
        id = self._new_id()
        day = datetime.fromtimestamp(self._clock.now(), UTC).date().isoformat()
        try:
            durable = target.durability == "power_loss"
            sink = FileSink(self._shelf.place(day, id, durable=durable), self._sync if durable else None)
        except OSError as error:
            raise RecordingFault(f"A recording could not be begun: {error}. Nothing runs unrecorded.") from error
        recording = Writer(
            id,
            session,
            target,
            connection,
            header,
            sink,
            ticks=time.monotonic_ns,
            now=self._clock.now,
            redactor=Redactor(self._known(session)),
            signer=self._signer,
            compress=self._compress,
            background=self._background,
        )
        self._live = {each for each in self._live if each.live}
        self._live.add(recording)
        return recording

    def flush(self) -> None:
        """Flush every live recording: one timer for the whole process. A recording that fails tells its own gateway."""
        for recording in list(self._live):
            try:
                recording.flush()
            except RecordingFault:
                pass  # the recording refuses everything from now on, and says so at the next statement

    def list(self) -> Sequence[Mapping[str, object]]:
        """What headers and manifests say of each recording, newest first."""
        return [entry.summary() for entry in self._shelf.entries()]

    async def read(self, id: str) -> AsyncIterator[bytes]:
        """Yield the file's bytes. Raises RecordingFault unless exactly one recording has an id that begins so."""
        path = self._shelf.find(id).path
        descriptor = await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while chunk := await asyncio.to_thread(os.read, descriptor, CHUNK):
                yield chunk
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """End the threads. Recordings still open stay what they are: truncated."""
        self._background.shutdown()
        self._sync.close()
