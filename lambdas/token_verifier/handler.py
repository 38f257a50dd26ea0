"""Verifies an agent's token for the gateway. JSON: ``{token}`` to ``{principal}``, or {fault}."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.credential_parts import Event, serve

logger = Logger(service="token_verifier")
tracer = Tracer(service="token_verifier")
metrics = Metrics(namespace="Blastwall", service="token_verifier")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.credentials.desk.Desk.verify``. Tokens and secrets stay out of log and trace."""
    answer = serve(lambda desk: desk.verify(event))
    fault = answer.get("fault", {}).get("kind")
    metrics.add_metric(name=f"token_verifier_{fault or 'done'}", unit=MetricUnit.Count, value=1)
    logger.info("done", fault=fault)
    return answer
