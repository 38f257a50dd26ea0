"""What stands between an HTTP API and what answers: nobody's nonsense and none of our faults becomes an error of AWS's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics

from blastwall.approvals.web import Request, Response
from blastwall.errors import OurFault
from lambdas.http import served

EVENT: dict[str, Any] = {
    "version": "2.0",
    "rawPath": "/saml/begin",
    "rawQueryString": "code=s3cret",
    "headers": {"authorization": "Bearer s3cret"},
    "requestContext": {"http": {"method": "POST", "path": "/saml/begin"}},
    "body": "idp=s3cret",
    "isBase64Encoded": False,
}


def serve(event: dict[str, Any], answer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    metrics = Metrics(namespace="Blastwall", service="tests")
    metrics.clear_metrics()
    given = served(event, answer, "door", Logger(service="tests"), metrics)
    counted = metrics.serialize_metric_set()
    metrics.clear_metrics()
    return given, counted


def test_a_request_is_answered_counted_and_not_written_down(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Response:
        asked.append(request)
        return Response(201, b"made")

    given, counted = serve(EVENT, answer)
    assert (given["statusCode"], asked[0].method, asked[0].path) == (201, "POST", "/saml/begin")
    assert "door_201" in counted
    out = capsys.readouterr()
    assert "s3cret" not in out.out + out.err + json.dumps(counted)


@pytest.mark.parametrize("event", [{"requestContext": {}}, {"requestContext": [0]}, {**EVENT, "headers": 1}])
def test_what_is_no_request_reaches_nobody(event: dict[str, Any]) -> None:
    def answer(request: Request) -> Response:
        raise AssertionError("it was asked")

    given, counted = serve(event, answer)
    assert given["statusCode"] == 400 and "door_400" in counted


def test_a_fault_of_ours_is_a_503_that_says_nothing_of_it() -> None:
    def answer(request: Request) -> Response:
        raise OurFault("the table arn:secret fails")

    given, counted = serve(EVENT, answer)
    assert given["statusCode"] == 503 and "door_503" in counted and "arn:secret" not in json.dumps(given)
