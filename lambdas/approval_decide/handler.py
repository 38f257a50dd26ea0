"""A person's answer, or word that a request is over. The only function that may answer tasks."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.approval_parts import Event, office

logger = Logger(service="approval_decide")
tracer = Tracer(service="approval_decide")
metrics = Metrics(namespace="Blastwall", service="approval_decide")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.aws.office.Office.decide``. Statements and tokens stay out of log and trace."""
    logger.append_keys(approval=event.get("id") or event.get("answer"))
    answer = office().decide(event)
    outcome = next(iter(answer), "nothing")
    metrics.add_metric(name=f"approval_decide_{outcome}", unit=MetricUnit.Count, value=1)
    logger.info("done", outcome=outcome, state=answer.get("state"))
    return answer
