"""Recordings in a bucket, found and read again. For whoever may read them: the gateway's own role may only put."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from blastwall.aws.objects import Bucket
from blastwall.errors import RecordingFault
from blastwall.recording.segments import MANIFEST, ROOT, Place

MOST_SUMMARIES = 1000


class BucketShelf:
    """The recordings of one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def places(self, prefix: str = ROOT) -> dict[str, Place]:
        """Recording id to its place, newest day first; ``prefix`` narrows it, to a day say. Raises RecordingFault."""
        found = {}
        for item in self._bucket.list(prefix):
            path, _, _ = item.key.rpartition("/")
            found[path.rpartition("/")[2]] = Place(path + "/")
        return dict(sorted(found.items(), key=lambda pair: pair[1].prefix.split("/")[1], reverse=True))

    def find(self, id: str) -> Place:
        """Where the recording stands whose id begins so. Raises RecordingFault when there is none, or are several."""
        places = self.places()
        found = [place for name, place in places.items() if id and name.startswith(id)]
        if id in places:
            return places[id]
        if len(found) != 1:
            raise RecordingFault(f"{len(found) or 'no'} recordings in {self._bucket.name} begin with {id!r}")
        return found[0]

    def segments(self, place: Place) -> Sequence[str]:
        """The keys of its segments, in order. Raises RecordingFault when one is missing."""
        numbered = sorted(
            (number, item.key)
            for item in self._bucket.list(place.prefix)
            if (number := place.number(item.key)) is not None
        )
        for expected, (number, _) in enumerate(numbered):
            if number != expected:
                raise RecordingFault(f"segment {expected} of {place.prefix} is missing")
        return [key for _, key in numbered]

    async def read(self, id: str) -> AsyncIterator[bytes]:
        """Yield a recording's segments. Raises RecordingFault."""
        place = await asyncio.to_thread(self.find, id)
        for key in await asyncio.to_thread(self.segments, place):
            yield await asyncio.to_thread(self._bucket.get, key)

    def summaries(self) -> Sequence[Mapping[str, Any]]:
        """What the manifests say, newest day first, a thousand at most; ``state`` is complete or live."""
        return [self._summary(id, place) for id, place in list(self.places().items())[:MOST_SUMMARIES]]

    def _summary(self, id: str, place: Place) -> Mapping[str, Any]:
        if not any(item.key.endswith("/" + MANIFEST) for item in self._bucket.list(place.manifest)):
            return {"id": id, "state": "live"}
        manifest = json.loads(self._bucket.get(place.manifest))
        totals = manifest.get("totals", {})
        return {
            "id": id,
            "session": manifest.get("session"),
            "connection": manifest.get("connection"),
            "agent": manifest.get("agent"),
            "target": manifest.get("target"),
            "protocol": manifest.get("protocol"),
            "started_at": manifest.get("started_at"),
            "duration": manifest.get("duration_ns", 0) / 1e9,
            "statements": totals.get("statements"),
            "denied": totals.get("denied"),
            "rows": totals.get("rows"),
            "state": "complete",
        }
