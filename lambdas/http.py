"""What the functions behind an HTTP API share: an event to a request, an answer to an event, and a fault to a 503."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from blastwall.approvals.web import Request, Response, from_event, to_event
from blastwall.errors import Fault

TEXT = "text/plain; charset=utf-8"


def served(
    event: dict[str, Any], answer: Callable[[Request], Response], name: str, logger: Logger, metrics: Metrics
) -> dict[str, Any]:
    """One request. Whoever asks is a stranger: what is not understood costs next to nothing, and its method alone is
    logged. ``name`` begins the metric, which ends in the status."""
    method = ""
    try:
        request = from_event(event)
        method = request.method
    except (ValueError, KeyError, TypeError, AttributeError):
        response = Response(400, b"not understood\n", TEXT)
    else:
        try:
            response = answer(request)
        except Fault as fault:
            logger.error("cannot work", fault=str(fault))
            response = Response(503, b"not available; try again\n", TEXT)
    metrics.add_metric(name=f"{name}_{response.status}", unit=MetricUnit.Count, value=1)
    logger.info("done", method=method, status=response.status)
    return to_event(response)
