"""Approvals: the state machine that waits for people, its functions, the page, and who is told."""

from __future__ import annotations

import re
from pathlib import Path

from aws_cdk import ArnFormat, CfnOutput, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from blastwall.approvals.sign_in import CALLBACK
from stacks.function_stack import Foundation, FunctionStack
from stacks.functions import FunctionRow
from stacks.grants import grant
from stacks.parts.http_door import WAIT, open_stage

DEFINITION = Path("lambdas/approvals.asl.json")
PAGE = "approval_page"
SAML = "saml_acs"
SLACK = "/slack"  # of the page, where Slack calls back
#: What is logged of each request for the page: never its query, which could hold a sign-in's code.
ACCESS_LOG = {
    name: f"$context.{name}"
    for name in ("requestId", "requestTime", "identity.sourceIp", "httpMethod", "status", "responseLatency")
}
#: What a state does with a function, as Step Functions names it in each partition.
CALLS = {"Call": "lambda:invoke", "CallAndWait": "lambda:invoke.waitForTaskToken"}
_PLACEHOLDER = re.compile(r"\$\{([A-Za-z]+)\}")
_FUNCTION = re.compile(r"^([A-Za-z]+)Arn$")


class ApprovalsStack(FunctionStack):
    """Exposes ``functions``, ``topic`` (who waits is published there), ``machine`` and ``api`` (the page).

    The machine's name is fixed: functions know its ARN without depending on it, and it may name them.
    """

    def __init__(self, scope: Construct, id: str, ground: Foundation) -> None:
        super().__init__(scope, id, "approvals", ground)
        values, rows = ground.values, self.rows("approvals")
        if not ground.blueprint.bundle.config.identity.saml:
            rows = [row for row in rows if row.name != SAML]  # nobody signs in by it: then nothing listens for it
        name = f"{ground.blueprint.name}-approvals".lower()
        self.topic = sns.Topic(self, "Topic", display_name="Blastwall approvals", master_key=self.key, enforce_ssl=True)
        machine_arn = self.format_arn(
            service="states", resource="stateMachine", resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
        )
        values.put("topic_arn", self.topic.topic_arn)
        values.put("state_machine_arn", machine_arn)
        values.own("approvals-topic", self.topic.topic_arn)
        values.own("approvals-machine", machine_arn)
        values.own("any", "*")
        arns = {row.title: self._arn(row) for row in rows}
        called = ("approval_request", "approval_decide")  # to file, and to say that a request is over
        values.own("approvals-functions", *(arns[row.title] for row in rows if row.name in called))
        values.own("decide-function", *(arns[row.title] for row in rows if row.name == "approval_decide"))
        values.put("decide_function", ground.function_name("approval_decide"))
        values.put("secrets_arn", ground.blueprint.approval_secret)
        values.own("approval-secrets", *filter(None, [ground.blueprint.approval_secret]))
        self.api = self._api() if any(row.name == PAGE for row in rows) else None
        if self.api is not None:
            values.put("page_url", self.api.api_endpoint)
        self.build(rows)
        CfnOutput(self, "TopicArn", value=self.topic.topic_arn, description="subscribe whoever is to be told by mail")
        if self.api is not None:
            self._serve(self.api)
            self._tell(self.api.api_endpoint)
        definition = ground.root / DEFINITION
        self.machine = self._machine(name, definition.read_text("utf-8"), arns) if definition.is_file() else None

    def _arn(self, row: FunctionRow) -> str:
        return self.format_arn(service="lambda", resource=f"function:{self.ground.function_name(row.name)}")

    def _machine(self, name: str, definition: str, arns: dict[str, str]) -> sfn.StateMachine:
        """Raises LookupError for a placeholder of the definition that means nothing here."""
        ground = self.ground
        given, invoked = {}, []
        for placeholder in sorted(set(_PLACEHOLDER.findall(definition))):
            function = _FUNCTION.match(placeholder)
            if function and function[1] in arns:
                given[placeholder] = arns[function[1]]
                invoked.append(arns[function[1]])
            elif placeholder in CALLS:
                given[placeholder] = f"arn:{self.partition}:states:::{CALLS[placeholder]}"
            elif placeholder == "ApprovalsTable":
                given[placeholder] = ground.data.tables["approvals"].table_name
            else:
                known = ", ".join(("a function's ARN", "ApprovalsTable", *CALLS))
                raise LookupError(f"{DEFINITION}: ${{{placeholder}}} is none of {known}")
        role = iam.Role(
            self,
            "MachineRole",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self.account}}
            ),
            description="the approvals state machine: it calls its functions and reads what was decided",
        )
        if invoked:
            statement = iam.PolicyStatement(
                sid="CallFunctions", actions=["lambda:InvokeFunction"], resources=sorted(set(invoked))
            )
            role.add_to_policy(statement)
        if "ApprovalsTable" in given:
            grant(role, ("read-approvals", "use-data-key"), ground.values)
        log = logs.LogGroup(
            self,
            "MachineLog",
            log_group_name=f"/aws/vendedlogs/states/{name}",
            retention=logs.RetentionDays.ONE_YEAR,
            encryption_key=self.key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        machine = sfn.StateMachine(
            self,
            "Machine",
            state_machine_name=name,
            state_machine_type=sfn.StateMachineType.STANDARD,
            definition_body=sfn.DefinitionBody.from_string(definition),
            definition_substitutions=given,
            role=role,
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=log,
                level=sfn.LogLevel.ALL,
                include_execution_data=False,  # statements and reasons stay out of a log that more people read
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        for made in self.functions.values():
            machine.node.add_dependency(made.function)
        self._announce(machine)
        return machine

    def _announce(self, machine: sfn.StateMachine) -> None:
        """EventBridge publishes with a role: in its own name it could not where the topic's key asks for the source's
        account, which it does not say to KMS ("EventBridge-to-encrypted topics", SNS Developer Guide)."""
        role = iam.Role(
            self,
            "BrokenRole",
            assumed_by=iam.ServicePrincipal(
                "events.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self.account}}
            ),
            description="tells who approves that an execution broke",
        )
        grant(role, ("tell-approvers", "use-data-key"), self.ground.values)
        events.Rule(
            self,
            "Broken",
            description="an approval's execution broke: nobody can decide it any more",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={"status": ["FAILED", "TIMED_OUT", "ABORTED"], "stateMachineArn": [machine.state_machine_arn]},
            ),
            targets=[targets.SnsTopic(self.topic, role=role.without_policy_updates())],
        )

    def _api(self) -> apigateway.HttpApi:
        return apigateway.HttpApi(self, "Page", description="Blastwall's approval page", create_default_stage=False)

    def _tell(self, page: str) -> None:
        """Outputs: the page's address, and what identity provider and Slack want to be told of it."""
        approvals = self.ground.blueprint.bundle.config.approvals
        CfnOutput(self, "PageUrl", value=page, description="where people decide; BLASTWALL_PAGE of `blastwall login`")
        if approvals.page.sign_in is not None:
            CfnOutput(
                self, "SignInRedirectUri", value=page + CALLBACK, description="of the page's OpenID Connect client"
            )
        if approvals.notify.slack is not None:
            CfnOutput(self, "SlackRequestUrl", value=page + SLACK, description="Slack: Interactivity, Request URL")

    def _serve(self, api: apigateway.HttpApi) -> None:
        """Every path goes to the page's function, which signs people in itself; requests are logged and limited."""
        open_stage(self, "Page", api, self.key, ACCESS_LOG, 20, 40)
        integration = integrations.HttpLambdaIntegration("PageIntegration", self.functions[PAGE].function, timeout=WAIT)
        if SAML in self.functions:
            # A longer path is preferred. Providers post there from elsewhere, which the page itself would refuse.
            api.add_routes(
                path="/saml/{proxy+}",
                methods=[apigateway.HttpMethod.GET, apigateway.HttpMethod.POST],
                integration=integrations.HttpLambdaIntegration(
                    "SamlIntegration", self.functions[SAML].function, timeout=WAIT
                ),
            )
        for path in ("/", "/{proxy+}"):  # a greedy path matches everything but nothing at all
            api.add_routes(
                path=path, methods=[apigateway.HttpMethod.GET, apigateway.HttpMethod.POST], integration=integration
            )
