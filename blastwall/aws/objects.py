"""New objects into a bucket, and nothing over one that stands: the recordings' side of S3.

Every put is conditional (``If-None-Match: *``) and carries the SHA-256 of its body, which S3 checks and keeps.
Encryption, Object Lock and retention are the bucket's defaults. One attempt for each call, so that the caller knows
whether an answer was lost: after one that was, the same put may find its own object.

The gateway's task may only put; reading is for the finisher, and for whoever may read recordings.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blastwall.errors import RecordingFault

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 3.0
#: Error codes after which the same call may succeed (S3 and KMS API references); server errors (5xx) are among them.
PASSING: Final = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "KMSInternalException",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "KMS.ThrottlingException",
        "503",
        "500",
    }
)
STANDS: Final = frozenset({"PreconditionFailed", "412"})


class Busy(RecordingFault):
    """S3 did not answer, or not now: the put may have succeeded."""


class Stands(RecordingFault):
    """There is an object of this key already."""


@dataclass(frozen=True, slots=True)
class Found:
    """One object: its key, its size in bytes."""

    key: str
    size: int


def client(name: str, endpoint_url: str = "") -> Any:  # noqa: ANN401  boto3 has no types
    """A boto3 client that tries once and does not wait for long; ``endpoint_url`` is for tests."""
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=32,
    )
    return boto3.client(name, config=config, endpoint_url=endpoint_url or None)


def explain(error: ClientError | BotoCoreError) -> tuple[str, bool]:
    """What went wrong in a few words, and whether it may pass."""
    if isinstance(error, ClientError):
        about = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(about.get("Code", status))
        return f"{code}: {about.get('Message', '')}", code in PASSING or status >= 500
    return f"{type(error).__name__}: {error}", True


class Bucket:
    """One bucket. Every method waits for the network: call it off the event loop."""

    def __init__(self, s3: Any, name: str) -> None:  # noqa: ANN401  boto3 has no types
        self._s3 = s3
        self.name = name

    def put_new(self, key: str, body: bytes) -> None:
        """Put an object where there is none. Raises Stands, Busy, or RecordingFault for what will not pass."""
        checksum = base64.b64encode(sha256(body).digest()).decode()
        try:
            self._s3.put_object(Bucket=self.name, Key=key, Body=body, IfNoneMatch="*", ChecksumSHA256=checksum)
        except (ClientError, BotoCoreError) as error:
            words, passing = explain(error)
            if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in STANDS:
                raise Stands(f"{key} stands already in {self.name}") from error
            kind = Busy if passing else RecordingFault
            raise kind(f"{self.name} did not take {key}: {words}") from error

    def list(self, prefix: str) -> Iterator[Found]:
        """The objects whose keys begin so, in the order of their keys. Raises RecordingFault."""
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield Found(str(item["Key"]), int(item["Size"]))
        except (ClientError, BotoCoreError) as error:
            raise RecordingFault(f"{self.name} cannot be listed: {explain(error)[0]}") from error

    def get(self, key: str) -> bytes:
        """An object's content. Raises RecordingFault."""
        try:
            body: bytes = self._s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise RecordingFault(f"{key} cannot be read from {self.name}: {explain(error)[0]}") from error
        return body

    def holds(self, key: str, body: bytes) -> bool:
        """Whether the object is exactly ``body``, by the SHA-256 that S3 keeps. Raises RecordingFault."""
        try:
            head = self._s3.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
        except (ClientError, BotoCoreError) as error:
            raise RecordingFault(f"{key} cannot be looked at in {self.name}: {explain(error)[0]}") from error
        kept = head.get("ChecksumSHA256")
        if kept is None:
            return self.get(key) == body
        return int(head["ContentLength"]) == len(body) and kept == base64.b64encode(sha256(body).digest()).decode()
