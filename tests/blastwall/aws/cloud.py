"""S3 and KMS on loopback for the recorder's tests: moto's server, and clients whose calls can be made to fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from blastwall.aws.objects import Bucket
from blastwall.local.clock import SystemClock
from blastwall.model import Effect, Facts, Masked, Permit, Principal, Session, Statement, Target
from blastwall.recording.writer import Writer
from blastwall.settings import RecordingSettings

REGION = "eu-central-1"
NAME = "recordings-of-tests"
SECONDS = 10.0
FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)
SESSION = Session("session-1", Principal("iss", "sub", "agent-1"), "shop", 0.0, 1.0)
STRICT = Target("shop", "postgres", "db", 5432)
BEST_EFFORT = Target("shop", "postgres", "db", 5432, recording="best_effort")
CLOCK = SystemClock()


def refused(code: str, status: int) -> ClientError:
    about = {"Error": {"Code": code, "Message": "planned"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(about, "PutObject")


DENIED = refused("AccessDenied", 403)
SLOW_DOWN = refused("SlowDown", 503)
NO_ANSWER = ReadTimeoutError(endpoint_url="http://127.0.0.1")


class Faulty:
    """A boto3 client. ``before`` and ``after`` are asked around every put and may raise."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.puts: list[str] = []
        self.before: Callable[[str], None] = lambda key: None
        self.after: Callable[[str], None] = lambda key: None
        self.put = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **arguments: Any) -> Any:
        key = arguments["Key"]
        self.before(key)
        answer = self._client.put_object(**arguments)
        self.puts.append(key)
        self.after(key)
        self.put.set()
        return answer


def patient(service: str, endpoint: str) -> Any:
    """A client for setting up: moto's first answers, on a machine that is busy, are not lost answers."""
    config = Config(read_timeout=60, retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=endpoint, config=config)


def fail(error: Exception, times: int = 10**9) -> Callable[[str], None]:
    """Raise so many times."""
    left = [times]

    def raising(key: str) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise error

    return raising


def settings(spool: Any, **more: Any) -> RecordingSettings:
    """Short times; long enough leases that no test meets them by chance."""
    words = {"segment_seconds": 0.05, "segment_bytes": 4096, "lease_seconds": 60.0, "abandoned_seconds": 120.0}
    return RecordingSettings(NAME, "key", str(spool), **words | more)


def ask(recording: Writer, number: int, text: str = "SELECT 1") -> None:
    recording.intent(Statement(text, number=number), FACTS, Permit(text))


def answer(recording: Writer, number: int, size: int) -> Any:
    return recording.relayed(Masked(bytes(range(256)) * (size // 256), number, 1))


def stored(bucket: Bucket) -> bytes:
    """The one recording in the bucket, as its segments give it."""
    return b"".join(bucket.get(item.key) for item in bucket.list("recordings/") if item.key.endswith(".bwr"))


def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for what other threads bring about."""
    pause, turns = threading.Event(), int(seconds / 0.01)
    for _ in range(turns):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("it never came true")
