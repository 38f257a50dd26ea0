"""Segments to S3 while the session runs: read back from the spool, put once, in order, by threads of their own.

The spool is the durable log; the bucket follows it within seconds. What is not yet there stands in the spool, so a
dead task loses nothing, and memory holds one segment for each thread. A bucket that is slow lets the backlog grow to
its bound and then slows the session; one that refuses fails the recording at once; one that has not answered for
:data:`PATIENCE` while the backlog is full has failed too. What is left when a session has ended is tried for a while
and then left to the finisher.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blastwall.aws.objects import Bucket, Busy, Stands
from blastwall.errors import RecordingFault
from blastwall.local.recordings import retire
from blastwall.local.spool import PATIENCE, SpoolSink, manifest_beside
from blastwall.recording.segments import Place

log = logging.getLogger("blastwall.recording")

THREADS: Final = 8  # segments on their way at a time
LOOK_SECONDS: Final = 0.25  # how often the shipper looks for what is due
AGAIN_SECONDS: Final = 0.5  # pause after a put that was not answered
AFTER_SECONDS: Final = 60.0  # how long an ended recording is tried for before it is left to the finisher


@dataclass(frozen=True, slots=True)
class Terms:
    """When a segment is put (bytes, seconds), and how many bytes may wait."""

    segment_bytes: int = 8 << 20
    segment_seconds: float = 2.0
    backlog_bytes: int = 64 << 20
    patience: float = PATIENCE


class Shipper:
    """Puts the segments of all recordings of a process. ``monotonic`` in seconds."""

    def __init__(
        self, bucket: Bucket, terms: Terms | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.bucket = bucket
        self.terms = terms or Terms()
        self.monotonic = monotonic
        self._shipments: set[Shipment] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="recording segments")
        self._thread = threading.Thread(target=self._watch, name="recording shipper", daemon=True)
        self._thread.start()

    def begin(self, path: Path, place: Place, *, strict: bool) -> Shipment:
        """Follow the spool file at ``path`` into the bucket."""
        shipment = Shipment(self, path, place, strict=strict)
        with self._lock:
            self._shipments.add(shipment)
        return shipment

    def submit(self, shipment: Shipment) -> None:
        """Have a thread ship what there is."""
        with contextlib.suppress(RuntimeError):  # the pool has ended: the finisher ships it
            self._pool.submit(shipment.ship)

    def forget(self, shipment: Shipment) -> None:
        with self._lock:
            self._shipments.discard(shipment)

    def close(self, seconds: float = 10.0) -> bool:
        """Wait until all recordings that have ended are in the bucket, and end the threads. False: some are not."""
        deadline = self.monotonic() + seconds
        while self._look() and self.monotonic() < deadline:
            time.sleep(0.01)
        self._closed.set()
        self._thread.join()
        self._pool.shutdown(wait=True)
        with self._lock:
            return not self._shipments

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> int:
        """Start what is due; return how many recordings have ended and are not yet whole in the bucket."""
        with self._lock:
            shipments = list(self._shipments)
        for shipment in shipments:
            shipment.look()
        return sum(shipment.ended for shipment in shipments)


class Shipment:
    """One recording's way into the bucket. Thread-safe."""

    def __init__(self, shipper: Shipper, path: Path, place: Place, *, strict: bool) -> None:
        self._shipper = shipper
        self._terms = shipper.terms
        self._path = path
        self._place = place
        self._strict = strict
        self.renew: Callable[[], None] = lambda: None  # keeps the lease of the spool's file
        self._lock = threading.Lock()
        self._spooled = 0  # bytes in the spool file
        self._sent = 0  # bytes in the bucket
        self._number = 0  # of the next segment
        self._lost_answer = False  # the last put may have succeeded
        self._doubtful = False  # some put may have been another's: the finisher compares before the spool goes
        self._running = False
        self._manifest: bytes | None = None
        self._failure: RecordingFault | None = None
        self._entering: list[asyncio.Future[None]] = []
        now = shipper.monotonic()
        self._since = now  # when the oldest byte that waits was spooled
        self._progress = now  # the bucket's last sign
        self._not_before = 0.0
        self._ended_at: float | None = None
        self._whole = False  # it is in the bucket, manifest and all: nothing is left to do

    @property
    def ended(self) -> bool:
        """Has the recording ended, and is it not yet given up?"""
        return self._ended_at is not None

    def grown(self, length: int) -> None:
        """The spool file is so long now."""
        now = self._shipper.monotonic()
        with self._lock:
            if self._sent == self._spooled:
                self._since = self._progress = now
            self._spooled = length
        if length - self._sent >= self._terms.segment_bytes:
            self.look()

    def room(self) -> Awaitable[None] | None:
        """None while the backlog has room; else what to wait for."""
        with self._lock:
            if not self._strict or self._failure is not None or not self._full():
                return None
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._entering.append(future)
            return future

    def check(self) -> None:
        """Raise OSError when the bucket has refused, or does not answer while the backlog is full."""
        with self._lock:
            if not self._strict:
                return
            if self._failure is None and self._full():
                silent = self._shipper.monotonic() - self._progress
                if silent > self._terms.patience:
                    self._fail(RecordingFault(f"{self._shipper.bucket.name} has taken nothing for {silent:.0f} s"))
            if self._failure is not None:
                raise OSError(str(self._failure))

    def seal(self, manifest: bytes) -> None:
        """The recording has ended: what is left goes now, and the manifest last."""
        with self._lock:
            self._manifest = manifest
        self.end()

    def end(self) -> None:
        """Its writer lets go of it, whole or not. Idempotent."""
        with self._lock:
            if self._whole:
                return
            if self._ended_at is None:
                self._ended_at = self._shipper.monotonic()
        self.look()

    def look(self) -> None:
        """Have it shipped when it is time."""
        if self._ended_at is None:
            self.renew()
        now = self._shipper.monotonic()
        with self._lock:
            if self._running or self._whole or now < self._not_before:
                return
            waiting = self._spooled - self._sent
            if self._ended_at is not None:
                late = now - self._ended_at
                endless = self._manifest is None and not waiting and late > 1.0
                if self._failure is not None or endless or late > AFTER_SECONDS:
                    self._give_up()
                    return
            due = waiting >= self._terms.segment_bytes or (
                waiting and (self._ended_at is not None or now - self._since >= self._terms.segment_seconds)
            )
            if self._failure is not None or not (due or self._ended_at is not None):
                return
            self._running = True
        self._shipper.submit(self)

    def ship(self) -> None:
        """Put one segment after the other while a whole one waits, the rest if it is time, and then the manifest."""
        try:
            with self._path.open("rb") as file:
                while self._put_next(file.fileno()):
                    pass
            self._finish()
        except Busy as fault:
            log.info("%s", fault)
            with self._lock:
                self._lost_answer = True
                self._not_before = self._shipper.monotonic() + AGAIN_SECONDS
        except (RecordingFault, OSError) as fault:
            with self._lock:
                self._fail(fault if isinstance(fault, RecordingFault) else RecordingFault(str(fault)))
        except BaseException as fault:
            with self._lock:
                self._fail(RecordingFault(f"{type(fault).__name__}: {fault}"))
            raise
        finally:
            with self._lock:
                self._running = False

    def _put_next(self, descriptor: int) -> bool:
        with self._lock:
            start, end, number = self._sent, self._spooled, self._number
        length = min(end - start, self._terms.segment_bytes)
        if not length:
            return False
        self._put(self._place.segment(number), read_slice(descriptor, start, length))
        now = self._shipper.monotonic()
        with self._lock:
            self._sent, self._number = start + length, number + 1
            self._since = self._progress = now
            self._admit()
            return self._spooled - self._sent >= (1 if self._ended_at is not None else self._terms.segment_bytes)

    def _put(self, key: str, body: bytes) -> None:
        """Put an object; after an answer that was lost, one that stands is taken for our own until it is compared."""
        try:
            self._shipper.bucket.put_new(key, body)
        except Stands:
            if not self._lost_answer:
                raise
            self._doubtful = True
        self._lost_answer = False

    def _finish(self) -> None:
        with self._lock:
            if self._manifest is None or self._sent < self._spooled:
                return
            manifest = self._manifest
        self._put(self._place.manifest, manifest)
        if not self._doubtful:
            # The bucket has it whole, by its own word: nothing needs the spool any more.
            retire(self._path)
            manifest_beside(self._path).unlink(missing_ok=True)
        with self._lock:
            self._ended_at = None
            self._whole = True
        self._shipper.forget(self)

    def _full(self) -> bool:
        return self._spooled - self._sent >= self._terms.backlog_bytes

    def _fail(self, fault: RecordingFault) -> None:
        if self._failure is None:
            self._failure = fault
            log.error("segments of %s: %s", self._place.prefix, fault)
        self._admit()

    def _admit(self) -> None:
        """Let those in who waited for room, if there is some or never will be."""
        if self._full() and self._failure is None:
            return
        entering, self._entering = self._entering, []
        for future in entering:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                future.get_loop().call_soon_threadsafe(_let_in, future)

    def _give_up(self) -> None:
        log.warning("%s is left to the finisher", self._place.prefix)
        self._ended_at = None
        self._shipper.forget(self)


class ShippedSink:
    """``recording.blocks.Sink``: a spool file, and the bucket behind it."""

    def __init__(self, spool: SpoolSink, shipment: Shipment) -> None:
        self._spool = spool
        self._shipment = shipment
        shipment.renew = spool.renew

    def write(self, parts: Sequence[bytes], length: int) -> None:
        self._shipment.check()
        self._spool.write(parts, length)

    def settle(self) -> Awaitable[None] | None:
        return self._spool.settle()

    def room(self) -> Awaitable[None] | None:
        return self._spool.room() or self._shipment.room()

    def check(self) -> None:
        self._spool.check()
        self._shipment.check()

    def seal(self, manifest: bytes) -> None:
        """Whole in the spool when it returns; in the bucket soon after."""
        self._spool.seal(manifest)
        self._shipment.seal(manifest)

    def close(self) -> None:
        self._spool.close()
        self._shipment.end()


def read_slice(descriptor: int, start: int, length: int) -> bytes:
    """So many bytes from there on. Raises OSError when the file does not have them."""
    data = os.pread(descriptor, length, start)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), start + len(data))
        if not more:
            raise OSError("the spool file is shorter than it was")
        data += more
    return data


def _let_in(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
