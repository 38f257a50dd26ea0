"""Audit events in CloudWatch Logs, for search and alarms; the record is S3.

Limits of ``PutLogEvents`` (its API reference): an event 256 KiB, a batch 1,048,576 bytes or 10,000 events, 26 bytes on
top for each, in the order of their times, over no more than 24 hours; none older than 14 days or than the group's
retention, none more than 2 hours ahead. A 200 names what is outside of that in ``rejectedLogEventsInfo``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from blastwall.audit.sink import chunks, line, send_in_order, uid

log = logging.getLogger("blastwall.audit")

MAX_BYTES: Final = 1_048_576
MAX_EVENTS: Final = 10_000
OVERHEAD: Final = 26  # bytes that each event counts beside its text
MAX_SPAN: Final = 24 * 3600 * 1000  # milliseconds between a batch's first and last event


class LogsSink:
    """``audit.sink.Sink`` over one log stream, which is made when it is not there.

    ``stream`` names the writer: two writers do not share one. ``client`` is boto3's for ``logs``.
    """

    name = "logs"

    def __init__(self, client: Any, group: str, stream: str) -> None:  # noqa: ANN401  boto3 has no types
        self._client = client
        self._group = group
        self._stream = stream

    def put(self, batch: Sequence[Mapping[str, Any]]) -> set[str]:
        """In batches that the service takes; within each the events stand in the order of their times."""
        return send_in_order(_pieces(batch), self._send)

    def _send(self, events: Sequence[Mapping[str, Any]]) -> set[str]:
        ordered = sorted(events, key=lambda event: event["time"])  # stable: a session's own order stays
        ids = [uid(event) for event in ordered]
        try:
            answer = self._put(ordered)
        except (ClientError, BotoCoreError, OSError) as error:
            log.warning("%d audit events were not put to the log group %s: %s", len(ids), self._group, error)
            return set(ids)
        rejected = answer.get("rejectedLogEventsInfo") or {}
        too_old = max(rejected.get("tooOldLogEventEndIndex", 0), rejected.get("expiredLogEventEndIndex", 0))
        too_new = rejected.get("tooNewLogEventStartIndex", len(ids))
        return {*ids[:too_old], *ids[too_new:]}

    def _put(self, events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        request = {
            "logGroupName": self._group,
            "logStreamName": self._stream,
            "logEvents": [{"timestamp": event["time"], "message": line(event)} for event in events],
        }
        try:
            answer: Mapping[str, Any] = self._client.put_log_events(**request)
        except self._client.exceptions.ResourceNotFoundException:
            self._client.create_log_stream(logGroupName=self._group, logStreamName=self._stream)
            answer = self._client.put_log_events(**request)
        return answer


def _pieces(batch: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Pieces within the limits on number, size and span of time."""
    for piece in chunks(batch, most=MAX_EVENTS, size=MAX_BYTES, of=lambda event: len(line(event)) + OVERHEAD):
        part: list[Mapping[str, Any]] = []
        for event in piece:
            times = [event["time"], *(part[0]["time"], part[-1]["time"])] if part else [event["time"]]
            if max(times) - min(times) > MAX_SPAN:
                yield part
                part = []
            part.append(event)
        if part:
            yield part
