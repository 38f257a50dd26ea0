"""Takes back what nobody looks after: leases of sessions that ended, ran out, or lost their task. Runs each minute."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.credential_parts import Event, counted, reclaim

logger = Logger(service="session_reconciler")
tracer = Tracer(service="session_reconciler")
metrics = Metrics(namespace="Blastwall", service="session_reconciler")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.credentials.logins.Logins.reclaim``. What could not be shown to be dead raises an alarm."""
    return counted(reclaim(), logger, metrics)
