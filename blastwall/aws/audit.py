"""The sinks of a gateway on AWS, and the process beside it that feeds them: ``python -m blastwall.aws.audit STATE``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from blastwall.audit.sink import Sink
from blastwall.aws.audit_lake import LakeSink
from blastwall.aws.audit_logs import LogsSink
from blastwall.aws.audit_s3 import S3Sink
from blastwall.local.audit import follow, stand_back, stdin_closed
from blastwall.local.audit_stdout import StreamSink
from blastwall.settings import AuditSettings

#: Days that the spool keeps events which every sink has: it is a passage, the bucket keeps them.
KEEP_DAYS = 7
#: The outbox tries again by itself, with everything kept on disk: the client does so twice only, and waits for seconds.
_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})


def sinks(settings: AuditSettings, stream: str, client: Any = boto3.client) -> list[Sink]:  # noqa: ANN401  boto3 has no types
    """The sinks that the settings name; ``stream`` is this writer's own log stream."""
    found: list[Sink] = []
    if settings.audit_bucket:
        found.append(S3Sink(client("s3", config=_CONFIG), settings.audit_bucket))
    if settings.audit_log_group:
        found.append(LogsSink(client("logs", config=_CONFIG), settings.audit_log_group, stream))
    if settings.audit_channel_arn:
        account = settings.audit_channel_arn.split(":")[4]
        found.append(LakeSink(client("cloudtrail-data", config=_CONFIG), settings.audit_channel_arn, account))
    if settings.audit_stdout:
        found.append(StreamSink(sys.stdout))
    return found


if __name__ == "__main__":
    stand_back()
    state = Path(sys.argv[1])
    # A stream has one writer: the task, which its host name names.
    chosen = sinks(AuditSettings.from_env(os.environ), f"{os.uname().nodename}-{os.getpid()}")
    follow(state, stdin_closed, chosen, keep_days=KEEP_DAYS)
