"""An HTTP API in front of one function: some paths, few requests a second, a log of who asked and no more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

#: What is logged of each request: neither its query nor a header, where a token or a code could be.
ACCESS_LOG = {
    name: f"$context.{name}"
    for name in ("requestId", "requestTime", "identity.sourceIp", "httpMethod", "path", "status", "responseLatency")
}

#: HTTP APIs wait 30 s at most: no function behind one may run for as long, or its work would go on unanswered.
WAIT = Duration.seconds(29)


@dataclass(frozen=True, slots=True)
class HttpDoorProps:
    """``paths`` are POSTed to. ``rate`` requests a second on average, ``burst`` at once: of all callers together."""

    about: str
    function: lambda_.IFunction
    paths: Sequence[str]
    key: kms.IKey
    rate: int
    burst: int


class HttpDoor(Construct):
    """Exposes ``url``. Nobody is asked for AWS credentials here: the function verifies whatever it is sent."""

    def __init__(self, scope: Construct, id: str, props: HttpDoorProps) -> None:
        super().__init__(scope, id)
        api = apigateway.HttpApi(self, "Api", description=props.about, create_default_stage=False)
        open_stage(self, "", api, props.key, ACCESS_LOG, props.rate, props.burst)
        integration = integrations.HttpLambdaIntegration("Integration", props.function, timeout=WAIT)
        for path in props.paths:
            api.add_routes(path=path, methods=[apigateway.HttpMethod.POST], integration=integration)
        self.url = api.api_endpoint


def open_stage(
    scope: Construct,
    prefix: str,
    api: apigateway.HttpApi,
    key: kms.IKey,
    said: Mapping[str, str],
    rate: int,
    burst: int,
) -> None:
    """The API's only stage: throttled (of all callers together), and each request logged with what ``said`` names."""
    log = logs.LogGroup(
        scope,
        f"{prefix}Log",
        retention=logs.RetentionDays.ONE_YEAR,
        encryption_key=key,
        removal_policy=RemovalPolicy.DESTROY,
    )
    apigateway.CfnStage(
        scope,
        f"{prefix}Stage",
        api_id=api.api_id,
        stage_name="$default",
        auto_deploy=True,
        default_route_settings=apigateway.CfnStage.RouteSettingsProperty(
            throttling_rate_limit=rate, throttling_burst_limit=burst
        ),
        access_log_settings=apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=log.log_group_arn, format=json.dumps(said)
        ),
    )
