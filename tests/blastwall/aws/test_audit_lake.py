"""Events for CloudTrail Lake, against botocore's own model of the service on a loopback server: moto has no such API.

The server takes what the model allows, checks every checksum, and answers as the service is documented to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator

from blastwall.aws.audit_lake import MAX_BYTES, LakeSink

ARN = "arn:aws:cloudtrail:eu-central-1:123456789012:channel/00000000-0000-4000-8000-000000000000"
SHAPE = botocore.session.get_session().get_service_model("cloudtrail-data").operation_model("PutAuditEvents")


class Lake(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls = []
        self.refuse = lambda event: None
        self.status = 200


class Handler(BaseHTTPRequestHandler):
    server: Lake

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        path, _, query = self.path.partition("?")
        request = {
            **json.loads(raw),
            "channelArn": query.partition("channelArn=")[2].replace("%3A", ":").replace("%2F", "/"),
        }
        report = ParamValidator().validate(request, SHAPE.input_shape)
        events = request["auditEvents"]
        problems = [report.generate_report()] if report.has_errors() else []
        if path != "/PutAuditEvents" or len(events) > 100 or len(raw) > MAX_BYTES + 1000:
            problems.append("path or size")
        for event in events:
            digest = hashlib.sha256(event["eventData"].encode()).digest()
            if event.get("eventDataChecksum") != base64.b64encode(digest).decode():
                problems.append(f"checksum of {event['id']}")
            data = json.loads(event["eventData"])
            needed = {"version", "userIdentity", "eventSource", "eventName", "eventTime", "UID", "recipientAccountId"}
            problems += [f"lacks {name}" for name in needed - set(data)]
        self.server.calls.append(events)
        failed = [
            {"id": event["id"], "errorCode": code, "errorMessage": "no"}
            for event in events
            if (code := self.server.refuse(event))
        ]
        bad = {one["id"] for one in failed}
        taken = [{"id": event["id"], "eventID": "e-" + event["id"]} for event in events if event["id"] not in bad]
        status = 400 if problems else self.server.status
        body = json.dumps(
            {"message": "; ".join(problems)} if problems else {"failed": failed, "successful": taken}
        ).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def lake():
    server = Lake()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def sink(lake):
    client = boto3.client(
        "cloudtrail-data",
        region_name="eu-central-1",
        endpoint_url=f"http://127.0.0.1:{lake.server_port}",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    return LakeSink(client, ARN, "123456789012")


def event(number, of="s-1", **more):
    return {
        "metadata": {"uid": f"r-{number}", "correlation_uid": of},
        "time": 1_800_000_000_000,
        "time_dt": "2027-01-15T08:00:00.000Z",
        "actor": {"user": {"uid": "https://idp|a-1"}},
        "unmapped": {"blastwall": {"verb": "select"}},
        **more,
    }


def test_events_arrive_as_the_model_wants_them(lake, sink):
    assert sink.put([event(1), event(2)]) == set()
    ((first, _),) = lake.calls
    data = json.loads(first["eventData"])
    assert (first["id"], data["UID"], data["eventName"], data["eventTime"]) == (
        "r-1",
        "r-1",
        "select",
        "2027-01-15T08:00:00Z",
    )
    assert data["userIdentity"]["principalId"] == "https://idp|a-1"
    assert data["additionalEventData"] == event(1)


def test_no_call_has_more_than_a_hundred_or_a_megabyte(lake, sink):
    assert sink.put([event(number) for number in range(250)]) == set()
    assert [len(call) for call in lake.calls] == [100, 100, 50]
    assert sink.put([event(f"l{number}", message="\u20ac" * 30_000) for number in range(9)]) == set()
    assert len(lake.calls) > 4


def test_a_200_with_failed_is_a_failure(lake, sink):
    lake.refuse = lambda event: "InternalError" if event["id"] in ("r-3", "r-150") else None
    batch = [event(number, of=f"s-{number % 5}") for number in range(200)]
    failed = sink.put(batch)
    assert {"r-3", "r-150"} <= failed
    behind = {f"r-{number}" for number in range(100, 200) if number % 5 == 3}
    assert failed == {"r-3", "r-150"} | behind, "what comes behind a failed event of its session waits"


def test_an_event_that_is_there_already_was_taken(lake, sink):
    lake.refuse = lambda event: "DuplicatedAuditEventId"
    assert sink.put([event(1)]) == set()


def test_an_event_the_answer_does_not_name_has_failed(lake, sink, monkeypatch):
    class Silent:
        def put_audit_events(self, **_):
            return {"successful": [{"id": "r-1", "eventID": "x"}], "failed": []}

    assert LakeSink(Silent(), ARN, "1").put([event(1), event(2)]) == {"r-2"}


def test_errors_and_silence_are_failures(lake, sink):
    lake.status = 500
    assert sink.put([event(1)]) == {"r-1"}
    gone = boto3.client(
        "cloudtrail-data",
        region_name="eu-central-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="t",
        aws_secret_access_key="t",
        config=botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=1),
    )
    assert LakeSink(gone, ARN, "1").put([event(1)]) == {"r-1"}


def test_ids_that_lake_does_not_take_are_hashed(lake, sink):
    assert sink.put([event("ü/7")]) == set()
    assert lake.calls[0][0]["id"] == hashlib.sha256("r-ü/7".encode()).hexdigest()
