import asyncio
import io
import json
import re
import tomllib
from pathlib import Path

import blastwall.audit
from fargate_proxy.failures import EVENT
from fargate_proxy.pulse import SERVICE, Pulse
from stacks.monitoring import ALARMS
from tests.stacks.deployment import Deployment

AUDIT_MAP = tomllib.loads(Path(blastwall.audit.__file__).with_name("audit_map.toml").read_text())


def alarms(deployment: Deployment) -> dict[str, dict]:
    return deployment.properties("AWS::CloudWatch::Alarm")


def own(deployment: Deployment) -> dict[str, dict]:
    """Those that stand beside the topic."""
    return deployment.properties("AWS::CloudWatch::Alarm", "Monitoring")


def test_every_alarm_tells_somebody_and_says_what_it_means(every: list[Deployment]) -> None:
    for deployment in every:
        for name, alarm in alarms(deployment).items():
            assert len(alarm["AlarmActions"]) == 1, name
            assert len(alarm["AlarmDescription"].split()) >= 4, name
            below = alarm["ComparisonOperator"].startswith("LessThan")
            assert alarm["TreatMissingData"] == ("breaching" if below else "notBreaching"), name


def test_alarms_may_publish_to_their_topic(every: list[Deployment]) -> None:
    """A topic that has a policy of its own (TLS only) takes nothing of CloudWatch's unless it says so."""
    for deployment in every:
        told = {json.dumps(action) for alarm in own(deployment).values() for action in alarm["AlarmActions"]}
        policies = [
            statement
            for policy in deployment.properties("AWS::SNS::TopicPolicy").values()
            for statement in policy["PolicyDocument"]["Statement"]
            if statement.get("Principal") == {"Service": "cloudwatch.amazonaws.com"}
        ]
        assert {json.dumps(statement["Resource"]) for statement in policies} == told and len(told) == 1
        for statement in policies:
            assert (statement["Effect"], statement["Action"]) == ("Allow", "sns:Publish")
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_alarms_of_other_stacks_tell_the_same_topic_by_its_name(every: list[Deployment]) -> None:
    for deployment in every:
        (topic,) = deployment.properties("AWS::SNS::Topic", "Monitoring").values()
        elsewhere = deployment.properties("AWS::CloudWatch::Alarm", "Gateway")
        assert elsewhere and not elsewhere.keys() & own(deployment).keys()
        board = json.dumps(deployment.properties("AWS::CloudWatch::Dashboard"))
        for alarm in elsewhere.values():
            ((_, parts),) = [action["Fn::Join"] for action in alarm["AlarmActions"]]
            assert parts[0] == "arn:" and parts[2] == ":sns:" and parts[-1] == f":{topic['TopicName']}"
            assert alarm["AlarmName"] in board, "they are shown with the others"


def test_a_protocol_that_nobody_serves_is_noticed(deployed: Deployment) -> None:
    """Tasks that are gone are not unhealthy: they are not there at all, and neither are data about them."""
    groups = [id.removesuffix("Targets") for id in deployed.properties("AWS::ElasticLoadBalancingV2::TargetGroup")]
    assert groups
    for protocol in groups:
        alarm = alarms(deployed)[f"{protocol}Unserved"]
        assert (alarm["MetricName"], alarm["Threshold"]) == ("HealthyHostCount", 1)
        assert alarm["ComparisonOperator"] == "LessThanThreshold" and alarm["TreatMissingData"] == "breaching"


def test_one_unhealthy_task_is_noticed_whichever_zone_it_is_in(deployed: Deployment) -> None:
    """Each zone of the load balancer counts for itself: their average is less than one."""
    found = [alarm for name, alarm in alarms(deployed).items() if name.endswith("Unhealthy")]
    assert found and all((alarm["Statistic"], alarm["Threshold"]) == ("Maximum", 1) for alarm in found)


def test_functions_that_are_not_started_at_all_are_noticed(deployed: Deployment) -> None:
    """They raise nothing, and say nothing."""
    alarm = alarms(deployed)["FunctionsThrottled"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/Lambda", "Throttles", "Sum")
    assert "Dimensions" not in alarm  # what is used up is the account's


def test_the_gateways_own_alarm_is_of_a_metric_that_it_writes(deployed: Deployment) -> None:
    out = io.StringIO()
    asyncio.run(Pulse(lambda: 0, lambda: 0.0, out, certificate_ends=1.0).beat())
    written = json.loads(out.getvalue())
    for name, row in ALARMS.items():
        if row.get("service") == SERVICE:
            assert written[row["metric"]] >= row["threshold"]
            assert alarms(deployed)[name]["Dimensions"] == [{"Name": "service", "Value": written["service"]}]


def test_the_table_of_alarms_is_deployed_for_the_functions_that_are(deployed: Deployment) -> None:
    handlers = {item["Handler"].split(".")[1] for item in deployed.properties("AWS::Lambda::Function").values()}
    for name, row in ALARMS.items():
        made = alarms(deployed).get(name)
        assert (made is not None) == ("log" in row or row["service"] in {SERVICE, *handlers}), name
        if made is not None:
            assert (made["Namespace"], made["MetricName"]) == ("Blastwall", row["metric"])
            service = [] if "log" in row else [{"Name": "service", "Value": row["service"]}]
            assert made.get("Dimensions", []) == service


def test_what_is_counted_in_logs_is_what_is_written_there(deployed: Deployment) -> None:
    filters = {
        item["MetricTransformations"][0]["MetricName"]: item
        for item in deployed.properties("AWS::Logs::MetricFilter").values()
    }
    for row in ALARMS.values():
        if "log" in row:
            assert filters[row["metric"]]["FilterPattern"] == row["pattern"]
            assert row["log"].capitalize() in str(filters[row["metric"]]["LogGroupName"])
    assert EVENT in ALARMS["RecordingFailed"]["pattern"]
    named = {match for row in ALARMS.values() for match in re.findall(r'event = "(\w+)"', row.get("pattern", ""))}
    assert named and named <= set(AUDIT_MAP["severity"])


def test_each_function_that_fails_and_each_run_that_was_given_up_is_noticed(deployed: Deployment) -> None:
    for id in deployed.properties("AWS::Lambda::Function"):
        assert f"{id.removesuffix('Function')}Errors" in alarms(deployed)
    queues = deployed.properties("AWS::SQS::Queue")
    for id in queues:
        assert f"{id.removesuffix('DeadLetters')}Undelivered" in alarms(deployed)


def test_an_address_is_subscribed_where_one_is_given(deployed: Deployment, given: Deployment) -> None:
    assert not deployed.all("AWS::SNS::Subscription")
    (subscription,) = given.properties("AWS::SNS::Subscription").values()
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "oncall@example.com")
