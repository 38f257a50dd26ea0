"""Vends a credential to a live session of the token that is brought, if policy lets it connect.

JSON: ``{token, session, target, place, database_user, holder}`` to ``{credential}``, or {fault}. Over HTTP, for agents
without AWS credentials: a token and the name of an AWS role to keys, and nothing else.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from blastwall.approvals.web import Response, from_event, to_event
from blastwall.credentials.door import Door
from lambdas.credential_parts import Event, serve

logger = Logger(service="credential_vendor")
tracer = Tracer(service="credential_vendor")
metrics = Metrics(namespace="Blastwall", service="credential_vendor")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.credentials.desk.Desk.vend``. Tokens and secrets stay out of log and trace."""
    if "requestContext" in event:
        return _http(event)
    logger.append_keys(session=event.get("session"), target=event.get("target"))
    answer = serve(lambda desk: desk.vend(event))
    fault = answer.get("fault", {}).get("kind")
    metrics.add_metric(name=f"credential_vendor_{fault or 'done'}", unit=MetricUnit.Count, value=1)
    logger.info("done", fault=fault)
    return answer


def _http(event: Event) -> dict[str, Any]:
    """See ``blastwall.credentials.door``. Whoever asks is a stranger: what is not understood costs next to nothing."""
    try:
        request = from_event(event)
    except (ValueError, KeyError):
        response = Response(400, b"not understood\n", "text/plain; charset=utf-8")
    else:
        response = serve(lambda desk: Door(desk.vend).handle(request))
    metrics.add_metric(name=f"credential_door_{response.status}", unit=MetricUnit.Count, value=1)
    logger.info("done", status=response.status)
    return to_event(response)
