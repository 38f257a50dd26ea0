"""A function as all of ours are: Python 3.13 on arm64, its own role and log group, traced, alarmed when scheduled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.functions import FunctionRow

NAMESPACE = "Blastwall"
SPOOL = "/mnt/spool"  # Lambda mounts below /mnt only


@dataclass(frozen=True, slots=True)
class FunctionProps:
    """``layer`` holds the configuration; ``vpc`` and ``subnets`` are used when the row says ``network``."""

    row: FunctionRow
    name: str
    code: lambda_.Code
    layer: lambda_.ILayerVersion
    key: kms.IKey
    environment: Mapping[str, str]
    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection
    security_groups: Sequence[ec2.ISecurityGroup]
    spool: efs.IAccessPoint


class Function(Construct):
    """Exposes ``function``, ``role``, ``log_group``, and ``dead_letters`` (None unless it is scheduled)."""

    def __init__(self, scope: Construct, id: str, props: FunctionProps) -> None:
        super().__init__(scope, id)
        row = props.row
        self.row = row
        self.log_group = logs.LogGroup(
            self,
            "Log",
            retention=logs.RetentionDays.ONE_YEAR,
            encryption_key=props.key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = _role(self, self.log_group, row)
        self.dead_letters = _dead_letters(self, props.key) if row.schedule else None
        placed = row.network or row.spool
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=props.name,
            description=row.about,
            code=props.code,
            handler=row.handler,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            layers=[props.layer],
            memory_size=row.memory,
            timeout=Duration.seconds(row.timeout),
            role=self.role.without_policy_updates(),
            environment={
                **props.environment,
                "POWERTOOLS_SERVICE_NAME": row.name,
                "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
            environment_encryption=props.key,
            log_group=self.log_group,
            tracing=lambda_.Tracing.ACTIVE,
            reserved_concurrent_executions=row.concurrency or None,
            vpc=props.vpc if placed else None,
            vpc_subnets=props.subnets if placed else None,
            security_groups=props.security_groups if placed else None,
            filesystem=lambda_.FileSystem.from_efs_access_point(props.spool, SPOOL) if row.spool else None,
        )
        if self.dead_letters is not None:
            rule = events.Rule(self, "Schedule", schedule=events.Schedule.expression(row.schedule))
            target = targets.LambdaFunction(self.function, dead_letter_queue=self.dead_letters, retry_attempts=2)
            rule.add_target(target)


def _role(scope: Construct, log_group: logs.ILogGroup, row: FunctionRow) -> iam.Role:
    """Only what running takes; what the function is for is granted by its stack."""
    role = iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        description=f"{row.name}: {row.about}"[:1000],
    )
    role.add_to_policy(
        iam.PolicyStatement(
            sid="WriteOwnLog",
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[log_group.log_group_arn],
        )
    )
    role.add_to_policy(
        iam.PolicyStatement(
            sid="SendTraces", actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]
        )
    )
    if row.network or row.spool:
        role.add_to_policy(
            iam.PolicyStatement(
                sid="KeepNetworkInterface",
                actions=[
                    "ec2:CreateNetworkInterface",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSubnets",
                    "ec2:DeleteNetworkInterface",
                    "ec2:AssignPrivateIpAddresses",
                    "ec2:UnassignPrivateIpAddresses",
                ],
                resources=["*"],
            )
        )
    return role


def _dead_letters(scope: Construct, key: kms.IKey) -> sqs.Queue:
    return sqs.Queue(
        scope,
        "DeadLetters",
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        removal_policy=RemovalPolicy.DESTROY,
    )
