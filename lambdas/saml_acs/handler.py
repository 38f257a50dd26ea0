"""Where SAML identity providers send people back to, and the command line gets its token. HTTP in, HTTP out."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.http import served
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
    return served(event, answer, "saml_acs", logger, metrics)
