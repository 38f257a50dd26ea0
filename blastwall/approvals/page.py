"""The approval page as HTML: no script, no image, nothing from elsewhere. Pure.

Every text of an agent's is a text of the rendering model (made visible there) and escaped here; nothing else enters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from urllib.parse import quote

from blastwall.approvals.demands import demands_of, missing, spelt
from blastwall.approvals.rules import Filed, decidable, routed_to, voices_of
from blastwall.approvals.view import View, Words, moment, rows_of, titled, view_of
from blastwall.approvals.visible import visible
from blastwall.model import ApprovalState

STYLE = files("blastwall.approvals").joinpath("page.css").read_bytes()
UNFOLDED = 40  # lines of a text; the rest is one click away, and its number is on the button
REFRESH_SECONDS = 10
GRANT_SECONDS = 600

_MARK = re.compile(r"⟨[^⟩]{1,40}⟩|⇥")


def document(title: str, body: str, *, who: str = "", sign_out: str = "", refresh: str = "") -> bytes:
    """A whole page. ``sign_out`` is the token of the sign-out form; ``refresh`` the content of a refresh."""
    out = ""
    if who:
        out = (
            f'<form method="post" action="/sign-out" class="out"><span>{escape(visible(who))}</span>'
            f'<input type="hidden" name="csrf" value="{escape(sign_out)}"><button>Sign out</button></form>'
        )
    meta = f'<meta http-equiv="refresh" content="{escape(refresh)}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">{meta}<title>{escape(title)} · Blastwall</title>'
        '<link rel="stylesheet" href="/style.css"></head><body><header><a href="/" class="brand">Blastwall</a>'
        f"{out}</header><main>{body}</main></body></html>"
    ).encode("utf-8", "xmlcharrefreplace")


def listing(filed: Sequence[Filed], now: float) -> str:
    """What waits, grouped by agent, target and verb, the oldest group first."""
    waiting = [one for one in filed if one.status.state is ApprovalState.REQUESTED]
    if not waiting:
        return '<h1>Nobody waits</h1><p class="quiet">Requests for your decision appear here by themselves.</p>'
    groups: dict[tuple[str, str, str], list[Filed]] = {}
    for one in sorted(waiting, key=lambda one: one.request.requested_at):
        request = one.request
        groups.setdefault((request.principal.identity, request.target, request.facts.verb), []).append(one)
    return f"<h1>{len(waiting)} waiting</h1>" + "".join(_group(group, now) for group in groups.values())


def request_page(filed: Filed, now: float, *, csrf: str, refusal: str, grants: bool, message: str = "") -> str:
    """One request. ``refusal``: why this person may not decide ("": may); ``grants``: also for a while."""
    view, status = view_of(filed.request), filed.status
    parts = [
        f'<p class="crumb"><a href="/">All requests</a></p><h1>{_marked(view.headline)}</h1>',
        f'<p><span class="state {status.state}">{status.state}</span> {_standing(filed, now)}</p>',
    ]
    if message:
        parts.append(f'<p class="message" role="alert">{escape(visible(message))}</p>')
    if view.cautions:
        lines = "".join(f"<li>{_marked(line.strip())}</li>" for line in view.cautions)
        parts.append(f'<section class="caution"><h2>Caution</h2><ul>{lines}</ul></section>')
    parts.append(f"<section><h2>What the gateway found</h2>{_found(view)}</section>")
    if view.blast:
        parts.append(f"<section><h2>What it would do</h2><pre>{_marked(chr(10).join(view.blast))}</pre></section>")
    for words in (view.canonical, view.text, *view.parameters):
        if words is not None:
            parts.append(f"<section><h2>{_marked(titled(words))}</h2>{_words(words)}</section>")
    if view.reason is not None:
        parts.append(
            f'<section class="untrusted"><h2>{_marked(titled(view.reason))}</h2>{_words(view.reason)}</section>'
        )
    parts += _votes(filed)
    if decidable(filed.request, status.state):
        parts.append(_answering(filed, view, csrf, refusal, grants))
    parts.append(f'<p class="quiet">Shown: <code>{view.shown}</code></p>')
    return "".join(parts)


def sign_in(*, oidc: bool, next: str, code: str = "", message: str = "") -> str:
    """How to sign in: by a one-time link, the identity provider, or a token."""
    said = f'<p class="message" role="alert">{escape(visible(message))}</p>' if message else ""
    hidden = f'<input type="hidden" name="next" value="{escape(next)}">'
    if code:
        return (
            f"<h1>Sign in</h1>{said}<p>This link opens the page once, for whoever started it.</p>"
            f'<form method="post" action="/sign-in">{hidden}<input type="hidden" name="code" value="{escape(code)}">'
            '<button class="approve">Sign in</button></form>'
        )
    provider = ""
    if oidc:
        provider = f'<p><a class="button" href="/sign-in/oidc?next={quote(next, safe="")}">Sign in</a></p>'
    return (
        f"<h1>Sign in</h1>{said}{provider}<details{'' if oidc else ' open'}><summary>With a token</summary>"
        "<p>A token for approvers. A token that opens the gateway decides nothing here.</p>"
        f'<form method="post" action="/sign-in">{hidden}<label>Token <textarea name="token" rows="4" required '
        'autocomplete="off" spellcheck="false"></textarea></label><button>Sign in</button></form></details>'
    )


def notice(title: str, text: str) -> str:
    """A short page that says one thing."""
    return f'<h1>{escape(title)}</h1><p>{escape(visible(text))}</p><p><a href="/">All requests</a></p>'


def _group(group: Sequence[Filed], now: float) -> str:
    request = group[0].request
    who = f"{request.principal.agent} for {request.principal.on_behalf_of or 'nobody in particular'}"
    many = f' <span class="quiet">{len(group)} requests</span>' if len(group) > 1 else ""
    rows = "".join(
        f'<li><a href="/requests/{escape(one.request.id)}">'
        f"<strong>{_marked(view_of(one.request).headline)}</strong></a>"
        f'<span class="risk">risk {one.request.risk.score}</span>'
        f'<span class="quiet">{_left(one.request.expires_at - now)} left</span></li>'
        for one in group
    )
    return f'<section><h2>{_marked(visible(who))}{many}</h2><ul class="requests">{rows}</ul></section>'


def _standing(filed: Filed, now: float) -> str:
    request, status = filed.request, filed.status
    if status.state is ApprovalState.REQUESTED:
        have = sum(vote.approve for vote in filed.votes)
        of = f", {have} of {request.quorum} have approved" if request.quorum > 1 else ""
        if len(demands_of(request)) > 1:
            of = f", {escape(visible(spelt(missing(request, voices_of(filed.votes)))))} must approve"
        asked = escape(visible(" or ".join(routed_to(request, now)) or "an approver"))
        return f"{asked} asked{of}, {_left(request.expires_at - now)} left"
    by = f"by {escape(visible(', '.join(status.by)))} " if status.by else ""
    if status.state is ApprovalState.REDEEMED:
        by = f"approved {by}and used "
    shape = f", for every statement of its shape until {moment(status.expires_at)}" if status.same_shape else ""
    rows = f", for at most {rows_of(status.bound)}" if status.bound is not None else ""
    return f"{by}at {moment(status.changed_at)}{shape}{rows}"


def _found(view: View) -> str:
    return "<dl>" + "".join(f"<dt>{escape(label)}</dt><dd>{_marked(text)}</dd>" for label, text in view.found) + "</dl>"


def _words(words: Words) -> str:
    if not words.lines:
        return ""
    head = f"<pre>{_marked(chr(10).join(words.lines[:UNFOLDED]))}</pre>"
    rest = words.lines[UNFOLDED:]
    if not rest:
        return head
    more = f"<summary>{len(rest)} more lines</summary><pre>{_marked(chr(10).join(rest))}</pre>"
    return f"{head}<details>{more}</details>"


def _votes(filed: Filed) -> Iterator[str]:
    for vote in filed.votes:
        word = "approved" if vote.approve else "denied"
        note = f": {_marked(visible(vote.note))}" if vote.note else ""
        yield f'<p class="quiet">{word} by {escape(visible(vote.approver.subject))} at {moment(vote.at)}{note}</p>'


def _answering(filed: Filed, view: View, csrf: str, refusal: str, grants: bool) -> str:
    if refusal:
        return f'<section class="answer"><p class="quiet">{escape(visible(refusal))}</p></section>'
    asked = filed.status.state is ApprovalState.REQUESTED
    once = ""
    if asked and grants and view.shape:
        minutes = GRANT_SECONDS // 60
        once = (
            f'<label class="line"><input type="checkbox" name="grant" value="{GRANT_SECONDS}"> '
            f"also every statement that differs only in its literals, for {minutes} minutes</label>"
        )
    rows = ""
    if asked and view.countable:
        usual = "" if view.rows is None else str(view.rows)
        rows = (
            '<label>Rows it may change at most <input name="rows" inputmode="numeric" pattern="[0-9]*" maxlength="10" '
            f'autocomplete="off" placeholder="{usual or "any number"}"></label>'
        )
    approve = '<button name="decision" value="approve" class="approve">Approve</button>' if asked else ""
    deny = "Deny" if asked else "Take the approval back"
    return (
        f'<form method="post" action="/requests/{escape(view.id)}" class="answer">'
        f'<input type="hidden" name="csrf" value="{escape(csrf)}">'
        f'<input type="hidden" name="shown" value="{view.shown}">'
        '<label>Note, told to the agent <input name="note" maxlength="1000" autocomplete="off"></label>'
        f"{rows}{once}"
        f'<div class="buttons"><button name="decision" value="deny" class="deny">{deny}</button>{approve}</div>'
        "</form>"
    )


def _left(seconds: float) -> str:
    seconds = max(0.0, seconds)
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _marked(text: str) -> str:
    """Escaped, with what was made visible set off."""
    return _MARK.sub(lambda found: f"<mark>{found.group()}</mark>", escape(text))


def error_texts() -> Mapping[int, tuple[str, str]]:
    """What is said with a status, where nothing better is known."""
    return {
        400: ("That was not understood", "Go back and try again."),
        403: ("Not from here", "Decide on this page itself: open the request and use its buttons."),
        404: ("Not found", "There is no such request, or it is not yours to decide."),
        405: ("Not this way", "Open the page in a browser."),
        413: ("Too much", "A note has at most 1,000 characters."),
        503: ("Not now", "Something that this page needs does not answer. Nothing was decided; try again."),
    }
