"""The finisher on AWS: what dead tasks left in the spool is completed, shipped, compared, and only then taken away.

It does what ``blastwall.local.finisher`` does, on the spool, and then sees to it that the bucket holds the same
bytes: segments that are there are compared by their SHA-256, those that are missing are put, the manifest comes last. A
segment that is not what the spool holds is a problem that is named at every run, and the spool keeps its file.

Any number may run at once: the file's lock lets one at a time have a recording, and every put is conditional.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from blastwall.aws.objects import Bucket, Stands, client
from blastwall.aws.shipping import read_slice
from blastwall.aws.signer import KmsSigner
from blastwall.errors import RecordingFault
from blastwall.local.finisher import Finisher, Report
from blastwall.local.recordings import Entry, Shelf, retire
from blastwall.local.spool import manifest_beside
from blastwall.ports import Clock
from blastwall.recording.codec import FormatFault
from blastwall.recording.manifest import Signer
from blastwall.recording.reader import read_header
from blastwall.recording.segments import Place
from blastwall.settings import RecordingSettings


@dataclass(slots=True)
class Shipped(Report):
    """As a report of the local finisher; ``shipped`` counts the objects that were put."""

    shipped: int = 0


class AwsFinisher:
    """Completes and ships what is abandoned in the spool."""

    def __init__(self, settings: RecordingSettings, clock: Clock, bucket: Bucket, signer: Signer) -> None:
        self._shelf = Shelf(settings.spool_path)
        self._clock = clock
        self._bucket = bucket
        self._size = settings.segment_bytes
        self._local = Finisher(
            self._shelf, clock, signer=signer, abandoned_seconds=settings.abandoned_seconds, name="finisher"
        )

    def run(self, seconds: float) -> Shipped:
        """Do what can be done within so many seconds. Never raises for a single recording: the report names it."""
        report = Shipped()
        deadline = self._clock.monotonic() + seconds
        for entry in self._shelf.entries():
            if self._clock.monotonic() > deadline:
                report.unfinished = True
                break
            try:
                with self._local.held(entry) as descriptor:
                    if descriptor is not None:
                        self._settle(entry, descriptor, report)
            except (FormatFault, RecordingFault, OSError) as fault:
                report.problems[entry.id] = str(fault)
        return report

    def _settle(self, entry: Entry, descriptor: int, report: Shipped) -> None:
        path = entry.path
        if self._local.complete(path, descriptor):
            report.completed.append(entry.id)
        manifest = entry.beside()
        if manifest is None:  # not even a header was written: nothing ran, and there is nothing to tell
            path.unlink()
            return
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(0)
            place = Place.of_header(read_header(file).raw)
        report.shipped += self._ship(place, descriptor, manifest)
        retire(path)
        manifest_beside(path).unlink()

    def _ship(self, place: Place, descriptor: int, manifest: bytes) -> int:
        """Make the bucket hold the recording; return how many objects were put. Raises RecordingFault."""
        sizes = {
            number: item.size
            for item in self._bucket.list(place.prefix)
            if (number := place.number(item.key)) is not None
        }
        length = os.fstat(descriptor).st_size
        start = put = 0
        number = 0
        while start < length or number in sizes:
            size = sizes.get(number, min(self._size, length - start))
            if start + size > length:
                raise RecordingFault(f"{place.segment(number)} is not of this recording: it reaches beyond its end")
            put += self._put(place.segment(number), read_slice(descriptor, start, size), stands=number in sizes)
            start += size
            number += 1
        if any(beyond >= number for beyond in sizes):
            raise RecordingFault(f"{place.prefix} has segments beyond the recording's end")
        return put + self._put(place.manifest, manifest, stands=False)

    def _put(self, key: str, body: bytes, *, stands: bool) -> int:
        if not stands:
            try:
                self._bucket.put_new(key, body)
                return 1
            except Stands:
                pass
        if not self._bucket.holds(key, body):
            raise RecordingFault(f"{key} is not what the spool holds: somebody else wrote it")
        return 0


def compose_finisher(settings: RecordingSettings, clock: Clock) -> AwsFinisher:
    """The finisher with clients of its own. Raises RecordingFault."""
    bucket = Bucket(client("s3", settings.endpoint_url), settings.recordings_bucket)
    signer = KmsSigner(client("kms", settings.endpoint_url), settings.manifest_key_id)
    return AwsFinisher(settings, clock, bucket, signer)
