"""Who may do what, by IAM's own judgement of the deployed roles."""

from __future__ import annotations

import json

import pytest

from tests_aws.deployed import Deployed

BUCKET, TABLE = "AWS::S3::Bucket", "AWS::DynamoDB::Table"


def holders(deployed: Deployed, action: str) -> set[str]:
    return {name for name, arn in deployed.roles().items() if deployed.may(arn, action)}


def proxy(deployed: Deployed) -> str:
    (found,) = [arn for name, arn in deployed.roles().items() if name.startswith("TaskRole")]
    return found


@pytest.mark.parametrize(
    "action",
    [
        "iam:CreateUser",
        "iam:PassRole",
        "sts:AssumeRole",
        "states:SendTaskSuccess",
        "states:SendTaskFailure",
        "secretsmanager:GetSecretValue",
        "ec2-instance-connect:SendSSHPublicKey",
        "rds-db:connect",
    ],
)
def test_the_proxy_may_not(deployed: Deployed, action: str) -> None:
    assert not deployed.may(proxy(deployed), action)


def test_the_proxy_puts_recordings_and_nothing_else(deployed: Deployed) -> None:
    objects = f"arn:aws:s3:::{deployed.one('Data', BUCKET, 'Recordings')}/probe"
    assert deployed.may(proxy(deployed), "s3:PutObject", objects)
    for action in ("s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectRetention"):
        assert not deployed.may(proxy(deployed), action, objects), action


def test_only_decide_answers_tasks(deployed: Deployed) -> None:
    assert {name[: len("ApprovalDecide")] for name in holders(deployed, "states:SendTaskSuccess")} == {"ApprovalDecide"}


def test_agents_roles_are_taken_by_the_vendor_alone(deployed: Deployed) -> None:
    roles = deployed.roles()
    targets = [arn for name, arn in roles.items() if name.startswith("Target")]
    for target in targets:
        takers = {name for name, arn in roles.items() if deployed.may(arn, "sts:AssumeRole", target)}
        assert {name[: len("CredentialVendor")] for name in takers} == {"CredentialVendor"}, target


def test_nobody_takes_roles_at_large(deployed: Deployed) -> None:
    assert holders(deployed, "sts:AssumeRole") == set()
    assert holders(deployed, "iam:CreatePolicyVersion") == set()


def test_answering_tasks_cannot_be_limited_to_a_machine(deployed: Deployed) -> None:
    """Why approval_decide holds it for *: with a resource, IAM denies it."""
    machine = deployed.one("Approvals", "AWS::StepFunctions::StateMachine")
    for resource, decision in ((machine, "implicitDeny"), ("*", "allowed")):
        statement = {"Effect": "Allow", "Action": "states:SendTaskSuccess", "Resource": resource}
        answer = deployed.client("iam").simulate_custom_policy(
            PolicyInputList=[json.dumps({"Version": "2012-10-17", "Statement": [statement]})],
            ActionNames=["states:SendTaskSuccess"],
        )
        assert answer["EvaluationResults"][0]["EvalDecision"] == decision, resource
