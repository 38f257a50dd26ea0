"""The approval page: HTTP in, HTTP out. It decides nothing itself: a ballot goes to approval_decide with its token."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.approval_desk import desk
from lambdas.approval_parts import Event
from lambdas.http import served
from lambdas.loop import run

logger = Logger(service="approval_page")
tracer = Tracer(service="approval_page")
metrics = Metrics(namespace="Blastwall", service="approval_page")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.approvals.desk.Desk``. Cookies, forms and pages stay out of log and trace."""
    return served(event, lambda request: run(desk().handle(request)), "approval_page", logger, metrics)
