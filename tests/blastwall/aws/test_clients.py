"""AWS's refusals in the house's words."""

from __future__ import annotations

import json

import pytest

from blastwall.aws.clients import client, invoker, publisher, read_secret
from blastwall.errors import OurFault, UpstreamFault
from tests.blastwall.aws import stage


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch):
    with stage.aws(monkeypatch):
        yield


def test_a_topic_is_told() -> None:
    topic = client("sns").create_topic(Name="t")["TopicArn"]
    publisher(topic)("subject", "text")
    with pytest.raises(UpstreamFault, match="SNS"):
        publisher(topic + "-gone")("subject", "text")


def test_a_secret_is_a_json_object() -> None:
    manager = client("secretsmanager")
    good = manager.create_secret(Name="good", SecretString=json.dumps({"SLACK": "x", "N": 1}))["ARN"]
    assert read_secret(good) == {"SLACK": "x", "N": "1"}
    bad = manager.create_secret(Name="bad", SecretString="plain s3cret")["ARN"]
    for arn in (bad, good + "-gone"):
        with pytest.raises(OurFault) as caught:
            read_secret(arn)
        assert "s3cret" not in str(caught.value)


def test_a_function_is_called_by_the_houses_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(event: object, context: object) -> None:
        raise ValueError("inside")

    stage.lambdas_in_process(monkeypatch, {"real-decide": lambda event, context: {"got": event}, "real-broken": fails})
    invoke = invoker({"approval_decide": "real-decide", "broken": "real-broken"})
    assert invoke("approval_decide", {"answer": "a-1"}) == {"got": {"answer": "a-1"}}
    with pytest.raises(OurFault, match="broken failed"):
        invoke("broken", {})
