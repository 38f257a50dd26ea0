"""Audit events in S3: ``PREFIX/dt=YYYY-MM-DD/hour=HH/<name>.jsonl.gz``, as Athena's partition projection expects them.

An object's name is the SHA-256 of the ids in it, and it is put only where none is (``If-None-Match: *``): a batch that
is sent again, because the answer was lost, is the same object and changes nothing. Nothing is ever overwritten, so the
bucket may lock its objects.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from blastwall.audit.columns import PREFIX, partition
from blastwall.audit.sink import line, session, uid

log = logging.getLogger("blastwall.audit")

THERE_ALREADY: Final = frozenset({"PreconditionFailed", "412"})


class S3Sink:
    """``audit.sink.Sink`` over a bucket. ``client`` is boto3's for S3; ``prefix`` has no slash at its ends."""

    name = "s3"

    def __init__(self, client: Any, bucket: str, prefix: str = PREFIX) -> None:  # noqa: ANN401  boto3 has no types
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def put(self, batch: Sequence[Mapping[str, Any]]) -> set[str]:
        """One object for each hour; an hour is taken as a whole, or has failed as a whole."""
        hours: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for event in batch:
            place = partition(event["time"])
            hours.setdefault((place["dt"], place["hour"]), []).append(event)
        failed: set[str] = set()
        held: set[str] = set()
        for (dt, hour), events in hours.items():
            going = [event for event in events if session(event) not in held]
            failed |= {uid(event) for event in events if session(event) in held}
            if going and not self._put(dt, hour, going):
                failed |= {uid(event) for event in going}
                held |= {session(event) for event in going}
        return failed

    def _put(self, dt: str, hour: str, events: Sequence[Mapping[str, Any]]) -> bool:
        name = hashlib.sha256("\n".join(uid(event) for event in events).encode()).hexdigest()
        body = gzip.compress("".join(line(event) + "\n" for event in events).encode(), mtime=0)
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=f"{self._prefix}/dt={dt}/hour={hour}/{name}.jsonl.gz",
                Body=body,
                ContentType="application/gzip",
                ChecksumAlgorithm="SHA256",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in THERE_ALREADY:
                return True
            log.warning("audit events for dt=%s hour=%s were not put to S3: %s", dt, hour, error)
            return False
        except (BotoCoreError, OSError) as error:
            log.warning("audit events for dt=%s hour=%s were not put to S3: %s", dt, hour, error)
            return False
        return True
