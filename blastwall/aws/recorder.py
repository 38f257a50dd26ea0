"""``ports.Recorder`` on AWS: the spool is the durable log, and segments follow it to S3 while the session runs.

The same recordings as on one machine (``blastwall.local.recorder``), with three differences. Every recording is
synchronised before a statement runs, whatever its target's ``durability``: a task's own memory dies with it. The spool
is on a file system that outlives the task, under a lease (``spool.Lease``). And who signs is KMS.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from blastwall.aws.objects import Bucket, client
from blastwall.aws.shelf import BucketShelf
from blastwall.aws.shipping import ShippedSink, Shipper, Terms
from blastwall.aws.signer import KmsSigner
from blastwall.local.recorder import LocalRecorder
from blastwall.local.spool import REAL, Disk, Lease, SpoolSink
from blastwall.model import Secret, Session, Target
from blastwall.ports import Clock
from blastwall.recording.blocks import Sink
from blastwall.recording.manifest import Signer
from blastwall.recording.segments import Place
from blastwall.recording.writer import Writer
from blastwall.settings import RecordingSettings

THREADS: Final = 32  # that wait for the file system: each recording's commits wait for its own file only
SIGNERS: Final = 2  # threads that wait for checkpoints to be signed
CLOSE_SECONDS: Final = 20.0  # for what has ended to reach the bucket when the process ends


class AwsRecorder(LocalRecorder):
    """Recordings through a spool into a bucket."""

    def __init__(
        self,
        settings: RecordingSettings,
        clock: Clock,
        bucket: Bucket,
        signer: Signer,
        *,
        known: Callable[[Session], Iterable[Secret]] = lambda session: (),
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
        disk: Disk = REAL,
    ) -> None:
        self._signers = ThreadPoolExecutor(max_workers=SIGNERS, thread_name_prefix="recording signing")
        super().__init__(
            settings.spool_path,
            clock,
            signer=signer,
            known=known,
            compress=True,
            new_id=new_id,
            disk=disk,
            checkpoint_seconds=settings.checkpoint_seconds,
            threads=THREADS,
            signing=self._signers,
        )
        self._lease = Lease(beat=settings.lease_seconds / 3, most=settings.lease_seconds)
        terms = Terms(settings.segment_bytes, settings.segment_seconds, settings.backlog_bytes)
        self._shipper = Shipper(bucket, terms)
        self._bucket = BucketShelf(bucket)

    def open(self, session: Session, target: Target, connection: str, header: Mapping[str, object]) -> Writer:
        """Begin a recording. It waits for the file system: call it off the event loop. Raises RecordingFault."""
        return super().open(session, replace(target, durability="power_loss"), connection, header)

    def _sink(self, id: str, session: Session, target: Target, connection: str, started: float) -> Sink:
        day = datetime.fromtimestamp(started, UTC).date().isoformat()
        path = self._shelf.place(day, id, durable=True)
        place = Place.of(id, session.id, target.name, connection, started)
        strict = target.recording == "strict"
        shipment = self._shipper.begin(path, place, strict=strict)
        try:
            spool = SpoolSink(
                path, self._spool, durable=strict, disk=self._disk, lease=self._lease, grown=shipment.grown
            )
        except BaseException:
            self._shipper.forget(shipment)
            raise
        return ShippedSink(spool, shipment)

    def list(self) -> Sequence[Mapping[str, object]]:
        """What the manifests in the bucket say, newest day first. The gateway's own role may not ask."""
        return self._bucket.summaries()

    async def read(self, id: str) -> AsyncIterator[bytes]:
        """Yield a recording's bytes, segment by segment. Raises RecordingFault unless one has an id that begins so."""
        async for part in self._bucket.read(id):
            yield part

    def close(self) -> None:
        """End the threads, once what has ended is in the bucket. What is not is the finisher's."""
        super().close()
        self._shipper.close(CLOSE_SECONDS)
        self._signers.shutdown()


def compose_recorder(
    settings: RecordingSettings, clock: Clock, known: Callable[[Session], Iterable[Secret]] = lambda session: ()
) -> AwsRecorder:
    """The recorder of a task, with clients of its own. Raises RecordingFault."""
    bucket = Bucket(client("s3", settings.endpoint_url), settings.recordings_bucket)
    signer = KmsSigner(client("kms", settings.endpoint_url), settings.manifest_key_id)
    return AwsRecorder(settings, clock, bucket, signer, known=known)
