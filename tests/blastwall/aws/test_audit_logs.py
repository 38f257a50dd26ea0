"""Events in a log stream: the service's limits, and the answer that says 200 and took not everything."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

from blastwall.aws.audit_logs import MAX_BYTES, MAX_EVENTS, MAX_SPAN, OVERHEAD, LogsSink

NOW = 1_800_000_000_000


def event(number, time=NOW, of="s-1", **more):
    return {"metadata": {"uid": f"r-{number}", "correlation_uid": of}, "time": time, **more}


class Recorded:
    """A client that checks each call against the limits and answers as it is told to."""

    def __init__(self, answer=None):
        self.calls = []
        self.answer = answer or (lambda events: {})

        class Exceptions:
            class ResourceNotFoundException(Exception):
                pass

        self.exceptions = Exceptions

    def put_log_events(self, logGroupName, logStreamName, logEvents):
        times = [one["timestamp"] for one in logEvents]
        assert times == sorted(times)
        assert times[-1] - times[0] <= MAX_SPAN
        assert 1 <= len(logEvents) <= MAX_EVENTS
        assert sum(len(one["message"].encode()) + OVERHEAD for one in logEvents) <= MAX_BYTES
        assert all(len(one["message"].encode()) + OVERHEAD <= 256 * 1024 for one in logEvents)
        self.calls.append([json.loads(one["message"])["metadata"]["uid"] for one in logEvents])
        return self.answer(logEvents)


@pytest.fixture
def moto(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("logs", region_name="eu-central-1")
        client.create_log_group(logGroupName="blastwall")
        yield client


def test_the_stream_is_made_when_it_is_not_there(moto, monkeypatch):
    import time

    now = int(time.time() * 1000)
    sink = LogsSink(moto, "blastwall", "task-1")
    batch = [event(2, now), event(1, now - 5)]
    assert sink.put(batch) == set()
    assert sink.put([event(3, now)]) == set()
    found = moto.get_log_events(logGroupName="blastwall", logStreamName="task-1", startFromHead=True)["events"]
    assert [json.loads(one["message"])["metadata"]["uid"] for one in found] == ["r-1", "r-2", "r-3"]


def test_a_group_that_is_not_there_is_a_failure(moto):
    assert LogsSink(moto, "nowhere", "task-1").put([event(1)]) == {"r-1"}


def test_no_call_is_over_a_limit():
    client = Recorded()
    many = [event(number, text="x" * 10) for number in range(10_500)]
    large = [event(f"l{number}", text="\u20ac" * 30_000) for number in range(12)]
    huge = [event("h", text="\U0001f600" * 200_000)]
    spread = [event(f"d{day}", NOW + day * 90_000_000) for day in range(3)]
    assert LogsSink(client, "g", "s").put([*many, *large, *huge, *spread]) == set()
    assert sum(map(len, client.calls)) == 10_500 + 12 + 1 + 3


def test_what_a_200_rejects_has_failed():
    def answer(events):
        return {
            "rejectedLogEventsInfo": {
                "tooOldLogEventEndIndex": 1,
                "expiredLogEventEndIndex": 2,
                "tooNewLogEventStartIndex": 4,
            }
        }

    batch = [event(number, NOW + number, of=f"s-{number}") for number in range(5)]
    assert LogsSink(Recorded(answer), "g", "s").put(batch) == {"r-0", "r-1", "r-4"}


def test_two_failures_keep_a_sessions_order():
    sent = []

    def answer(events):
        sent.append([json.loads(one["message"])["metadata"]["uid"] for one in events])
        return {"rejectedLogEventsInfo": {"tooNewLogEventStartIndex": 0}} if len(sent) == 1 else {}

    batch = [event(number, text="x" * 100_000, of="s-1" if number % 2 else "s-2") for number in range(30)]
    failed = LogsSink(Recorded(answer), "g", "s").put(batch)
    assert failed == {f"r-{number}" for number in range(30)}, "both sessions were in the piece that failed"
    assert len(sent) == 1
