"""Completes recordings whose writer was stopped: its own process, the task it ran in, or the machine.

A recording is abandoned when nobody holds its lock *and* nobody has touched it for ``abandoned_seconds``. On one
machine the lock alone would do; on a file system shared by machines the time is what a writer that lost its connection
can rely on (``spool.Lease``): it stops itself long before.

Finishers exclude one another by that same lock, so two at once do no harm, and one that is stopped leaves what the next
one takes up. What is damaged is left as it is and named again at every run: no signature vouches for it.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blastwall.errors import RecordingFault
from blastwall.local.recordings import Entry, Shelf
from blastwall.local.spool import manifest_beside, place_manifest
from blastwall.ports import Clock
from blastwall.recording.codec import FormatFault
from blastwall.recording.finish import Survey, completion, survey
from blastwall.recording.manifest import Signer

ABANDONED_SECONDS = 30.0  # on this machine, where the lock tells
NAME = "finisher"
RECENT_DAYS = 2  # after its first run a finisher looks at the latest days, and at what had no end in older ones


@dataclass(slots=True)
class Report:
    """What one run did: ids of recordings, and for each problem what it is."""

    completed: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    unfinished: bool = False  # the time was up before everything was looked at


class Finisher:
    """Completes what is abandoned below a directory of recordings (``STATE/recordings``, or the spool's).

    ``signer`` is the same key as the writers'. :meth:`run` waits for disks and signers: call it off the event loop.
    """

    def __init__(
        self,
        shelf: Shelf,
        clock: Clock,
        *,
        signer: Signer | None,
        abandoned_seconds: float = ABANDONED_SECONDS,
        name: str = NAME,
    ) -> None:
        self._shelf = shelf
        self._clock = clock
        self._signer = signer
        self._abandoned = abandoned_seconds
        self._name = name
        self._looked = False
        self._endless: dict[Path, Entry] = {}  # what had no end when it was last looked at, however old

    def run(self, seconds: float = 60.0) -> Report:
        """Complete what can be completed within so many seconds."""
        report = Report()
        deadline = self._clock.monotonic() + seconds
        days = RECENT_DAYS if self._looked else None
        seen: set[Path] = set()
        older = list(self._endless.values())
        for entry in itertools.chain(self._shelf.entries(days=days), older):
            if self._clock.monotonic() > deadline:
                report.unfinished = True
                return report
            if entry.path in seen:
                continue
            seen.add(entry.path)
            if not entry.manifest_path.exists():
                self._endless[entry.path] = entry
                self._look(entry, report)
            if entry.path in self._endless and (entry.manifest_path.exists() or not entry.path.exists()):
                del self._endless[entry.path]
        self._looked = True
        return report

    def _look(self, entry: Entry, report: Report) -> None:
        try:
            with self.held(entry) as descriptor:
                if descriptor is not None and self.complete(entry.path, descriptor):
                    report.completed.append(entry.id)
        except (FormatFault, RecordingFault, OSError) as fault:
            report.problems[entry.id] = str(fault)

    @contextmanager
    def held(self, entry: Entry) -> Iterator[int | None]:
        """An abandoned recording, opened and locked; None when it is not abandoned, or another finisher has it."""
        try:
            descriptor = os.open(entry.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Either way from now: a clock that was set back must not keep a recording open for a year.
            idle = abs(self._clock.now() - os.fstat(descriptor).st_mtime)
            yield descriptor if idle >= self._abandoned else None
        except BlockingIOError:
            yield None
        finally:
            os.close(descriptor)

    def complete(self, path: Path, descriptor: int) -> bool:
        """Give the recording that is held the end it lacks; False when there was nothing to do.

        Raises FormatFault for what must not be completed, RecordingFault when it cannot be signed, OSError.
        """
        if manifest_beside(path).exists():
            return False
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(0)
            found = survey(file)
        if found is None:
            return False
        if found.seal is not None:
            place_manifest(path, found.seal.body)
            return True
        self._append(path, descriptor, found)
        return True

    def _append(self, path: Path, descriptor: int, found: Survey) -> None:
        torn = os.fstat(descriptor).st_size - found.length
        data, manifest = completion(found, signer=self._signer, by=self._name, now=self._clock.now(), torn=torn)
        if torn:
            os.ftruncate(descriptor, found.length)
        if os.write(descriptor, data) != len(data):
            raise OSError("the end was not taken whole")
        os.fsync(descriptor)
        place_manifest(path, manifest)
