from pathlib import Path
from typing import Any

from aws_cdk import App, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template

from stacks.parts.alarm import AlarmProps, alarm


def made(tmp_path: Path, **more: Any) -> dict[str, Any]:
    stack = Stack(App(outdir=str(tmp_path)), "S")
    metric = cloudwatch.Metric(namespace="N", metric_name="M")
    alarm(stack, "A", AlarmProps(metric, 3, "what it means", sns.Topic(stack, "T"), **more))
    (found,) = Template.from_stack(stack).find_resources("AWS::CloudWatch::Alarm").values()
    return dict(found["Properties"])


def test_no_data_is_good_news_unless_something_must_be_there(tmp_path: Path) -> None:
    usual = made(tmp_path / "a")
    assert (usual["ComparisonOperator"], usual["TreatMissingData"]) == (
        "GreaterThanOrEqualToThreshold",
        "notBreaching",
    )
    assert (usual["EvaluationPeriods"], len(usual["AlarmActions"])) == (1, 1) and "AlarmName" not in usual
    below = made(tmp_path / "b", below=True, minutes=3, name="known")
    assert (below["ComparisonOperator"], below["TreatMissingData"]) == ("LessThanThreshold", "breaching")
    assert (below["EvaluationPeriods"], below["AlarmName"]) == (3, "known")
