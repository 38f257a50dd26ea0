"""Which wildcards the policies have, and what becomes of one that nobody explained."""

import json
from pathlib import Path

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_iam as iam

from stacks.wildcards import TABLE, Wildcard, Wildcards, flattened, wildcards
from tests.stacks.deployment import Deployment, listed


def policies(deployment: Deployment) -> list[dict]:
    return [policy["PolicyDocument"] for policy in deployment.properties("AWS::IAM::Policy").values()]


def test_no_action_of_any_role_is_a_wildcard(every: list[Deployment]) -> None:
    for deployment in every:
        for role, statements in deployment.roles.items():
            if role.startswith("Target"):
                continue  # what an operator gives an agent's role is theirs to say
            for statement in statements:
                assert not [action for action in listed(statement["Action"]) if "*" in action], role


def test_every_wildcard_is_explained_and_every_explanation_needed(every: list[Deployment]) -> None:
    found = {wildcard for deployment in every for document in policies(deployment) for wildcard in wildcards(document)}
    assert found
    assert [wildcard for wildcard in found if wildcard.reason is None] == []
    assert {wildcard.statement.rstrip("0123456789") for wildcard in found} == set(TABLE)
    assert all(len(row["reason"].split()) > 8 for row in TABLE.values())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("arn:x/*", "arn:x/*"),
        ({"Ref": "A"}, "<A>"),
        ({"Fn::GetAtt": ["T", "Arn"]}, "<T.Arn>"),
        ({"Fn::Join": ["", [{"Fn::ImportValue": "S:E"}, "/index/*"]]}, "S:E/index/*"),
        ({"Fn::Sub": "arn:${AWS::Partition}:s3:::b/*"}, "arn:<AWS::Partition>:s3:::b/*"),
        ({"Fn::Select": [0, []]}, "<Fn::Select>"),
    ],
)
def test_references_are_written_as_the_checks_write_them(value: object, text: str) -> None:
    assert flattened(value) == text


def test_a_wildcard_of_another_statement_or_another_resource_is_unexplained() -> None:
    assert Wildcard("SendTraces", "Resource", "*").reason
    assert Wildcard("WriteRecordings", "Resource", "*").reason is None
    assert Wildcard("SendTraces", "Action", "xray:*").reason is None
    assert Wildcard("Unlisted", "Resource", "*").reason is None
    assert list(wildcards({"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]})) == []


def test_an_unexplained_wildcard_stops_synthesis(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path))
    stack = Stack(app, "S")
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    role.add_to_policy(iam.PolicyStatement(sid="Greedy", actions=["s3:GetObject"], resources=["*"]))
    Validations.of(app).add_plugins(Wildcards())
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    report = (tmp_path / "validation-report.json").read_text()
    assert "Greedy allows *" in report and json.loads(report)
