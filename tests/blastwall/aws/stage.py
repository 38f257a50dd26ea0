"""AWS in this process: moto's DynamoDB, KMS, SNS and Step Functions, with the app's own tables and handlers on them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend

REGION = "eu-central-1"
ACCOUNT = "123456789012"
TABLE = "approvals"
SESSIONS = "sessions"
LEASES = "leases"


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


def credential_tables(dynamodb: Any) -> None:
    """Sessions and leases as the stacks make them."""
    keys = {
        SESSIONS: (["id"], "by_agent", ["agent"], {"id": "S", "agent": "S"}),
        LEASES: (
            ["session", "lease"],
            "by_state",
            ["state", "expires_at"],
            {"session": "S", "lease": "S", "state": "S", "expires_at": "N"},
        ),
    }
    for name, (own, index, indexed, kinds) in keys.items():
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=_schema(own),
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in kinds.items()],
            GlobalSecondaryIndexes=[
                {"IndexName": index, "KeySchema": _schema(indexed), "Projection": {"ProjectionType": "ALL"}}
            ],
        )


def _schema(keys: list[str]) -> list[dict[str, str]]:
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]


ROOT = Path(__file__).parents[3]
CALLS = {"Call": "lambda:invoke", "CallAndWait": "lambda:invoke.waitForTaskToken"}
NOTIFY = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:approval_notify"


def state_machine(machines: Any) -> str:
    """The app's own definition as the stacks deploy it. Returns its ARN."""
    definition = (ROOT / "lambdas" / "approvals.asl.json").read_text()
    given = {"ApprovalNotifyArn": NOTIFY, **{name: f"arn:aws:states:::{call}" for name, call in CALLS.items()}}
    for name, value in given.items():
        definition = definition.replace(f"${{{name}}}", value)
    role = f"arn:aws:iam::{ACCOUNT}:role/machine"
    made = machines.create_state_machine(name="approvals", definition=definition, roleArn=role, type="STANDARD")
    return str(made["stateMachineArn"])


def lambdas_in_process(monkeypatch: Any, handlers: Mapping[str, Callable[[Any, Any], Any]]) -> None:
    """Functions that are called run here: their handlers by name, with faults told as Lambda tells them."""

    def invoke(
        self: Any, function_name: str, qualifier: str | None, body: Any, headers: Any, response_headers: Any
    ) -> bytes:
        name = function_name.rsplit(":", 1)[-1]
        context = SimpleNamespace(
            function_name=name, memory_limit_in_mb=256, invoked_function_arn=function_name, aws_request_id="test"
        )
        try:
            return json.dumps(handlers[name](json.loads(body or "{}"), context)).encode()
        except Exception as fault:  # noqa: BLE001 - as Lambda does
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps({"errorType": type(fault).__name__, "errorMessage": str(fault)}).encode()

    monkeypatch.setattr(LambdaSimpleBackend, "invoke", invoke)
