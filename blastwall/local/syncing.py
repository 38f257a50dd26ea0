"""Group fsync: one thread of the process makes many recordings' commits durable together.

While one round of fsync runs, the commits that arrive form the next round: the slower the disk, the larger the group.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable

from blastwall.errors import RecordingFault

Waiting = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class GroupSync:
    """fsync as a future. ``sync`` is the system call, replaceable to make it fail."""

    def __init__(self, sync: Callable[[int], None] = os.fdatasync) -> None:
        self._sync = sync
        self._wanted: dict[int, list[Waiting]] = {}
        self._finishing: set[int] = set()
        self._ready = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def want(self, descriptor: int) -> asyncio.Future[None]:
        """Return a future that completes once everything written to ``descriptor`` so far is on the disk.

        It fails with RecordingFault when the disk refuses. Call it in a running event loop.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._ready:
            if self._closed:
                raise RecordingFault("Recordings are closed: nothing more can be made durable.")
            self._wanted.setdefault(descriptor, []).append((loop, future))
            self._wake()
        return future

    def finish(self, descriptor: int) -> None:
        """Make what was written durable and close ``descriptor``, without making anybody wait."""
        with self._ready:
            if not self._closed:
                self._finishing.add(descriptor)
                self._wanted.setdefault(descriptor, [])
                self._wake()
                return
        self._sync_last(descriptor)

    def close(self) -> None:
        """Finish what is wanted and end the thread."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recording sync", daemon=True)
            self._thread.start()
        self._ready.notify_all()

    def _sync_last(self, descriptor: int) -> None:
        try:
            self._sync(descriptor)
        except OSError:
            pass  # nobody waits any more: the recording will verify as truncated
        finally:
            os.close(descriptor)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._wanted or self._closed)
                if not self._wanted:
                    return
                round_, self._wanted = self._wanted, {}
                finishing, self._finishing = self._finishing, set()
            for descriptor, waiting in round_.items():
                fault: RecordingFault | None = None
                try:
                    self._sync(descriptor)
                except OSError as error:
                    fault = RecordingFault(f"The disk did not take the recording: {error}. Nothing runs unrecorded.")
                for loop, future in waiting:
                    try:
                        loop.call_soon_threadsafe(_complete, future, fault)
                    except RuntimeError:
                        pass  # the loop has ended, and with it whoever waited
                if descriptor in finishing:
                    os.close(descriptor)


def _complete(future: asyncio.Future[None], fault: RecordingFault | None) -> None:
    if future.done():
        return
    if fault is None:
        future.set_result(None)
    else:
        future.set_exception(fault)
