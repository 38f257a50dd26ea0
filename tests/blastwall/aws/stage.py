"""AWS in this process: moto's DynamoDB, KMS, SNS and Step Functions, with the app's own tables and handlers on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto import mock_aws

REGION = "eu-central-1"
ACCOUNT = "123456789012"
TABLE = "approvals"


class Atomic:
    """A client whose calls happen one at a time: DynamoDB's single-item writes are atomic, moto's in threads are not."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(**arguments: Any) -> Any:
            with self._lock:
                return method(**arguments)

        return call


@contextmanager
def aws(monkeypatch: Any, *, machines: bool = False) -> Iterator[None]:
    """moto instead of AWS, with credentials that open nothing."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    config: Any = {"lambda": {"use_docker": False}}
    if machines:
        config["stepfunctions"] = {"execute_state_machine": True}
    with mock_aws(config=config):
        yield


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def approvals_table(dynamodb: Any) -> None:
    """The table as the stacks make it."""
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "state", "AttributeType": "S"},
            {"AttributeName": "agent", "AttributeType": "S"},
            {"AttributeName": "requested_at", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": f"by_{key}",
                "KeySchema": [
                    {"AttributeName": key, "KeyType": "HASH"},
                    {"AttributeName": "requested_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
            for key in ("state", "agent")
        ],
    )
