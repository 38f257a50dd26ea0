"""What people are told outside the page: that somebody waits for them, and later what came of it. Pure.

A notice never holds what decides: no task token, no link that acts. It links to the page, where a person signs in.
Texts are folded here; every notice says by how much, and the page has all of it. What can hold values of masked columns
stays on the page: notices go to places that nobody masks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from blastwall.approvals.rules import Filed, routed_to
from blastwall.approvals.view import View, Words, folded, standing, titled, view_of
from blastwall.approvals.visible import visible
from blastwall.model import ApprovalRequest, ApprovalState

GROUP_SECONDS = 60.0  # one agent, one target, one verb: at most one notice in so long; the page lists them all
MOST_LINES = 20
MOST_CHARACTERS = 2800  # Slack's sections hold 3,000
WITHHELD = "It gives or compares values of masked columns, so its text is on the page alone."
CUT = "⟨cut here; the page has all of it⟩"


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook; ``secret_env`` names the variable that holds the key of its signature."""

    url: str
    secret_env: str


@dataclass(frozen=True, slots=True)
class SlackChannel:
    """A Slack channel by a bot's token. ``answers``: people may decide there, too."""

    channel: str
    token_env: str
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Channels:
    """Who is told."""

    hooks: tuple[Hook, ...] = ()
    slack: SlackChannel | None = None


class Kind(StrEnum):
    """Why people are told."""

    ASKED = "asked"
    ESCALATED = "escalated"
    DECIDED = "decided"


def grouped(filed: Filed, live: Sequence[Filed]) -> bool:
    """Whether an earlier live request of the same group and minute was already announced: this one is on its page."""
    request = filed.request
    for other in live:
        earlier = (other.request.requested_at, other.request.id) < (request.requested_at, request.id)
        if earlier and _group(other) == _group(filed):
            return True
    return False


def link(base: str, id: str) -> str:
    """Where the request is shown. Following it changes nothing."""
    return f"{base.rstrip('/')}/requests/{id}"


def webhook_body(filed: Filed, kind: Kind, page: str, now: float) -> dict[str, Any]:
    """The generic webhook's JSON object. ``event`` tells what happened; ``view`` is complete, or says what is not."""
    request, status = filed.request, filed.status
    return {
        "version": 1,
        "event": str(kind),
        "id": request.id,
        "state": str(status.state),
        "by": list(status.by),
        "note": status.note,
        "approvers": list(routed_to(request, now)),
        "quorum": request.quorum,
        "approved_by": [vote.approver.subject for vote in filed.votes if vote.approve],
        "expires_at": status.expires_at,
        "link": link(page, request.id),
        "view": _outside(request).document() | {"shown": view_of(request).shown},
    }


def summary(filed: Filed, kind: Kind, now: float) -> str:
    """One line: what is wanted or what came of it."""
    request, status = filed.request, filed.status
    what = view_of(request).headline
    who = visible(request.principal.agent)
    if kind is Kind.DECIDED:
        return f"{standing(status)}: {what}, asked by {who}"
    more = "nobody has answered yet: " if kind is Kind.ESCALATED else ""
    return f"{more}{who} waits for {' or '.join(routed_to(request, now)) or 'an approver'}: {what}"


def mail(filed: Filed, kind: Kind, page: str, now: float) -> tuple[str, str]:
    """Subject (ASCII, fewer than 100 characters, as SNS wants it) and text."""
    line = summary(filed, kind, now)
    subject = line.encode("ascii", "replace").decode("ascii")[:96] + ("..." if len(line) > 96 else "")
    if kind is Kind.DECIDED:
        return subject, f"{line}\n{visible(filed.status.note)}\n\n{link(page, filed.request.id)}\n"
    view = _outside(filed.request)
    found = "\n".join(f"{label:>13}  {text}" for label, text in view.found)
    foreseen = ["What it would do:", *(f"  {each}" for each in view.blast), ""] if view.blast else []
    text = _excerpt(view.text)
    parts = [line, "", found, "", *foreseen, *_cautions(view), text, "", "Decide here, after signing in:"]
    return subject, "\n".join([*parts, link(page, filed.request.id), ""])


def slack_message(filed: Filed, kind: Kind, page: str, now: float, *, buttons: bool) -> dict[str, Any]:
    """``text`` and ``blocks`` for chat.postMessage and chat.update.

    ``buttons``: people may answer in Slack. Approving there is offered only when the message shows everything.
    """
    view, status = _outside(filed.request), filed.status
    line = summary(filed, kind, now)
    blocks: list[dict[str, Any]] = [_section(f"*{_fitting(line)}*")]
    if status.state is not ApprovalState.REQUESTED:
        if status.note:
            blocks.append(_section("Note: " + _fitting(visible(status.note))))
        blocks.append(_actions(_open(page, view.id)))
        return {"text": line, "blocks": blocks}
    parts = ["\n".join(f"{label}: {value}" for label, value in view.found)]
    parts += ["\n".join(("What it would do:", *view.blast))] if view.blast else []
    parts += ["\n".join(("CAUTION", *view.cautions))] if view.cautions else []
    texts = [_excerpt(words) for words in (view.canonical, view.text) if words is not None]
    blocks += [_section(_fitting(part)) for part in parts] + [_section(f"```{_fitting(text)}```") for text in texts]
    folds = any(len(words.lines) > MOST_LINES for words in (view.canonical, view.text) if words is not None)
    cut = folds or any(CUT in block["text"]["text"] for block in blocks)  # no text can fake the mark
    whole = not cut and not view.parameters and view.reason is None and not _holds_masked(filed.request)
    actions = [_open(page, view.id)]
    if buttons:
        answer = f"{view.id} {view_of(filed.request).shown}"
        actions.append(_button("Deny", "deny", answer, "danger"))
        if whole:
            actions.append(_button("Approve", "approve", answer, "primary"))
    blocks.append(_actions(*actions))
    return {"text": line, "blocks": blocks}


def _group(filed: Filed) -> tuple[object, ...]:
    request = filed.request
    minute = request.requested_at // GROUP_SECONDS
    return request.principal.identity, request.target, request.facts.verb, minute


def _holds_masked(request: ApprovalRequest) -> bool:
    return request.facts.filters_masked or "writes_masked" in request.facts.flags


def _outside(request: ApprovalRequest) -> View:
    """The view as it may leave for other places."""
    view = view_of(request)
    if not _holds_masked(request):
        return view
    return replace(view, canonical=None, text=Words("What the agent wrote", 0, (WITHHELD,)), parameters=(), reason=None)


def _excerpt(words: Words) -> str:
    return "\n".join([titled(words), *folded(words.lines, MOST_LINES)])


def _fitting(text: str) -> str:
    """Escaped, and cut to what a section holds; then it says so."""
    escaped = _escaped(text)
    if len(escaped) <= MOST_CHARACTERS:
        return escaped
    return re.sub("&[a-z]*$", "", escaped[: MOST_CHARACTERS - len(CUT)]) + CUT


def _cautions(view: View) -> list[str]:
    return ["CAUTION", *(f"  {line}" for line in view.cautions), ""] if view.cautions else []


def _escaped(text: str) -> str:
    """Slack's three control characters; a backtick cannot end the block that quotes an agent's text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "ˋ")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _actions(*elements: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


def _open(page: str, id: str) -> dict[str, Any]:
    label = {"type": "plain_text", "text": "Show all of it"}
    return {"type": "button", "action_id": "open", "text": label, "url": link(page, id)}


def _button(label: str, action: str, value: str, style: str) -> dict[str, Any]:
    text = {"type": "plain_text", "text": label}
    return {"type": "button", "action_id": action, "text": text, "value": value, "style": style}
