"""Audit events on this machine's disk: ``STATE/audit/<YYYY-MM-DD>.jsonl``, projected from the recordings as they grow.

The recordings are the truth; the lines are caught up with them by whoever asks: the follower process that a gateway
starts (so that projecting costs the data path nothing), and every ``blastwall audit ls``. How far each recording has
been projected is kept beside the lines and written after them: after a crash a few lines may stand twice, with the same
id, and are read once.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from blastwall.audit.journal import GATEWAY, note
from blastwall.audit.lines import AHEAD, Lines
from blastwall.audit.sink import Sink
from blastwall.errors import OurFault, RecordingFault
from blastwall.local.arrivals import Arrivals
from blastwall.local.audit_stdout import StreamSink
from blastwall.local.clock import SystemClock
from blastwall.local.outbox import Alarm, Outbox
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import AUDIT, Entry, Shelf
from blastwall.local.signer import load_signer
from blastwall.ports import Clock
from blastwall.recording.codec import FormatFault
from blastwall.recording.reader import Reader
from blastwall.settings import AuditSettings

log = logging.getLogger("blastwall.audit")

MAX_LINE = 1 << 20  # bytes of one line that are read back
PLACES = ".places"  # in the trail's directory: how far each recording was projected
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.jsonl\Z")
PERIOD = 0.5  # seconds between two looks of the follower
PROGRAM = "blastwall.local.audit"
LOOK_SECONDS = 2.0  # how often a gateway looks whether its follower lives
LONGEST_PAUSE = 60.0  # seconds between two starts of one that does not live long
NICE = 10  # of the follower: about a tenth of what the data path gets where both want a processor


@dataclass(frozen=True, slots=True)
class Place:
    """How far a recording has been projected: bytes, records, and whether its end was."""

    position: int = 0
    sequence: int = 0
    done: bool = False


class AuditTrail:
    """The audit events of one state directory."""

    def __init__(self, state: Path, outboxes: Sequence[Outbox] = ()) -> None:
        self.directory = state / AUDIT
        self._shelf = Shelf(state)
        self._outboxes = outboxes
        self._arrivals = Arrivals(self._shelf)
        self._open: dict[str, Entry] = {}
        self._under_way: dict[str, Lines] = {}  # of recordings that may still grow, as far as they were read

    def catch_up(self) -> int:
        """Project what was recorded since the last time; return how many events that gave.

        One process does so at a time. Raises OurFault when the lines cannot be written.
        """
        try:
            with self._alone():
                places = self.directory / PLACES
                places.mkdir(mode=0o700, exist_ok=True)
                # Known before any is read: one that cannot be read now, or written down, is tried again.
                entries = {entry.id: entry for entry in self._arrivals.take()} | self._open
                self._open = dict(entries)
                written = sum(self._follow(entry, places / f"{entry.id}.json") for entry in entries.values())
                return written + sum(self._take(entry, places / f"{entry.id}.json") for entry in self._shelf.retired())
        except OSError as error:
            raise OurFault(f"Audit events could not be written to {self.directory}: {error.strerror}.") from error

    def deliver(self) -> int:
        """Send what waits for the sinks; return how many events they took. Raises OurFault when the disk fails."""
        try:
            with self._alone():
                for outbox in self._outboxes:
                    outbox.feed(self.directory)
                return sum(outbox.deliver() for outbox in self._outboxes)
        except OSError as error:
            raise OurFault(f"Audit events that wait in {self.directory} cannot be kept: {error.strerror}.") from error

    def events(self, since: str = "") -> Iterator[dict[str, Any]]:
        """Yield the events in the order they were written, each once; of the days from ``since`` (YYYY-MM-DD) on."""
        seen: set[str] = set()
        if not self.directory.is_dir():
            return
        for path in sorted(path for path in self.directory.iterdir() if _DAY.match(path.name) and path.stem >= since):
            with path.open("rb") as file:
                while text := file.readline(MAX_LINE):
                    event = _parse(text)
                    if event is None:
                        continue
                    uid = str(_mapping(event.get("metadata")).get("uid"))
                    if uid not in seen:
                        seen.add(uid)
                        yield event

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _follow(self, entry: Entry, place: Path) -> int:
        """Project one recording from where it was left; forget it once it cannot grow any more."""
        before = _read_place(place)
        written, done = 0, before.done
        growing = live = False
        try:
            live = entry.live()
            if not done:
                if entry.path.stat().st_size > before.position:
                    written, done = self._project(entry, before, place)
                under_way = self._under_way.get(entry.id)
                # One that its writer left without an end may get it from another.
                growing = under_way is None or under_way.reader.sound
        except (FormatFault, FileNotFoundError):
            # No recording, or none yet, or it has just been retired; verification says what is wrong with one.
            pass
        except RecordingFault as fault:
            # What cannot be opened now (too many files are open, a disk that hangs) may be opened the next time.
            growing = not isinstance(fault.__cause__, FileNotFoundError)
        if done or not (live or growing):
            self._open.pop(entry.id, None)
            self._under_way.pop(entry.id, None)
        else:
            self._open[entry.id] = entry
        return written

    def _take(self, entry: Entry, place: Path) -> int:
        """Project what is left of a recording that stands elsewhere, and let go of it; what does not read is kept."""
        self._open.pop(entry.id, None)
        self._under_way.pop(entry.id, None)
        written = self._follow(entry, place)
        if _read_place(place).done:
            entry.path.unlink()
            place.unlink()
        return written

    def prune(self, days: int) -> int:
        """Remove day files that are older and that every sink has read; return how many. Raises OurFault.

        For a disk that is only a passage. Without sinks nothing is removed.
        """
        oldest = (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
        try:
            with self._alone():
                old = [path for path in self.directory.iterdir() if _DAY.match(path.name) and path.stem < oldest]
                gone = [path for path in old if self._outboxes and all(box.has_read(path) for box in self._outboxes)]
                for path in gone:
                    path.unlink()
                return len(gone)
        except OSError as error:
            raise OurFault(f"Old audit events cannot be removed from {self.directory}: {error.strerror}.") from error

    def _project(self, entry: Entry, before: Place, place: Path) -> tuple[int, bool]:
        written = 0
        with entry.open() as file, _Days(self.directory) as days:
            lines = self._under_way.pop(entry.id, None)
            if lines is None:
                lines = Lines(Reader(file, AHEAD))
            else:
                lines.reader.again(file)
            more = True
            while more:
                more = lines.gather(before.sequence)
                if lines.count:
                    written += lines.count
                    days.append(*lines.take())
        # Not before all was written: what a full disk has stopped is read once more, from its place on.
        self._under_way[entry.id] = lines
        reader = lines.reader
        if reader.sequence >= before.sequence:
            _write_place(place, Place(reader.position, reader.sequence, lines.ended))
        return written, lines.ended


class _Days:
    """The trail's files, one of them open at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._day = ""
        self._file: BinaryIO | None = None

    def __enter__(self) -> _Days:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, day: str, lines: bytes) -> None:
        if self._file is None or day != self._day:
            self.__exit__()
            path = self._directory / f"{day}.jsonl"
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "ab", buffering=0)
            self._day = day
            if not _ends_well(descriptor):
                # A crash has left half a line: it ends here, and is skipped by readers.
                self._file.write(b"\n")
        rest = lines
        while rest:
            rest = rest[self._file.write(rest) :]


class Follower:
    """A process beside the gateway that keeps the audit events up to date, at low priority; it ends with its parent.

    ``program`` is the module that is run: this one, or one with sinks elsewhere.
    """

    def __init__(self, state: Path, program: str = PROGRAM) -> None:
        (state / AUDIT).mkdir(mode=0o700, parents=True, exist_ok=True)  # from now on nothing leaves the disk unread
        self._command = [sys.executable, "-m", program, str(state)]
        self._process = self._start()
        self._begun = time.monotonic()
        self._pause = LOOK_SECONDS

    def _start(self) -> subprocess.Popen[bytes]:
        # Its own program with fixed arguments; it lives as long as the pipe does.
        return subprocess.Popen(self._command, stdin=subprocess.PIPE)  # noqa: S603  our own interpreter

    def look(self) -> str:
        """Start it anew if it has ended (a machine short of memory ends it first); "" if it lives, else what was.

        What it has not done is done by the next, for all is on the disk. One that ends again and again is started less
        and less often. Raises OSError when no process can be started.
        """
        status = self._process.poll()
        if status is None or time.monotonic() - self._begun < self._pause:
            return ""
        lived, self._begun = time.monotonic() - self._begun, time.monotonic()
        self._pause = LOOK_SECONDS if lived > self._pause + LONGEST_PAUSE else min(2 * self._pause, LONGEST_PAUSE)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = self._start()
        return f"the process that makes audit events ended (status {status}); another goes on where it was"

    async def keep(self) -> None:
        """Runs for ever: no audit events are made, and none sent, while the process is not there."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if told := self.look():
                    log.error("%s", told)
            except OSError as fault:
                log.error("the process that makes audit events ended, and cannot be started again: %s", fault)

    def close(self) -> None:
        """Let it catch up once more and end; wait ten seconds at most."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def follow(
    state: Path,
    gone: Callable[[float], bool],
    sinks: Sequence[Sink] = (),
    clock: Clock | None = None,
    keep_days: int | None = None,
) -> None:
    """Keep catching up until ``gone`` (which waits so many seconds) says that the starter has; then once more.

    What ``sinks`` do not take is kept in ``STATE/audit/outbox``, and told: in the log, and as an audit event. After
    ``keep_days`` (None: never) what every sink has read is removed.
    """
    clock = clock or SystemClock()
    alarms: list[Alarm] = []
    try:
        outboxes = [Outbox(state / AUDIT / "outbox", sink, clock, alarms.append) for sink in sinks]
        for outbox in outboxes:
            outbox.retry()  # a start is a new chance for what was set aside
        trail = AuditTrail(state, outboxes)
    except OSError as error:
        raise OurFault(f"Audit events cannot be kept in {state}: {error.strerror}.") from error
    while True:
        last = gone(PERIOD)
        try:
            trail.catch_up()
            trail.deliver()
            if keep_days is not None:
                trail.prune(keep_days)
            while alarms:
                tell(alarms.pop(0), state, clock)
        except OurFault as fault:
            sys.stderr.write(f"{fault}\n")
        if last:
            return


def tell(alarm: Alarm, state: Path, clock: Clock, stream: TextIO | None = None) -> None:
    """Raise an alarm: a line that CloudWatch also reads as a metric (embedded metric format), and an audit event."""
    metrics = [{"Name": name, "Unit": "Count"} for name in ("UndeliveredAuditEvents", "UndeliverableAuditEvents")]
    directive = {"Namespace": "Blastwall", "Dimensions": [["Sink"]], "Metrics": metrics}
    told = {
        "_aws": {"Timestamp": int(clock.now() * 1000), "CloudWatchMetrics": [directive]},
        "level": "ERROR",
        "message": f"audit events do not reach {alarm.sink}: {alarm.reason}; they are kept in {state}/audit/outbox",
        "Sink": alarm.sink,
        "UndeliveredAuditEvents": alarm.waiting,
        "UndeliverableAuditEvents": alarm.undeliverable,
    }
    (stream or sys.stderr).write(json.dumps(told, sort_keys=True) + "\n")
    keys = state / "keys"  # there are none on a spool: those who may sign are elsewhere, and an own key proves nothing
    recorder = LocalRecorder(state, clock, signer=load_signer(keys) if keys.is_dir() else None)
    try:
        fields = {"sink": alarm.sink, "reason": alarm.reason, "count": alarm.waiting + alarm.undeliverable}
        asyncio.run(note(recorder, clock, GATEWAY, "sink_failing", fields))
    finally:
        recorder.close()


def stand_back() -> None:
    """Let the data path go first.

    Where the kernel shares the processors among sessions (sched(7), autogroup) a nice value counts only within its own:
    so this process leaves its starter's, for one that is as nice. The end of its starter it hears of by the pipe.
    """
    os.nice(NICE)
    with suppress(OSError):  # a leader already, or a kernel without any of this
        os.setsid()
        Path("/proc/self/autogroup").write_text(str(NICE))


def stdin_closed(seconds: float) -> bool:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready)


def _ends_well(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _parse(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("time"), int | float) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_place(path: Path) -> Place:
    try:
        value = json.loads(path.read_bytes())
        return Place(int(value["position"]), int(value["sequence"]), bool(value["done"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Place()  # nothing projected yet: lines that stand already are read once, by their ids


def _write_place(path: Path, place: Place) -> None:
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(asdict(place)), encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    stand_back()
    chosen = AuditSettings.from_env(os.environ)
    follow(Path(sys.argv[1]), stdin_closed, [StreamSink(sys.stdout)] if chosen.audit_stdout else [])
