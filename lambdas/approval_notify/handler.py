"""A step of the state machine: keep its task token, tell people, or find out what was decided."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.approval_parts import Event, office

logger = Logger(service="approval_notify")
tracer = Tracer(service="approval_notify")
metrics = Metrics(namespace="Blastwall", service="approval_notify")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.aws.office.Office.notify``. Statements and tokens stay out of log and trace."""
    logger.append_keys(approval=event.get("id"))
    answer = office().notify(event)
    outcome = answer.get("state") or next(iter(answer), "nothing")  # approval_notify_expired has an alarm
    metrics.add_metric(name=f"approval_notify_{outcome}", unit=MetricUnit.Count, value=1)
    logger.info("done", outcome=outcome, state=answer.get("state"))
    return answer
