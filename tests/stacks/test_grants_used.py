"""Grants and code say the same: no action that nothing calls, no call that nobody may make.

Which role holds which word is tried with IAM enforced (tests/e2e/test_cloud.py); here it is the vocabulary as a whole.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import boto3
from botocore import xform_name

from stacks.grants import VOCABULARY

ROOT = Path(__file__).parents[2]
SHIPPED = ("blastwall", "lambdas", "fargate_proxy")
#: Run with the AWS credentials of the person who runs them, never with a role of the stacks.
PEOPLES = {"blastwall/aws/doctor.py", "blastwall/aws/operations.py", "blastwall/aws/shelf.py"}
#: Clients that shipped code makes, and what IAM calls their actions where it does not call them after the client.
SERVICES = {
    "dynamodb": "dynamodb",
    "s3": "s3",
    "kms": "kms",
    "lambda": "lambda",
    "sts": "sts",
    "iam": "iam",
    "sns": "sns",
    "stepfunctions": "states",
    "secretsmanager": "secretsmanager",
    "logs": "logs",
    "cloudtrail-data": "cloudtrail-data",
    "ec2-instance-connect": "ec2-instance-connect",
}
#: What an operation takes, where that is not an action of the same name.
TAKES = {
    "dynamodb:TransactWriteItems": {
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:ConditionCheckItem",
    },
    "lambda:Invoke": {"lambda:InvokeFunction"},
    "s3:ListObjectsV2": {"s3:ListBucket"},
    "s3:HeadObject": {"s3:GetObject"},
    "sts:AssumeRole": {"sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"},
}
#: Called by nothing of ours with a client, but taken all the same.
BESIDES = {
    "kms:Decrypt": "tables, objects and queues under the data key",
    "kms:GenerateDataKey": "the same",
    "elasticfilesystem:ClientMount": "the platform mounts the spool",
    "elasticfilesystem:ClientWrite": "the same",
    "ecs:UpdateTaskProtection": "fargate_proxy/pulse.py, through the task's agent",
    "rds-db:connect": "tokens are signed here and tried by the database",
}
#: Whoever scans a table is a person; see docs/credentials.md.
BY_PEOPLE = {"dynamodb:Scan"}

#: Methods of one word; others of one word (``get``, ``list``) are everybody's.
WORDS = {"sign", "invoke", "encrypt", "decrypt", "publish", "query", "scan"}


@cache
def operations() -> dict[str, set[str]]:
    """Methods of clients to the operations that they may be: ``get_item`` to ``dynamodb:GetItem``."""
    found: dict[str, set[str]] = {}
    session = boto3.session.Session(region_name="eu-west-1")
    for client, prefix in SERVICES.items():
        model = session.client(client, aws_access_key_id="x", aws_secret_access_key="x").meta.service_model
        for name in ["Invoke"] if client == "lambda" else model.operation_names:  # its GetPolicy is IAM's, too
            found.setdefault(xform_name(name), set()).add(f"{prefix}:{name}")
    return found


def called() -> dict[str, str]:
    """Operations that shipped code calls, each with a place: attributes and texts that name a client's method."""
    found: dict[str, str] = {}
    for package in SHIPPED:
        for path in sorted((ROOT / package).rglob("*.py")):
            place = str(path.relative_to(ROOT))
            text = path.read_text("utf-8")
            if place in PEOPLES or not ("boto" in text or place.startswith("blastwall/aws/")):
                continue
            for node in ast.walk(ast.parse(text)):
                name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
                if isinstance(name, str) and ("_" in name or name in WORDS):
                    for operation in operations().get(name, ()):
                        found.setdefault(operation, f"{place}:{node.lineno}")
    return found


def granted() -> set[str]:
    return {action for row in VOCABULARY.values() for action in row["actions"]}


def test_every_call_is_somebodys_to_make() -> None:
    allowed = granted() | BY_PEOPLE
    missing = {
        action: place
        for operation, place in called().items()
        for action in TAKES.get(operation, {operation})
        if action not in allowed
    }
    assert missing == {}


def test_every_action_is_called_by_something() -> None:
    taken = {action for operation in called() for action in TAKES.get(operation, {operation})}
    assert granted() - taken - BESIDES.keys() == set()
    assert BESIDES.keys() <= granted()


def test_the_search_finds_calls_of_each_kind() -> None:
    """It would prove nothing if it found nothing: a method, a text, a client's method that is passed on."""
    found = called()
    for operation in ("s3:PutObject", "dynamodb:BatchGetItem", "iam:CreatePolicyVersion", "kms:Encrypt", "sns:Publish"):
        assert operation in found, operation
