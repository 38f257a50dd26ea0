"""Recordings out of a bucket, segment by segment, onto this disk."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from blastwall.aws.objects import Bucket, client
from blastwall.aws.shelf import BucketShelf
from blastwall.errors import RecordingFault
from blastwall.local.recordings import Entry, Shelf
from blastwall.recording.reader import read_header
from blastwall.recording.records import Header
from blastwall.recording.segments import Place


def bring(name: str, id: str, into: Shelf, admit: Callable[[Header], None]) -> Entry:
    """Copy the recording whose id begins so; ``admit`` sees its header before anything is kept, and raises to refuse.

    What comes is not verified here. Raises RecordingFault when there is none, or one of this id is here already.
    """
    bucket = Bucket(client("s3"), name)
    shelf = BucketShelf(bucket)
    place = shelf.find(id)
    segments = shelf.segments(place)
    if not segments:
        raise RecordingFault(f"nothing of the recording {id} has reached {name} yet")
    first = bucket.get(segments[0])
    header = read_header(io.BytesIO(first))
    admit(header)
    day = datetime.fromtimestamp(header.started_at, UTC).date().isoformat()
    path = into.place(day, header.recording)
    if path.exists():
        raise RecordingFault(f"the recording {header.recording} is here already, in {path.parent}")
    _keep(path, bucket, first, segments[1:])
    entry = Entry(path)
    _keep_manifest(entry, bucket, place)
    return entry


def _keep(path: Path, bucket: Bucket, first: bytes, rest: Sequence[str]) -> None:
    """The whole file or none: nobody sees half of it."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(first)
            for key in rest:
                file.write(bucket.get(key))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _keep_manifest(entry: Entry, bucket: Bucket, place: Place) -> None:
    if any(found.key == place.manifest for found in bucket.list(place.manifest)):
        entry.manifest_path.touch(mode=0o600)
        entry.manifest_path.write_bytes(bucket.get(place.manifest))
