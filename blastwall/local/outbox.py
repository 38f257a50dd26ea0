"""Audit events on their way to one sink: kept on disk until the sink has taken them.

It is fed from the trail's day files, whoever wrote them, and knows how far it has read each.
``DIRECTORY/NAME/<number>.jsonl`` is a batch. A batch is sent as it was written, again and again with a growing pause,
until nothing of it is left; what the sink takes is removed from it, and what is sent twice is sent under the same ids.
An event that the sink refuses while it takes others is set aside in ``DIRECTORY/NAME/undeliverable/`` after some
attempts, so that it does not hold up its session for ever. Nothing is dropped: ``retry`` puts it back in.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blastwall.audit.sink import Sink, line, session, uid
from blastwall.ports import Clock

OFFSETS: Final = "offsets.json"
MOST_FED: Final = 4 * 1024 * 1024  # bytes of a day file that are taken over at a time
MAX_BATCH: Final = 2_000  # events of one file
ATTEMPTS: Final = 8  # times an event may be refused while others are taken
FIRST_PAUSE: Final = 0.5  # seconds; doubled at each failure
LONGEST_PAUSE: Final = 60.0
ALARM_AFTER: Final = 3  # failures in a row
FRUITLESS: Final = 3  # batches that a turn tries although nothing of them is taken
BATCHES_A_TURN: Final = 20  # so that one sink that is far behind does not keep the others waiting


@dataclass(frozen=True, slots=True)
class Alarm:
    """What an operator must know: a sink does not take events. ``waiting`` counts all that are kept for it."""

    sink: str
    reason: str
    waiting: int
    undeliverable: int
    failures: int  # in a row


class Outbox:
    """The events that wait for one sink. One process at a time delivers (the trail's lock sees to it).

    ``alarm`` is told at the third failure in a row and at every doubling of that, and for each event set aside.
    """

    def __init__(self, directory: Path, sink: Sink, clock: Clock, alarm: Callable[[Alarm], None]) -> None:
        self.sink = sink
        self._directory = directory / sink.name
        self._aside = self._directory / "undeliverable"
        self._clock = clock
        self._alarm = alarm
        self._refused: Counter[str] = Counter()  # event id -> times it was refused while others were taken
        self._failures = 0
        self._not_before = 0.0
        self._aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._next = max((_number(path) for path in self._batches()), default=0) + 1

    def add(self, lines: Sequence[str]) -> None:
        """Keep lines for the sink; on return they are on disk. Raises OSError."""
        for start in range(0, len(lines), MAX_BATCH):
            _write(self._directory / f"{self._next:012}.jsonl", lines[start : start + MAX_BATCH])
            self._next += 1

    def feed(self, days: Path) -> int:
        """Take over what the day files (``YYYY-MM-DD.jsonl`` in ``days``) hold beyond what was taken before.

        Returns how many events that were. After a crash in between some are taken twice, under the same ids. Raises
        OSError.
        """
        offsets = self._offsets()
        fed = 0
        for path in sorted(days.glob("*.jsonl")):
            size, offset = path.stat().st_size, offsets.get(path.name, 0)
            if size <= offset:
                continue
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(MOST_FED)
            whole = data[: data.rfind(b"\n") + 1]
            lines = [text.decode() for text in whole.split(b"\n") if _sound(text)]
            self.add(lines)
            offsets[path.name] = offset + len(whole)
            _write(self._directory / OFFSETS, [json.dumps(offsets)])
            fed += len(lines)
        return fed

    def has_read(self, day: Path) -> bool:
        """Whether everything in a day file was taken over."""
        return self._offsets().get(day.name, 0) >= day.stat().st_size

    def deliver(self) -> int:
        """Send what waits, unless it is too early after a failure; return how many were taken. Raises OSError."""
        if self._clock.monotonic() < self._not_before:
            return 0
        taken = 0
        fruitless = 0
        failed: dict[str, str] = {}  # session -> its first event that failed: what comes behind it keeps its order
        for path in self._batches()[:BATCHES_A_TURN]:
            batch = _read(path)
            wanted = self._set_aside(batch)
            going = [event for event in wanted if session(event) not in failed]
            lost = set(self.sink.put(going)) if going else set()
            for event in going:
                if uid(event) in lost:
                    failed.setdefault(session(event), uid(event))
            arrived = {uid(event) for event in going} - lost
            taken += len(arrived)
            left = [event for event in wanted if uid(event) not in arrived]
            if not left:
                path.unlink()
            elif len(left) < len(batch):
                _write(path, [line(event) for event in left])
            fruitless += bool(going) and not arrived
            if fruitless == FRUITLESS:
                break  # it takes nothing at present: the others wait, too
        if failed and taken:  # or else the refusal says nothing about the event
            self._refused.update(failed.values())
        self._pause(bool(failed))
        return taken

    def waiting(self) -> int:
        """How many events the sink has not taken, those set aside not counted."""
        return sum(len(_read(path)) for path in self._batches())

    def undeliverable(self) -> int:
        """How many events were set aside."""
        return len(list(self._aside.glob("*.json")))

    def retry(self) -> int:
        """Put everything that was set aside back in; return how many events that are."""
        aside = sorted(self._aside.glob("*.json"))
        if aside:
            self.add([path.read_text(encoding="utf-8").strip() for path in aside])
        for path in aside:
            path.unlink()
        return len(aside)

    def _offsets(self) -> dict[str, int]:
        try:
            value = json.loads((self._directory / OFFSETS).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}  # everything is sent once more: better twice than never
        return {str(name): int(offset) for name, offset in value.items()}

    def _set_aside(self, batch: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The batch without what was refused too often, which goes where people look."""
        for event in batch:
            if self._refused[uid(event)] >= ATTEMPTS:
                del self._refused[uid(event)]
                _write(self._aside / f"{hashlib.sha256(uid(event).encode()).hexdigest()}.json", [line(event)])
                self._tell(f"it refused the event {uid(event)} {ATTEMPTS} times, which was set aside")
                return self._set_aside([other for other in batch if other is not event])
        return list(batch)

    def _pause(self, failed: bool) -> None:
        """Wait longer after each failure in a row, and raise the alarm at the 3rd, 6th, 12th ..."""
        if not failed:
            self._failures = 0
            return
        self._failures += 1
        pause = min(FIRST_PAUSE * 2.0 ** min(self._failures - 1, 16), LONGEST_PAUSE)
        self._not_before = self._clock.monotonic() + pause
        times, rest = divmod(self._failures, ALARM_AFTER)
        if rest == 0 and times.bit_count() == 1:
            self._tell("it did not take what was sent to it")

    def _tell(self, reason: str) -> None:
        self._alarm(Alarm(self.sink.name, reason, self.waiting(), self.undeliverable(), self._failures))

    def _batches(self) -> list[Path]:
        return sorted(self._directory.glob("*.jsonl"))


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdigit() else 0


def _sound(text: bytes) -> bool:
    """Half a line that a crash left is none."""
    try:
        event = json.loads(text)
        return bool(uid(event)) and isinstance(event["time"], int)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _read(path: Path) -> list[Mapping[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def _write(path: Path, lines: Sequence[str]) -> None:
    """Replace the file as a whole, and have it on the disk before returning."""
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(text + "\n" for text in lines))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
