"""Where recordings stand on this machine: ``STATE/recordings/<YYYY-MM-DD>/<id>.bwr``, and finding them again."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from blastwall.errors import RecordingFault
from blastwall.local.spool import manifest_beside, sync_directory
from blastwall.recording.codec import SUFFIX, FormatFault, RecordType, split_records
from blastwall.recording.reader import Reader, read_header, read_manifest
from blastwall.recording.records import Decoder, Intent
from blastwall.recording.verify import Verdict, verify

MAX_MANIFEST = 64 * 1024  # bytes
AUDIT = "audit"  # the audit trail's directory, beside that of the recordings
SHIPPED = ".shipped"  # in it: recordings that wait for the trail only
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording on disk."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name.removesuffix(SUFFIX)

    @property
    def manifest_path(self) -> Path:
        return manifest_beside(self.path)

    def open(self) -> BinaryIO:
        """Open for reading. Raises RecordingFault."""
        try:
            return self.path.open("rb")
        except OSError as error:
            raise RecordingFault(f"The recording {self.id} cannot be read: {error.strerror}.") from error

    def live(self) -> bool:
        """Whether its writer still holds it: the writer's lock dies with the writer."""
        with self.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def beside(self) -> bytes | None:
        """The manifest beside the recording, cut off at 64 KiB; None when there is none."""
        try:
            with self.manifest_path.open("rb") as file:
                return file.read(MAX_MANIFEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecordingFault(f"The manifest of {self.id} cannot be read: {error.strerror}.") from error

    def verify(self, trusted: Mapping[str, bytes]) -> Verdict:
        """Verify it where it stands. Raises FormatFault for what is no recording."""
        beside = self.beside()  # first: a recording finished meanwhile then looks truncated, not tampered with
        with self.open() as file:
            return verify(file, trusted=trusted, beside=beside, recording=self.id)

    def summary(self) -> dict[str, Any]:
        """What a listing shows; nothing is verified. ``state``: live, complete, truncated, or unreadable."""
        try:
            with self.open() as file:
                header = read_header(file).raw
            manifest = self._manifest()
            totals = _mapping(manifest.get("totals")) if manifest else self._count()
        except FormatFault as fault:
            return {"id": self.id, "state": "live" if self.live() else "unreadable", "problem": str(fault)}
        except RecordingFault as fault:  # it cannot even be opened
            return {"id": self.id, "state": "unreadable", "problem": str(fault)}
        return {
            "id": self.id,
            "session": header["session"],
            "connection": header["connection"],
            "agent": _mapping(header["principal"]).get("agent"),
            "on_behalf_of": _mapping(header["principal"]).get("on_behalf_of"),
            "target": _mapping(header["target"]).get("name"),
            "protocol": header["protocol"],
            "started_at": header["started_at"],
            "duration": _number(manifest.get("duration_ns") if manifest else totals.get("duration_ns")) / 1e9,
            "statements": totals.get("statements"),
            "denied": totals.get("denied"),
            "rows": totals.get("rows"),
            "state": "complete" if manifest else "live" if self.live() else "truncated",
        }

    def _manifest(self) -> dict[str, Any] | None:
        text = self.beside()
        return None if text is None else read_manifest(text)

    def _count(self) -> dict[str, int]:
        """Count what a recording without a manifest holds, as far as it reads."""
        counted = {"statements": 0, "denied": 0, "rows": 0, "duration_ns": 0}
        decoder = Decoder()
        with self.open() as file:
            for block in Reader(file).blocks():
                for sequence, raw in enumerate(split_records(block.payload), block.head.sequence):
                    counted["duration_ns"] = raw.at
                    if raw.type == RecordType.RELAYED:
                        counted["rows"] += int.from_bytes(raw.body[:4], "big")
                    elif raw.type in (RecordType.INTENT, RecordType.JUDGEMENT):
                        record = decoder.decode(raw, sequence)
                        if isinstance(record, Intent):
                            counted["statements"] += 1
                            counted["denied"] += record.decision.get("verdict") == "denial"
        return counted


class Shelf:
    """The directory of recordings under a state directory."""

    def __init__(self, state: Path) -> None:
        self.root = state / "recordings"

    def place(self, day: str, id: str, *, durable: bool = False) -> Path:
        """Return the path of a new recording and make its directory. Raises OSError."""
        if not _ID.match(id):
            raise RecordingFault("A recording's id has 1 to 64 letters, digits, - and _.")
        directory = self.root / day
        new = not directory.exists()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        if durable and new:
            sync_directory(self.root)
        return directory / (id + SUFFIX)

    def days(self) -> list[str]:
        """Names of the directories, newest first. Raises OSError."""
        if not self.root.is_dir():
            return []
        return sorted((day.name for day in self.root.iterdir() if _DAY.match(day.name) and day.is_dir()), reverse=True)

    def of_day(self, day: str, but: Container[str] = ()) -> list[Entry]:
        """One directory's recordings, the newest file first, without the files named ``but``. Raises OSError."""
        found = []
        for file in (self.root / day).iterdir():
            if file.name not in but and _recording(file):
                try:
                    found.append((file.stat().st_mtime_ns, file))
                except FileNotFoundError:
                    continue  # retired meanwhile
        return [Entry(file) for _, file in sorted(found, reverse=True)]

    def entries(self, days: int | None = None) -> Iterator[Entry]:
        """Recordings, newest day first, and within a day the newest file first; ``days``: only the last so many."""
        for day in self.days()[:days]:
            yield from self.of_day(day)

    def retired(self) -> list[Entry]:
        """What :func:`retire` left for the audit trail."""
        place = self.root.parent / AUDIT / SHIPPED
        return [Entry(file) for file in sorted(place.glob(f"*{SUFFIX}")) if _recording(file)]

    def find(self, prefix: str) -> Entry:
        """The recording whose id begins with ``prefix``. Raises RecordingFault when there is none, or are several."""
        found = [entry for entry in self.entries() if _ID.match(prefix) and entry.id.startswith(prefix)]
        exact = [entry for entry in found if entry.id == prefix]
        if exact:
            return exact[0]
        if not found:
            raise RecordingFault(f"No recording's id begins with {prefix!r}. `blastwall recordings ls` lists them.")
        if len(found) > 1:
            some = ", ".join(entry.id for entry in found[:4])
            raise RecordingFault(f"{len(found)} recordings begin with {prefix!r} ({some} ...). Give more of the id.")
        return found[0]


def retire(path: Path) -> None:
    """Take a finished recording off this disk that is whole elsewhere; a trail that follows this disk gets it first.

    It then stands in ``STATE/audit/.shipped`` until its events were taken over. Raises OSError.
    """
    trail = path.parents[2] / AUDIT
    if trail.is_dir():
        waiting = trail / SHIPPED
        waiting.mkdir(mode=0o700, exist_ok=True)
        path.replace(waiting / path.name)
    else:
        path.unlink(missing_ok=True)


def _recording(file: Path) -> bool:
    return file.name.endswith(SUFFIX) and bool(_ID.match(file.name.removesuffix(SUFFIX)))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0
