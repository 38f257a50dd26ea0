"""The AWS clients of tasks and functions, and AWS's refusals in the house's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blastwall.aws import functions
from blastwall.errors import OurFault, UpstreamFault

_PATIENCE = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "max_attempts": 4},
    max_pool_connections=32,  # as many as threads wait for one client: others would be made and thrown away
)


def client(service: str, region: str | None = None) -> Any:  # noqa: ANN401  boto3 has no types
    """A client that gives up in time; ``region`` None: the environment's."""
    patience = functions.PATIENCE if service == "lambda" else _PATIENCE
    return boto3.client(service, config=patience, region_name=region)


def publisher(topic: str) -> Callable[[str, str], None]:
    """Publishes a subject and a text to an SNS topic; what it makes raises UpstreamFault."""
    sns = client("sns")

    def publish(subject: str, text: str) -> None:
        try:
            sns.publish(TopicArn=topic, Subject=subject, Message=text)
        except (ClientError, BotoCoreError) as fault:
            raise UpstreamFault(f"SNS refuses: {fault}") from fault

    return publish


def read_secret(arn: str) -> Mapping[str, str]:
    """The members of a secret that is a JSON object. Raises OurFault."""
    try:
        found = json.loads(client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
        return {str(name): str(value) for name, value in found.items()}
    except (ClientError, BotoCoreError, KeyError, ValueError, AttributeError) as fault:
        raise OurFault(f"the secret {arn} cannot be read as a JSON object: {type(fault).__name__}") from fault
