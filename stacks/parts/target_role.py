"""A role that agents get for a session: trusted by the vendor alone, and denied to sessions that have ended."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from constructs import Construct

from blastwall.config.credentials import AwsRole
from blastwall.credentials.denials import write_denials

#: A role with this path in its ARN is made here; any other is the account's own.
PATH = "/blastwall/"


@dataclass(frozen=True, slots=True)
class TargetRoleProps:
    """``role`` as the configuration has it; ``vendor`` is the only one that may assume it."""

    role: AwsRole
    vendor: iam.IRole


class TargetRole(Construct):
    """Exposes ``role`` and ``denials`` (the managed policy that the revoker rewrites, None when none is asked for).

    The role allows what any session of it may get at most; each session's own policy narrows it, and ends.
    """

    def __init__(self, scope: Construct, id: str, props: TargetRoleProps) -> None:
        super().__init__(scope, id)
        asked = props.role
        self.denials = None
        if asked.denials_policy_arn and made_here(asked.denials_policy_arn):
            self.denials = iam.ManagedPolicy(
                self,
                "Denials",
                managed_policy_name=asked.denials_policy_arn.rpartition("/")[2],
                path=PATH,
                description="denies ended sessions; rewritten by Blastwall's revoker",
                document=iam.PolicyDocument.from_json(json.loads(write_denials({}))),
            )
        self.role = iam.Role(
            self,
            "Role",
            role_name=asked.role_arn.rpartition("/")[2],
            path=PATH,
            description="for agents' sessions, by Blastwall's vendor",
            assumed_by=iam.ArnPrincipal(props.vendor.role_arn).with_session_tags(),
            max_session_duration=Duration.hours(1),
            managed_policies=[self.denials] if self.denials else [],
        )
        assert self.role.assume_role_policy is not None
        self.role.assume_role_policy.add_statements(
            iam.PolicyStatement(actions=["sts:SetSourceIdentity"], principals=[iam.ArnPrincipal(props.vendor.role_arn)])
        )
        for number, grant in enumerate(asked.allow):
            self.role.add_to_policy(
                iam.PolicyStatement(
                    sid=f"Profile{number}",
                    actions=list(grant.actions),
                    resources=list(grant.resources),
                    conditions={
                        operator: {key: list(values) for key, values in tests.items()}
                        for operator, tests in grant.conditions.items()
                    }
                    or None,
                )
            )


def made_here(arn: str) -> bool:
    """Whether the ARN's path says that it is this deployment's."""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    return kind in ("role", "policy") and f"/{name}".startswith(PATH) and name.count("/") == 1
