"""AWS's refusals in the house's words."""

from __future__ import annotations

import json

import pytest

from blastwall.aws.clients import client, publisher, read_secret
from blastwall.aws.functions import ANSWER_SECONDS
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


def test_whoever_calls_functions_waits_for_them_and_asks_once() -> None:
    """A vendor that is slow to start would be called again, and make a second login."""
    made = client("lambda").meta.config
    assert made.read_timeout == ANSWER_SECONDS and made.retries["total_max_attempts"] == 1
    assert client("dynamodb").meta.config.read_timeout <= 10
