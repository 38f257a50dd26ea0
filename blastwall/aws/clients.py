"""The AWS clients of the approval functions, and AWS's refusals in the house's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blastwall.errors import OurFault, UpstreamFault

_PATIENCE = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 4})


def client(service: str, region: str | None = None) -> Any:  # noqa: ANN401  boto3 has no types
    """A client that gives up in time; ``region`` None: the environment's."""
    return boto3.client(service, config=_PATIENCE, region_name=region)


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


def invoker(functions: Mapping[str, str]) -> Callable[[str, Mapping[str, Any]], Mapping[str, Any]]:
    """Calls a function by the house's name for it (``functions``: name to AWS's). What it makes raises OurFault."""
    lambdas = client("lambda")

    def invoke(name: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            answer = lambdas.invoke(FunctionName=functions[name], Payload=json.dumps(dict(event)).encode())
            found = json.loads(answer["Payload"].read())
        except (ClientError, BotoCoreError, ValueError) as fault:
            raise OurFault(f"the function {name} does not answer: {type(fault).__name__}") from fault
        if "FunctionError" in answer or not isinstance(found, dict):
            raise OurFault(f"the function {name} failed; see its log")
        return found

    return invoke
