"""Events as objects, against moto's S3: partitions, names that repeat, nothing overwritten."""

from __future__ import annotations

import gzip
import json

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from blastwall.aws.audit_s3 import S3Sink

HOUR = 3_600_000
START = 1_800_000_000_000  # 2027-01-15 08:00 UTC


def event(number, time=START, of="s-1"):
    return {"metadata": {"uid": f"r-{number}", "correlation_uid": of}, "time": time, "message": "\u202e" * 3}


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="eu-central-1")
        client.create_bucket(Bucket="audit", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield client


def stored(client):
    found = {}
    for item in client.list_objects_v2(Bucket="audit").get("Contents", ()):
        body = client.get_object(Bucket="audit", Key=item["Key"])["Body"].read()
        found[item["Key"]] = [json.loads(text) for text in gzip.decompress(body).decode().splitlines()]
    return found


def test_an_object_an_hour_named_by_what_is_in_it(client):
    batch = [event(1), event(2, START + HOUR), event(3, START + 5)]
    assert S3Sink(client, "audit").put(batch) == set()
    found = stored(client)
    assert sorted(key.rsplit("/", 1)[0] for key in found) == [
        "audit/dt=2027-01-15/hour=08",
        "audit/dt=2027-01-15/hour=09",
    ]
    assert sorted(found.values(), key=len) == [[batch[1]], [batch[0], batch[2]]]


def test_sending_again_changes_nothing(client):
    sink = S3Sink(client, "audit")
    assert sink.put([event(1), event(2)]) == set()
    first = client.list_objects_v2(Bucket="audit")["Contents"]
    assert sink.put([event(1), event(2)]) == set()
    assert client.list_objects_v2(Bucket="audit")["Contents"] == first


def test_it_is_put_only_where_nothing_is(client):
    """Moto refuses as S3 does: the sink takes that for an answer that had been lost."""
    sent = []
    client.meta.events.register("before-call.s3.PutObject", lambda params, **_: sent.append(params["headers"]))
    assert S3Sink(client, "audit").put([event(1)]) == set()
    assert sent[0]["If-None-Match"] == "*"
    (key,) = stored(client)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket="audit", Key=key, Body=b"other", IfNoneMatch="*")


def test_what_is_not_known_to_be_there_has_failed(client):
    assert S3Sink(client, "nowhere").put([event(1), event(2)]) == {"r-1", "r-2"}
    gone = boto3.client("s3", region_name="eu-central-1", endpoint_url="http://127.0.0.1:9")
    lost = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    class Unreachable:
        exceptions = gone.exceptions

        def put_object(self, **_):
            raise lost

    assert S3Sink(Unreachable(), "audit").put([event(1)]) == {"r-1"}


def test_an_hour_that_fails_holds_its_sessions_back(client):
    class Half:
        def put_object(self, **request):
            if "hour=08" in request["Key"]:
                raise ClientError({"Error": {"Code": "SlowDown", "Message": "later"}}, "PutObject")
            return client.put_object(**request)

    batch = [event(1), event(2, START + HOUR), event(3, START + HOUR, "s-2")]
    assert S3Sink(Half(), "audit").put(batch) == {"r-1", "r-2"}
    assert [found for (found,) in stored(client).values()] == [batch[2]]
