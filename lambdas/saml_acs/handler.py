"""Where SAML identity providers send people back to, and the command line gets its token. HTTP in, HTTP out."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from blastwall.approvals.web import Response, from_event, to_event
from blastwall.errors import Fault
from lambdas.saml_parts import answer

Event = dict[str, Any]

logger = Logger(service="saml_acs")
tracer = Tracer(service="saml_acs")
metrics = Metrics(namespace="Blastwall", service="saml_acs")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.identity.saml_door.Door``. Assertions, codes and tokens stay out of log and trace."""
    try:
        request = from_event(event)
    except (ValueError, KeyError):
        return to_event(Response(400, b"not understood\n", "text/plain; charset=utf-8"))
    try:
        response = answer(request)
    except Fault as fault:
        logger.error("cannot work", fault=str(fault))
        response = Response(503, b"not available; try again\n", "text/plain; charset=utf-8")
    metrics.add_metric(name=f"saml_acs_{response.status}", unit=MetricUnit.Count, value=1)
    logger.info("done", method=request.method, status=response.status)
    return to_event(response)
