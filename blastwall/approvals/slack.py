"""Answers from Slack: a button in a message, vouched for by Slack's signature; the configuration says who that is.

Nothing but a signed, fresh callback decides: a link preview only reads. A user who is not in the table decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blastwall.approvals.rules import Ballot
from blastwall.approvals.signatures import verify
from blastwall.approvals.visible import visible
from blastwall.approvals.web import Request, Response
from blastwall.model import Principal

JSON = "application/json; charset=utf-8"
NOTE = "answered in Slack"
SIGNED = "x-slack-request-timestamp", "x-slack-signature"


@dataclass(frozen=True, slots=True)
class SlackDoor:
    """``people``: Slack user id to subject and groups. ``count`` counts a ballot and answers as the decide function."""

    key: bytes
    people: Mapping[str, tuple[str, tuple[str, ...]]]
    count: Callable[[str, Principal, Ballot], Awaitable[Mapping[str, Any]]]
    now: Callable[[], float]

    async def handle(self, request: Request) -> Response:
        """Slack's interactive callback. What is not signed and fresh is 401, what is not understood 400."""
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        if not verify(self.key, timestamp, request.body, signature, self.now(), version="v0"):
            return Response(401, b"not signed\n", "text/plain; charset=utf-8")
        try:
            payload = json.loads(request.form()["payload"])
            user = str(payload["user"]["id"])
            (action,) = payload["actions"]
            name = str(action["action_id"])
            if name == "open":
                return Response(200)
            id, shown = str(action["value"]).split(" ")
            approve = {"approve": True, "deny": False}[name]
        except (ValueError, KeyError, TypeError):
            return Response(400, b"not understood\n", "text/plain; charset=utf-8")
        person = self._person(user, str(payload.get("team", {}).get("id", "")))
        if person is None:
            return _said("You are not in the table of Slack users who may answer. Use the page.")
        answer = await self.count(id, person, Ballot(approve, shown, NOTE))
        if "status" in answer:
            return _said(f"{id}: {answer['status']['state']}")
        refused = answer.get("refused") or answer.get("fault") or {}
        hint = f" ({refused['hint']})" if refused.get("hint") else ""
        return _said(f"Not counted: {refused.get('reason') or refused.get('message') or 'something failed'}{hint}")

    def _person(self, user: str, team: str) -> Principal | None:
        """One voice with the same subject's token: people are told by their subject, whatever vouches for them."""
        found = self.people.get(user)
        if found is None:
            return None
        subject, groups = found
        return Principal(f"slack:{team}", subject, subject, frozenset(groups), token_id=f"slack:{team}:{user}")


def _said(text: str) -> Response:
    """Seen by whoever pressed the button, and by nobody else."""
    body = {"response_type": "ephemeral", "replace_original": False, "text": visible(text)}
    return Response(200, json.dumps(body).encode("ascii"), JSON)


def callback_document(request: Request) -> dict[str, str]:
    """What of a callback its signature covers, as JSON values, for whoever verifies it elsewhere."""
    kept = {name: request.headers.get(name, "") for name in ("content-type", *SIGNED)}
    return kept | {"body": request.body.decode("latin-1")}


def callback_of(document: Mapping[str, str]) -> Request:
    """The inverse of :func:`callback_document`. Raises KeyError or ValueError."""
    headers = {name: str(document[name]) for name in ("content-type", *SIGNED)}
    return Request("POST", "/slack", headers=headers, body=str(document["body"]).encode("latin-1"))


def answer_document(response: Response) -> dict[str, object]:
    """The answer to a callback as JSON values."""
    return {"status": response.status, "body": response.body.decode("latin-1"), "kind": response.kind}


def callback_answer(document: Mapping[str, object]) -> Response:
    """The inverse of :func:`answer_document`. Raises KeyError or ValueError."""
    return Response(int(str(document["status"])), str(document["body"]).encode("latin-1"), str(document["kind"]))
