"""Recordings that survive a loss of power, or of the machine: written and synchronised off the event loop.

Each recording is one file of its own. What is handed over is queued; a thread of the pool writes what there is, makes
it durable when somebody waits for that, and then tells all who waited: commits that arrive while one round runs share
the next one, so the slower the disk, the larger the group. On one machine the file is on its disk; on AWS it is on a
file system that outlives the task.

Nothing here waits on the event loop: a full queue makes :meth:`SpoolSink.room` return what to wait for, and a disk that
gives no sign for :data:`PATIENCE` seconds is a failed one.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blastwall.errors import RecordingFault
from blastwall.recording.codec import SUFFIX

IOV_MAX: Final = 1024  # parts one writev takes on Linux (POSIX promises 16)
ROOM: Final = 4 << 20  # bytes queued from which a session waits before it relays more
MOST: Final = 96 << 20  # bytes queued beyond which nothing is taken: room for the largest statement, and no more
LOOK_SECONDS: Final = 0.2  # how often whoever waits on a thread looks at the clock
PATIENCE: Final = 4.0  # seconds without a sign of the disk: a failed sink ends its session within five
MANIFEST_SUFFIX: Final = ".manifest.json"


@dataclass(frozen=True, slots=True)
class Disk:
    """The system calls, replaceable to make them fail."""

    write: Callable[[int, Sequence[bytes]], int] = os.writev
    sync: Callable[[int], None] = os.fdatasync


REAL: Final = Disk()


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a writer may be silent. Whoever completes abandoned recordings waits for longer.

    The file's time is renewed every ``beat`` seconds. A writer that could not do so for ``most`` seconds must believe
    that another has completed its recording, and stops.
    """

    beat: float
    most: float


def create(path: Path) -> int:
    """Make a new file for its owner alone and lock it: the lock tells readers that it is live. Raises OSError.

    It is locked before it has its name: whoever finds an unlocked recording believes that nobody writes it any more.
    """
    draft = path.with_name(f"{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.link(draft, path)
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        draft.unlink()
    return descriptor


def write_all(descriptor: int, parts: Sequence[bytes], length: int, disk: Disk) -> None:
    """Append the parts. Raises OSError, also when a call took only some of what it was given."""
    if len(parts) > IOV_MAX:
        parts = (b"".join(parts),)
    written = disk.write(descriptor, parts)
    if written != length:
        raise OSError(f"only {written} of {length} bytes were taken")


def manifest_beside(path: Path) -> Path:
    """Where the manifest of the recording at ``path`` stands."""
    return path.with_name(path.name.removesuffix(SUFFIX) + MANIFEST_SUFFIX)


def place_manifest(path: Path, manifest: bytes) -> None:
    """Put the manifest beside the recording: whole at once, and never over another one. Raises OSError.

    Readers may look at any moment, and another may place the same manifest.
    """
    goal = manifest_beside(path)
    part = goal.with_name(f"{goal.name}.{os.getpid()}.{threading.get_ident()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(manifest)
            file.flush()
            os.fsync(descriptor)
        os.link(part, goal)
    finally:
        part.unlink()


def sync_directory(path: Path) -> None:
    """Make a new directory entry survive a loss of power. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SpoolSink:
    """``recording.blocks.Sink`` over one file, written by ``pool``. Thread-safe; :meth:`settle` needs an event loop.

    ``grown`` is told, on the pool's thread, how long the file is after each write. Without ``durable`` nobody waits for
    the disk (best effort), but it is written and synchronised in the same way.
    """

    def __init__(
        self,
        path: Path,
        pool: Executor,
        *,
        durable: bool = True,
        disk: Disk = REAL,
        patience: float = PATIENCE,
        lease: Lease | None = None,
        grown: Callable[[int], None] = lambda length: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._pool = pool
        self._durable = durable
        self._disk = disk
        self._patience = patience
        self._lease = lease
        self._grown = grown
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._queue: list[bytes] = []
        self._queued = 0  # bytes not yet written
        self._waiting: list[_Waiter] = []  # for everything up to now to be durable
        self._served: list[_Waiter] = []  # by the round that is under way
        self._entering: list[_Waiter] = []  # for room
        self._dirty = False  # is there anything that was not synchronised?
        self._running = False
        self._beat = False
        self._closing = False
        self._lost: OSError | None = None
        self._since = self._renewed = monotonic()  # the last sign of the disk while something was under way; ever
        self._length = 0
        self._descriptor = create(path)
        sync_directory(path.parent)

    def write(self, parts: Sequence[bytes], length: int) -> None:
        """Queue the parts. Raises OSError once something was lost, or when the queue is full beyond reason."""
        with self._changed:
            if self._lost is not None:
                raise self._lost
            if self._queued + length > MOST:
                raise OSError(f"the disk is too slow: {self._queued:,} bytes wait for it")
            self._queue.extend(parts)
            self._queued += length
            self._dirty = True
            self._kick()

    def settle(self) -> Awaitable[None] | None:
        """None when nothing is to be waited for; else completes when all that was written is durable."""
        if not self._durable:
            return None
        with self._changed:
            if self._lost is None and not self._dirty:
                return None
            return self._wait(self._waiting)

    def room(self) -> Awaitable[None] | None:
        with self._changed:
            if self._queued < ROOM or self._lost is not None:
                return None
            return self._wait(self._entering)

    def check(self) -> None:
        """Raise OSError when something is lost, or the disk gives no sign; keep the lease meanwhile."""
        with self._changed:
            now = self._monotonic()
            self._doubt(now)
            if self._lost is not None:
                raise self._lost
            self._renew(now)

    def renew(self) -> None:
        """Keep the lease, if it is time: for a timer that looks after recordings nobody else follows."""
        with self._changed:
            if self._lost is None:
                self._renew(self._monotonic())

    def _doubt(self, now: float) -> None:
        """A disk that has something to do and gives no sign has failed."""
        if self._lost is None and self._running and now - self._since > self._patience:
            self._lose(OSError(f"the disk has given no sign for {self._patience:g} seconds"))

    def _renew(self, now: float) -> None:
        if self._lease is not None and now - self._renewed > self._lease.beat and not self._closing:
            self._beat = True
            self._kick()

    def seal(self, manifest: bytes) -> None:
        """Put the manifest beside, once the file is whole and durable. It waits: call it off the event loop."""
        with self._changed:
            self._dirty = True
            self._waiting.append(_Waiter(None))
            self._kick()
            while self._running and self._lost is None:
                self._changed.wait(LOOK_SECONDS)
                self._doubt(self._monotonic())
            if self._lost is not None:
                raise self._lost
        place_manifest(self.path, manifest)

    def close(self) -> None:
        """Let the thread write what is left, synchronise and close the file. Idempotent."""
        with self._changed:
            if not self._closing:
                self._closing = True
                self._kick()

    def _wait(self, waiters: list[_Waiter]) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(future)
        if self._lost is not None:
            waiter.complete(self._lost)
        else:
            waiters.append(waiter)
            self._kick()
        return future

    def _kick(self) -> None:
        if not self._running:
            self._running = True
            self._since = self._monotonic()
            try:
                self._pool.submit(self._run)
            except RuntimeError:  # the pool has ended: nobody will write this
                self._lose(OSError("the recorder is closed"))
                self._rest()

    def _run(self) -> None:
        """Write and synchronise, round by round, until there is nothing more to do."""
        while True:
            with self._changed:
                queue, length, waiting = self._queue, self._queued, self._waiting
                closing, beat = self._closing, self._beat
                if self._lost is not None or not (queue or waiting or beat or closing):
                    self._rest()
                    return
                self._queue, self._waiting, self._beat = [], [], False
                self._served = waiting
            failure: OSError | None = None
            sync = bool(waiting) or closing
            try:
                if queue:
                    write_all(self._descriptor, queue, length, self._disk)
                if beat:
                    os.utime(self._descriptor)
                if sync:
                    self._disk.sync(self._descriptor)
            except OSError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not leave somebody waiting for ever
                failure = OSError(f"{type(error).__name__}: {error}")
            with self._changed:
                self._done(length, sync, bool(queue) or beat, closing, failure)

    def _done(self, length: int, sync: bool, touched: bool, closing: bool, failure: OSError | None) -> None:
        now = self._monotonic()
        if failure is None and self._lease is not None and now - self._renewed > self._lease.most:
            failure = OSError("its file could not be written to for so long that another may have completed it")
        self._since = now
        if touched:  # fsync alone does not renew the file's time
            self._renewed = now
        self._queued -= length
        self._length += length
        if failure is not None:
            self._lose(failure)
        if self._lost is None:
            self._dirty = self._dirty and not (sync and not self._queue)
            if length:
                self._grown(self._length)
        served, self._served = self._served, []
        for waiter in served:
            waiter.complete(self._lost)
        if self._queued < ROOM or self._lost is not None:
            entering, self._entering = self._entering, []
            for waiter in entering:
                waiter.complete(None)  # what is lost is told by the next call
        if closing and not self._queue and not self._waiting:
            self._closing = False
            os.close(self._descriptor)
            self._descriptor = -1
            self._lose(OSError("this recording is closed"))

    def _rest(self) -> None:
        """Nothing to do, or nothing more to be done: whoever still waits is told."""
        self._running = False
        waiting, self._waiting = self._waiting + self._entering, []
        self._entering = []
        for waiter in waiting:
            waiter.complete(self._lost)
        if self._closing and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._closing = False
        self._changed.notify_all()

    def _lose(self, error: OSError) -> None:
        """From now on nothing is taken. Whoever waits is told at once, also for a round that may never end."""
        if self._lost is None:
            self._lost = error
        waiting = self._served + self._waiting + self._entering
        self._served, self._waiting, self._entering = [], [], []
        for waiter in waiting:
            waiter.complete(self._lost)
        self._changed.notify_all()


class _Waiter:
    """Somebody's future in somebody's event loop, completed from any thread, once; without a future, nobody's."""

    def __init__(self, future: asyncio.Future[None] | None) -> None:
        self._future = future

    def complete(self, lost: OSError | None) -> None:
        future = self._future
        if future is None:
            return
        try:
            future.get_loop().call_soon_threadsafe(_complete, future, lost)
        except RuntimeError:
            pass  # the loop has ended, and with it whoever waited


def _complete(future: asyncio.Future[None], lost: OSError | None) -> None:
    if future.done():
        return
    if lost is None:
        future.set_result(None)
    else:
        future.set_exception(RecordingFault(f"The disk did not take the recording: {lost}. Nothing runs unrecorded."))
