"""``ports.Recorder`` on this machine's disk: ``STATE/recordings/<YYYY-MM-DD>/<id>.bwr`` and a manifest beside each."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from blastwall.errors import RecordingFault
from blastwall.local.file_sink import FileSink
from blastwall.local.recordings import Shelf
from blastwall.local.spool import REAL, Disk, SpoolSink
from blastwall.model import Secret, Session, Target
from blastwall.ports import Clock
from blastwall.recording.blocks import Sink
from blastwall.recording.checkpoints import EVERY_SECONDS
from blastwall.recording.manifest import Signer
from blastwall.recording.redact import Redactor
from blastwall.recording.writer import Writer

CHUNK = 256 * 1024  # bytes read at a time
THREADS = 8  # that write and synchronise recordings under power_loss: each file waits for the disk by itself


class LocalRecorder:
    """Recordings as files that only their owner reads (directories 0700, files 0600).

    ``known`` gives the secrets of a session that must never be written, whatever they stand in; what is vended later is
    added with ``Writer.protect``. Under a target's ``durability: power_loss`` a commit waits until it is on the
    disk. ``signing`` asks a signer that is far away for checkpoints, off the writers' threads.
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
        disk: Disk = REAL,
        checkpoint_seconds: float = EVERY_SECONDS,
        threads: int = THREADS,
        signing: Executor | None = None,
    ) -> None:
        self._shelf = Shelf(state)
        self._clock = clock
        self._signer = signer
        self._known = known
        self._compress = compress
        self._new_id = new_id
        self._disk = disk
        self._checkpoint_seconds = checkpoint_seconds
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recording blocks")
        self._signing = signing
        self._spool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="recording spool")
        self._live: set[Writer] = set()
        self._lock = threading.Lock()

    def open(self, session: Session, target: Target, connection: str, header: Mapping[str, object]) -> Writer:
        """Begin a recording. It waits for the disk: call it off the event loop. Raises RecordingFault."""
        id = self._new_id()
        started = self._clock.now()
        try:
            sink = self._sink(id, session, target, connection, started)
        except OSError as error:
            why = error.strerror or str(error)  # the client reads it: where recordings stand is not its affair
            raise RecordingFault(f"A recording could not be begun: {why}. Nothing runs unrecorded.") from error
        try:
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
                signing=self._signing,
                checkpoint_seconds=self._checkpoint_seconds,
                started_at=started,
            )
        except BaseException:
            sink.close()
            raise
        with self._lock:
            self._live = {each for each in self._live if each.live}
            self._live.add(recording)
        return recording

    def _sink(self, id: str, session: Session, target: Target, connection: str, started: float) -> Sink:
        """Where a recording's bytes go. Raises OSError."""
        day = datetime.fromtimestamp(started, UTC).date().isoformat()
        if target.durability != "power_loss":
            return FileSink(self._shelf.place(day, id), self._disk)
        path = self._shelf.place(day, id, durable=True)
        return SpoolSink(path, self._spool, durable=target.recording == "strict", disk=self._disk)

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
        self._spool.shutdown()
