"""The way to AWS roles over HTTPS: for agents that have a token and no AWS credentials to call a function with.

``POST /credentials/aws`` with ``Authorization: Bearer TOKEN`` and ``{"role": NAME}`` as JSON; answered with ``{"keys":
<credential_process document>, "region": NAME}``, or ``{"fault": {"kind", "message", "hint"}}`` under the status of its
kind. Pure: whatever serves HTTP hands it requests, and ``vend`` (``Desk.vend``) believes nothing but the token.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from blastwall.approvals.web import Request, Response
from blastwall.identity.json_object import read_object

PATH: Final = "/credentials/aws"
LARGEST: Final = 1024  # bytes of a body: it names a role
STATUS: Final[Mapping[str, int]] = {"token": 401, "policy": 403, "upstream": 502, "ours": 500}
_JSON: Final = "application/json"

Vend = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class Door:
    """Answers requests for AWS roles, and no others: what else a gateway may ask of the desk cannot be said here."""

    def __init__(self, vend: Vend) -> None:
        self._vend = vend

    async def handle(self, request: Request) -> Response:
        """Never raises for what a client sends."""
        if request.path != PATH:
            return _refused(404, "policy", f"ask at {PATH}")
        if request.method != "POST":
            return _refused(405, "policy", "POST the name of a role")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return _refused(401, "token", "bring the agent's token: Authorization: Bearer TOKEN")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _JSON or len(request.body) > LARGEST:  # a page in somebody's browser cannot send this kind unasked
            return _refused(400, "policy", f'a small JSON object is expected: {{"role": NAME}}, as {_JSON}')
        try:
            role = read_object(request.body)["role"]
        except (ValueError, KeyError):
            return _refused(400, "policy", 'a JSON object is expected: {"role": NAME}')
        answer = await self._vend({"token": token.strip(), "aws_role": role})
        fault = answer.get("fault")
        return _answer(200 if fault is None else STATUS.get(str(fault.get("kind")), 500), answer)


def _refused(status: int, kind: str, message: str) -> Response:
    return _answer(status, {"fault": {"kind": kind, "message": message, "hint": ""}})


def _answer(status: int, document: Mapping[str, Any]) -> Response:
    return Response(status, json.dumps(document).encode(), _JSON)
