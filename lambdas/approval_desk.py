"""The approval page's behaviour on AWS: reads the table, and has approval_decide count what people answer."""

from __future__ import annotations

import asyncio
import secrets as chance
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from blastwall.approvals import Ballot, Filed
from blastwall.approvals.desk import Desk, Provider
from blastwall.approvals.sign_in import Client
from blastwall.approvals.slack import callback_answer, callback_document
from blastwall.approvals.web import Request, Response
from blastwall.aws.approvals import ApprovalTable
from blastwall.aws.clients import client
from blastwall.aws.functions import Functions
from blastwall.local.clock import SystemClock
from blastwall.local.fetch import fetch
from blastwall.local.post import post
from blastwall.model import Secret
from lambdas.approval_parts import bundle, secrets, settings, table, verifier


class _Shelf:
    """The table as the page reads it: off the event loop."""

    def __init__(self, table: ApprovalTable) -> None:
        self._table = table

    async def show(self, id: str) -> Filed | None:
        return await asyncio.to_thread(self._table.show, id)

    async def ls(self, *, live: bool = False, limit: int = 200) -> Sequence[Filed]:
        return await asyncio.to_thread(lambda: self._table.ls(live=live, limit=limit))


@cache
def desk() -> Desk:
    """Made once. Raises ConfigFault or ValueError."""
    given, clock = settings(), SystemClock()
    invoke = Functions(client("lambda"), {"approval_decide": given.decide_function})

    async def decide(id: str, token: Secret, ballot: Ballot) -> Mapping[str, Any]:
        event = {"id": id, "token": token.reveal()} | asdict(ballot)
        return await asyncio.to_thread(invoke, "approval_decide", event)

    async def slack(request: Request) -> Response:
        """Handed on as it came: approval_decide verifies Slack's signature itself."""
        answer = await asyncio.to_thread(invoke, "approval_decide", {"slack": callback_document(request)})
        found = answer.get("slack")
        return callback_answer(found) if isinstance(found, dict) else Response(503)

    return Desk(
        origin=given.page_url.rstrip("/"),
        book=_Shelf(table()),
        verify=verifier().verify,
        authorise=lambda person, request, ballot: bundle().may_decide(person, request, ballot, clock.now()),
        decide=decide,
        now=clock.now,
        entropy=chance.token_bytes,
        provider=_provider(),
        slack=slack if bundle().config.approvals.notify.slack is not None else None,
    )


def _provider() -> Provider | None:
    sign_in = bundle().config.approvals.page.sign_in
    if sign_in is None:
        return None
    secret = secrets().get(sign_in.client_secret_env or "", "")

    async def send(address: str, headers: Mapping[str, str], body: bytes) -> bytes:
        return await asyncio.to_thread(post, address, headers, body)

    return Provider(Client(sign_in.issuer, sign_in.client_id, secret, sign_in.scopes), fetch, send)
