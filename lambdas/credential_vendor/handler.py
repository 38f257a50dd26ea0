"""Vends a credential to a live session of the token that is brought, if policy lets it connect.

JSON: ``{token, session, target, place, database_user, holder}`` to ``{credential}``, or {fault}. Over HTTP, for agents
without AWS credentials: a token and the name of an AWS role to keys, and nothing else.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from blastwall.credentials.door import STATUS, Door
from lambdas.credential_parts import Event, serve
from lambdas.http import served

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
    """See ``blastwall.credentials.door``. What fails is counted as when the gateway asks: the same alarms watch it."""
    answer = served(
        event, lambda request: serve(lambda desk: Door(desk.vend).handle(request)), "credential_door", logger, metrics
    )
    for kind in ("upstream", "ours"):
        if answer["statusCode"] == STATUS[kind]:
            metrics.add_metric(name=f"credential_vendor_{kind}", unit=MetricUnit.Count, value=1)
    return answer
