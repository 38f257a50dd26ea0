"""The approval page: HTTP in, HTTP out. It decides nothing itself: a ballot goes to approval_decide with its token."""

from __future__ import annotations

import asyncio
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from blastwall.approvals.web import Response, from_event, to_event
from lambdas.approval_desk import desk
from lambdas.approval_parts import Event

logger = Logger(service="approval_page")
tracer = Tracer(service="approval_page")
metrics = Metrics(namespace="Blastwall", service="approval_page")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.approvals.desk.Desk``. Cookies, forms and pages stay out of log and trace."""
    try:
        request = from_event(event)
    except (ValueError, KeyError):
        return to_event(Response(400, b"not understood\n", "text/plain; charset=utf-8"))
    response = asyncio.run(desk().handle(request))
    metrics.add_metric(name=f"approval_page_{response.status}", unit=MetricUnit.Count, value=1)
    logger.info("done", method=request.method, status=response.status)
    return to_event(response)
