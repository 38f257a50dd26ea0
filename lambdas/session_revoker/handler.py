"""Takes back what was vended to a session. JSON: ``{session, holder}`` to ``{revocations}``, or {fault}.

Each minute, without a session, it ends the AWS roles that nobody looks after: it alone rewrites their policies.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from blastwall.errors import Fault
from lambdas.credential_parts import Event, counted, reclaim_roles, record_keys, serve

logger = Logger(service="session_revoker")
tracer = Tracer(service="session_revoker")
metrics = Metrics(namespace="Blastwall", service="session_revoker")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """See ``blastwall.credentials.desk.Desk.revoke``. Tokens and secrets stay out of log and trace."""
    if "session" not in event:  # the schedule
        return counted(reclaim_roles(), logger, metrics)
    logger.append_keys(session=event.get("session"), holder=event.get("holder"))
    answer = serve(lambda desk: desk.revoke(event))
    fault = answer.get("fault", {}).get("kind")
    failed = [done for done in answer.get("revocations", ()) if not done["verified"] and done["kind"] != "iam"]
    metrics.add_metric(name="revocation_failed", unit=MetricUnit.Count, value=len(failed))
    if fault is None:
        try:
            record_keys(str(event["session"]), answer["revocations"])
        except Fault as unrecorded:  # it happened all the same
            logger.error(f"what was taken back could not be recorded: {unrecorded}")
    metrics.add_metric(name=f"session_revoker_{fault or 'done'}", unit=MetricUnit.Count, value=1)
    logger.info("done", fault=fault)
    return answer
