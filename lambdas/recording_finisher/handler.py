"""Every minute: what dead tasks left of their recordings is completed, signed and put where it belongs."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from blastwall.aws.finisher import AwsFinisher, compose_finisher
from blastwall.local.clock import SystemClock
from blastwall.settings import RecordingSettings

logger = Logger(service="recording_finisher")
tracer = Tracer(service="recording_finisher")
metrics = Metrics(namespace="Blastwall", service="recording_finisher")

#: Left of the function's time for the recording that is at hand when no other is begun (seconds).
RESERVE = 15.0


@cache
def finisher() -> AwsFinisher:
    """Made once. Raises ValueError naming what the environment lacks, RecordingFault when KMS does not answer."""
    return compose_finisher(RecordingSettings.from_env(os.environ), SystemClock())


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.aws.finisher``. The event says nothing: a run finds by itself what there is to do."""
    report = finisher().run(max(context.get_remaining_time_in_millis() / 1000 - RESERVE, 1.0))
    for id, problem in report.problems.items():
        logger.error("a recording cannot be completed", recording=id, problem=problem)
    metrics.add_metric(name="RecordingFailed", unit=MetricUnit.Count, value=len(report.problems))
    metrics.add_metric(name="RecordingCompleted", unit=MetricUnit.Count, value=len(report.completed))
    done = {"completed": report.completed, "problems": report.problems, "unfinished": report.unfinished}
    logger.info("done", completed=len(report.completed), shipped=report.shipped, unfinished=report.unfinished)
    return done
