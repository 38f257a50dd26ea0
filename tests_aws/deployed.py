"""A deployment as CloudFormation tells it: resources by stack, type and the beginning of their logical id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3

from tests_aws.admission import Account

STACKS = ("Network", "Data", "Audit", "Credentials", "Approvals", "Gateway", "Monitoring")
ROLE = "AWS::IAM::Role"


@dataclass
class Deployed:
    """``client`` makes a boto3 client in the account's region."""

    account: Account
    _resources: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def client(self, service: str) -> Any:  # noqa: ANN401  boto3 has no types
        return boto3.client(service, region_name=self.account.region)

    def stack(self, part: str) -> str:
        return f"{self.account.name}-{part}"

    def all(self, part: str, type_: str) -> dict[str, str]:
        """Physical ids by logical ids."""
        if part not in self._resources:
            pages = (
                self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.stack(part))
            )
            self._resources[part] = [item for page in pages for item in page["StackResourceSummaries"]]
        return {
            item["LogicalResourceId"]: item["PhysicalResourceId"]
            for item in self._resources[part]
            if item["ResourceType"] == type_
        }

    def one(self, part: str, type_: str, begins: str = "") -> str:
        """The only one whose logical id begins so. Raises LookupError."""
        found = [physical for logical, physical in self.all(part, type_).items() if logical.startswith(begins)]
        if len(found) != 1:
            raise LookupError(f"{self.stack(part)} has {len(found)} of {type_} {begins}*; is it this version's?")
        return found[0]

    def roles(self) -> dict[str, str]:
        """ARNs of every role of every stack, by logical id."""
        iam = self.client("iam")
        return {
            logical: iam.get_role(RoleName=physical)["Role"]["Arn"]
            for part in STACKS
            for logical, physical in self.all(part, ROLE).items()
        }

    def may(self, role: str, action: str, resource: str = "*") -> bool:
        """What IAM's own simulator says of a role (its ARN); permission boundaries and SCPs of the account included."""
        answer = self.client("iam").simulate_principal_policy(
            PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
        )
        return bool(answer["EvaluationResults"][0]["EvalDecision"] == "allowed")
