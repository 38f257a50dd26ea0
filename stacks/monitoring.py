"""What is watched: the alarms of ``alarms.toml`` and of the parts themselves, told to one topic, and a dashboard.

What a configuration may drop again (a function, a protocol) is known here by its name, never by a reference: what this
stack imports, no other can let go of before this one is deployed, which is last.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.approvals import ApprovalsStack
from stacks.audit import AuditStack
from stacks.function_stack import Foundation, FunctionStack
from stacks.gateway import SERVICE, GatewayStack
from stacks.parts.alarm import AlarmProps, alarm
from stacks.parts.function import NAMESPACE, Function

ALARMS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("alarms.toml").read_text("utf-8"))


class MonitoringStack(Stack):
    """Exposes ``topic``, ``alarms`` by name (those that other stacks made, too), and ``dashboard``."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        ground: Foundation,
        staffed: tuple[FunctionStack, ...],
        audit: AuditStack,
        approvals: ApprovalsStack,
        gateway: GatewayStack,
    ) -> None:
        super().__init__(scope, id, description="Blastwall: alarms and dashboard", analytics_reporting=False)
        key = kms.Key.from_key_arn(self, "DataKey", ground.data.key.key_arn)
        self.topic = sns.Topic(
            self,
            "Topic",
            topic_name=ground.alarms_topic_name,
            display_name="Blastwall alarms",
            master_key=key,
            enforce_ssl=True,
        )
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",  # a topic with a policy of its own takes nothing that it does not name
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        if ground.blueprint.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(ground.blueprint.alarm_email))
        functions = [function for stack in staffed for function in stack.functions.values()]
        present = {SERVICE, *(function.row.name for function in functions)}
        self.alarms: dict[str, cloudwatch.IAlarm] = {
            id: cloudwatch.Alarm.from_alarm_name(self, id, name) for id, name in gateway.alarms.items()
        }
        sources = {"gateway": gateway.log_group, "audit": audit.log_group}
        for name, row in ALARMS.items():
            if "log" in row:
                metric = self._counted(name, row, sources[row["log"]])
            elif row["service"] in present:
                metric = _own(row["metric"], row["service"], row["period"])
            else:
                continue
            self._alarm(name, metric, row["threshold"], row["about"])
        names = [ground.function_name(function.row.name) for function in functions]
        for function, name in zip(functions, names, strict=True):
            self._watch(function, name)
        self._alarm(
            "FunctionsThrottled",
            lambda_.Function.metric_all_throttles(period=Duration.minutes(5)),
            1,
            "the account's functions at once are used up: nobody can connect, decide or be revoked meanwhile",
        )
        if approvals.machine is not None:
            self._alarm(
                "ApprovalsBroken",
                approvals.machine.metric_failed(period=Duration.minutes(5)),
                1,
                "an approval's execution failed",
            )
        self.dashboard = self._dashboard(names, gateway)

    def _counted(self, name: str, row: dict[str, Any], log: logs.ILogGroup) -> cloudwatch.Metric:
        """A metric of the lines of a log that match the row's pattern."""
        logs.MetricFilter(
            self,
            f"{name}Filter",
            log_group=log,
            filter_pattern=logs.FilterPattern.literal(row["pattern"]),
            metric_namespace=NAMESPACE,
            metric_name=row["metric"],
            metric_value="1",
        )
        return _own(row["metric"], "", row["period"])

    def _watch(self, function: Function, name: str) -> None:
        title, row = function.row.title, function.row
        self._alarm(f"{title}Errors", _of_function("Errors", name), 1, f"{row.name} raised: {row.about}")
        if function.dead_letters is not None:
            waiting = function.dead_letters.metric_approximate_number_of_messages_visible(period=Duration.minutes(5))
            self._alarm(f"{title}Undelivered", waiting, 1, f"runs of {row.name} were given up")

    def _alarm(self, name: str, metric: cloudwatch.IMetric, threshold: float, about: str) -> None:
        self.alarms[name] = alarm(self, name, AlarmProps(metric, threshold, about, self.topic))

    def _dashboard(self, functions: list[str], gateway: GatewayStack) -> cloudwatch.Dashboard:
        board = cloudwatch.Dashboard(self, "Dashboard", default_interval=Duration.hours(3))
        board.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(self.alarms.values()), width=24, height=4)
        )
        board.add_widgets(
            _graph("Live connections", [_own("LiveConnections", SERVICE, 1, cloudwatch.Stats.AVERAGE)]),
            _graph("Tasks", [gateway.service.metric_cpu_utilization(), gateway.service.metric_memory_utilization()]),
            _graph("Refused statements", [_own("StatementDenied", "", 1)]),
        )
        board.add_widgets(
            _graph("Functions: errors", [_of_function("Errors", name) for name in functions]),
            _graph(
                "Functions: milliseconds",
                [_of_function("Duration", name, cloudwatch.Stats.AVERAGE) for name in functions],
            ),
            _graph("Load balancer", [gateway.balancer.metrics.new_flow_count()]),
        )
        return board


def _own(metric: str, service: str, minutes: int, statistic: str = cloudwatch.Stats.SUM) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=metric,
        dimensions_map={"service": service} if service else None,
        statistic=statistic,
        period=Duration.minutes(minutes),
    )


def _of_function(metric: str, name: str, statistic: str = cloudwatch.Stats.SUM) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/Lambda",
        metric_name=metric,
        dimensions_map={"FunctionName": name},
        statistic=statistic,
        period=Duration.minutes(5),
    )


def _graph(title: str, metrics: list[Any]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=metrics, width=8, height=6)
