"""An alarm as all of ours are: it tells one topic, and no data is good news (unless something must be there)."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct


@dataclass(frozen=True, slots=True)
class AlarmProps:
    """``minutes``: so many of the metric's periods in a row. ``below``: it goes off under the threshold, and when there
    is no data. ``name``: a fixed one, for whoever must know the alarm without depending on it."""

    metric: cloudwatch.IMetric
    threshold: float
    about: str
    topic: sns.ITopic
    minutes: int = 1
    below: bool = False
    name: str | None = None


def alarm(scope: Construct, id: str, props: AlarmProps) -> cloudwatch.Alarm:
    """Make it."""
    operators, missing = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
    made = cloudwatch.Alarm(
        scope,
        id,
        alarm_name=props.name,
        metric=props.metric,
        threshold=props.threshold,
        evaluation_periods=props.minutes,
        comparison_operator=(
            operators.LESS_THAN_THRESHOLD if props.below else operators.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        ),
        treat_missing_data=missing.BREACHING if props.below else missing.NOT_BREACHING,
        alarm_description=props.about,
    )
    made.add_alarm_action(actions.SnsAction(props.topic))
    return made
