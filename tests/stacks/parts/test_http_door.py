from pathlib import Path

from aws_cdk import App, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Match, Template

from stacks.parts.http_door import HttpDoor, HttpDoorProps


def made(tmp_path: Path) -> Template:
    stack = Stack(App(outdir=str(tmp_path)), "S")
    code = lambda_.Code.from_inline("def handler(event, context): ...")
    function = lambda_.Function(stack, "F", code=code, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_13)
    key = kms.Key(stack, "Key")
    HttpDoor(stack, "Door", HttpDoorProps("a door", function, ("/one", "/two"), key, rate=5, burst=7))
    return Template.from_stack(stack)


def test_only_the_named_paths_are_posted_to(tmp_path: Path) -> None:
    routes = made(tmp_path).find_resources("AWS::ApiGatewayV2::Route").values()
    assert sorted(route["Properties"]["RouteKey"] for route in routes) == ["POST /one", "POST /two"]


def test_all_callers_together_are_throttled_and_logged_without_what_they_bring(tmp_path: Path) -> None:
    template = made(tmp_path)
    template.has_resource_properties(
        "AWS::ApiGatewayV2::Stage",
        {"DefaultRouteSettings": {"ThrottlingRateLimit": 5, "ThrottlingBurstLimit": 7}, "StageName": "$default"},
    )
    (stage,) = template.find_resources("AWS::ApiGatewayV2::Stage").values()
    logged = stage["Properties"]["AccessLogSettings"]["Format"]
    assert "sourceIp" in logged and not [word for word in ("header", "query", "body", "authoriz") if word in logged]
    template.has_resource_properties("AWS::Logs::LogGroup", {"KmsKeyId": Match.any_value(), "RetentionInDays": 365})
