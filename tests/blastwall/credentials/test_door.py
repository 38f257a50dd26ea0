"""The HTTPS way to AWS roles says nothing but a token and a role's name to the desk, and tells faults by status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from blastwall.approvals.web import Request, Response
from blastwall.credentials.door import LARGEST, PATH, Door

HEADERS = {"authorization": "Bearer x.y.z", "content-type": "application/json"}
KEYS = {"keys": {"Version": 1}, "region": "eu-central-1"}


async def ask(
    answer: Mapping[str, Any] = KEYS, asked: list[Mapping[str, Any]] | None = None, **changes: Any
) -> tuple[int, dict[str, Any], Response]:
    async def vend(request: Mapping[str, Any]) -> Mapping[str, Any]:
        (asked if asked is not None else []).append(request)
        return answer

    given: dict[str, Any] = {"method": "POST", "path": PATH, "headers": HEADERS, "body": b'{"role": "reports"}'}
    response = await Door(vend).handle(Request(**(given | changes)))
    return response.status, json.loads(response.body), response


async def test_a_token_and_a_role_reach_the_desk_and_nothing_else_does() -> None:
    asked: list[Mapping[str, Any]] = []
    body = b'{"role": "reports", "session": "s-1", "target": "shop", "holder": "me", "token": "other"}'
    status, document, response = await ask(asked=asked, body=body)
    assert (status, document) == (200, KEYS)
    assert asked == [{"token": "x.y.z", "aws_role": "reports"}]
    assert dict(response.lines())["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"path": "/"}, 404),
        ({"path": PATH + "/"}, 404),
        ({"method": "GET"}, 405),
        ({"headers": {"content-type": "application/json"}}, 401),
        ({"headers": HEADERS | {"authorization": "Bearer  "}}, 401),
        ({"headers": HEADERS | {"authorization": "Basic eDp5"}}, 401),
        ({"headers": {"authorization": "Bearer x.y.z", "content-type": "text/plain"}}, 400),
        ({"headers": {"authorization": "Bearer x.y.z"}}, 400),
        ({"body": b""}, 400),
        ({"body": b"[]"}, 400),
        ({"body": b"{}"}, 400),
        ({"body": b'{"role": "a", "role": "b"}'}, 400),
        ({"body": b'{"role": "' + b"a" * LARGEST + b'"}'}, 400),
        ({"body": b"\xff"}, 400),
    ],
)
async def test_what_is_no_such_request_never_reaches_the_desk(changes: dict[str, Any], expected: int) -> None:
    asked: list[Mapping[str, Any]] = []
    status, document, _ = await ask(asked=asked, **changes)
    assert (status, asked) == (expected, []) and set(document) == {"fault"}


@pytest.mark.parametrize(
    ("kind", "expected"), [("token", 401), ("policy", 403), ("upstream", 502), ("ours", 500), ("new", 500)]
)
async def test_a_fault_is_told_under_the_status_of_its_kind(kind: str, expected: int) -> None:
    fault = {"fault": {"kind": kind, "message": "no", "hint": ""}}
    status, document, _ = await ask(fault)
    assert (status, document) == (expected, fault)
