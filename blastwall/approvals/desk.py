"""The approval page's behaviour: who is signed in, what they may see, and the one POST that decides.

No GET changes anything: whoever follows a link (a chat's preview, a mail scanner) reads a page at most. A decision
needs a signed-in person, a form of this page (a token bound to the sign-in and the request), this page's own Origin,
and the hash of what was shown. The session is the person's own token, in a cookie that no script and no other site
can use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from hmac import new as keyed
from typing import Any, Protocol
from urllib.parse import quote

from blastwall.approvals import page
from blastwall.approvals.rules import Ballot, Filed, routed_to
from blastwall.approvals.sign_in import (
    CALLBACK,
    LARGEST_DOCUMENT,
    Attempt,
    Client,
    attempt,
    authorization_url,
    code_of,
    endpoints_of,
    exchange_form,
    id_token_of,
    local,
)
from blastwall.approvals.view import view_of
from blastwall.approvals.web import LARGEST_BODY, Request, Response
from blastwall.errors import Fault, TokenFault
from blastwall.model import ApprovalRequest, Denial, Principal, Secret

ATTEMPT_SECONDS = 600
LONGEST_NUMBER = 10  # digits
LONGEST_TOKEN = 3800  # bytes: browsers keep cookies of 4,096

Answer = Mapping[str, Any]


class Book(Protocol):
    """The requests, as the page reads them."""

    async def show(self, id: str) -> Filed | None: ...

    async def ls(self, *, live: bool = False, limit: int = 200) -> Sequence[Filed]: ...


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider to sign in at. ``fetch``: address and limit to a body; ``post``: address, headers, body."""

    client: Client
    fetch: Callable[[str, int], Awaitable[bytes]]
    post: Callable[[str, Mapping[str, str], bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Desk:
    """``origin`` is this page's own, such as https://approvals.example.

    ``verify`` turns a person's token into a principal (TokenFault), ``authorise`` asks policy, ``decide`` counts a
    ballot and answers as the decide function does. ``code``: a one-time code to a token, once. ``slack`` answers its
    callbacks.
    """

    origin: str
    book: Book
    verify: Callable[[Secret], Awaitable[Principal]]
    authorise: Callable[[Principal, ApprovalRequest, Ballot], Denial | None]
    decide: Callable[[str, Secret, Ballot], Awaitable[Answer]]
    now: Callable[[], float]
    entropy: Callable[[int], bytes]
    provider: Provider | None = None
    code: Callable[[str], Secret | None] | None = None
    slack: Callable[[Request], Awaitable[Response]] | None = None

    async def handle(self, request: Request) -> Response:
        """Answer one request. Never raises: a fault is a page that says so."""
        try:
            return await self._route(request)
        except TokenFault as fault:
            return self._page(401, "Sign in", page.sign_in(oidc=bool(self.provider), next="/", message=str(fault)))
        except (ValueError, KeyError):
            return self._error(400)
        except Fault:
            return self._error(503)

    async def _route(self, request: Request) -> Response:
        path, get = request.path, request.method in ("GET", "HEAD")
        if len(request.body) > LARGEST_BODY:
            return self._error(413)
        if not get and request.method != "POST":
            return self._error(405)
        if path == "/style.css" and get:
            return Response(200, page.STYLE, "text/css; charset=utf-8", {"Cache-Control": "max-age=300"})
        if path == "/slack" and not get and self.slack is not None:
            return await self.slack(request)
        if not get and not self._ours(request):
            return self._error(403)
        if path == "/" or path.startswith("/requests/"):
            return await self._requests(request, get)
        if path == "/sign-in":
            return self._sign_in(request) if get else await self._signed_in(request)
        if path == "/sign-in/oidc" and get and self.provider is not None:
            return await self._to_provider(request, self.provider)
        if path == CALLBACK and get and self.provider is not None:
            return await self._from_provider(request, self.provider)
        if path == "/sign-out" and not get:
            return await self._sign_out(request)
        return self._error(404)

    # requests

    async def _requests(self, request: Request, get: bool) -> Response:
        token = Secret(request.cookies.get(self._session, ""))
        try:
            person = await self.verify(token)
        except TokenFault:
            return self._stranger(request)
        if request.path == "/":
            if not get:
                return self._error(405)
            visible = [one for one in await self.book.ls(live=True) if self._may_see(person, one)]
            body = page.listing(visible, self.now())
            return self._page(200, "Requests", body, person, token, refresh=str(page.REFRESH_SECONDS))
        id = request.path.removeprefix("/requests/")
        filed = await self.book.show(id)
        if filed is None or not self._may_see(person, filed):
            return self._error(404)
        if get:
            return self._request(200, filed, person, token)
        return await self._decide(request, filed, person, token)

    async def _decide(self, request: Request, filed: Filed, person: Principal, token: Secret) -> Response:
        form = request.form()
        id = filed.request.id
        if not compare_digest(form.get("csrf", "").encode(), self._csrf(token, request.path).encode()):
            return self._error(403)
        if form.get("decision") not in ("approve", "deny"):
            return self._error(400)
        seconds = float(form.get("grant") or 0) if form["decision"] == "approve" else 0.0
        rows = form.get("rows", "").strip() if form["decision"] == "approve" else ""
        if rows and not (rows.isascii() and rows.isdecimal() and len(rows) <= LONGEST_NUMBER):
            return self._error(400)
        ballot = Ballot(
            form["decision"] == "approve",
            form.get("shown", ""),
            form.get("note", "").strip(),
            seconds,
            int(rows) if rows else None,
        )
        answer = await self.decide(id, token, ballot)
        if "status" in answer:
            return Response(303, headers={"Location": request.path})
        refused = answer.get("refused") or answer.get("fault") or {}
        message = str(refused.get("reason") or refused.get("message") or "it could not be counted")
        if refused.get("hint"):
            message += f"; {refused['hint']}"
        now = await self.book.show(id)
        return self._request(409, now or filed, person, token, f"Not counted: {message}.")

    def _request(self, status: int, filed: Filed, person: Principal, token: Secret, message: str = "") -> Response:
        shown = view_of(filed.request).shown
        # As if a number of rows was given: what may be approved without one is said when somebody tries.
        refusal = self.authorise(person, filed.request, Ballot(True, shown, rows=0))
        grant = self.authorise(person, filed.request, Ballot(True, shown, "", page.GRANT_SECONDS, 0))
        body = page.request_page(
            filed,
            self.now(),
            csrf=self._csrf(token, f"/requests/{filed.request.id}"),
            refusal="" if refusal is None else f"You cannot decide this: {refusal.reason}.",
            grants=grant is None,
            message=message,
        )
        return self._page(status, filed.request.id, body, person, token)

    def _may_see(self, person: Principal, filed: Filed) -> bool:
        """Statements are not for everybody with an account: for those who are asked, or may decide."""
        request = filed.request
        if not person.groups.isdisjoint((*routed_to(request, self.now()), *request.escalation)):
            return True
        return self.authorise(person, request, Ballot(True, "", rows=0)) is None

    # signing in and out

    def _stranger(self, request: Request) -> Response:
        """Not signed in, or come from another site: then the browser keeps the cookie back, and is sent once more."""
        if request.method == "POST":
            return self._error(403)
        if "here" not in request.query:
            again = f"0; url={quote(request.path)}?here"
            return self._page(200, "Blastwall", page.notice("One moment", "Opening the request."), refresh=again)
        return self._page(401, "Sign in", page.sign_in(oidc=bool(self.provider), next=local(request.path)))

    def _sign_in(self, request: Request) -> Response:
        code = request.query.get("code", "") if self.code is not None else ""
        body = page.sign_in(oidc=bool(self.provider), next=local(request.query.get("next", "/")), code=code[:200])
        return self._page(200, "Sign in", body)

    async def _signed_in(self, request: Request) -> Response:
        form = request.form()
        if form.get("code") and self.code is not None:
            token = self.code(form["code"])
            if token is None:
                raise TokenFault("this link was used, or is too old; ask for another one")
        else:
            token = Secret("".join(form.get("token", "").split()))
        return await self._welcome(token, local(form.get("next", "/")))

    async def _welcome(self, token: Secret, next: str) -> Response:
        """Keep a verified token. The next page is asked for by this site, so that the cookie goes with it."""
        person = await self.verify(token)
        if len(token.reveal()) > LONGEST_TOKEN:
            raise TokenFault("this token is too large for a cookie; ask for one with fewer claims")
        age = max(0, int(person.expires_at - self.now()))
        body = page.notice("Signed in", f"as {person.subject}")
        return Response(
            200,
            page.document("Signed in", body, refresh=f"0; url={quote(next, safe='/')}"),
            cookies=(
                self._cookie(self._session, token.reveal(), age, "Strict"),
                self._cookie(self._login, "", 0, "Lax"),
            ),
        )

    async def _to_provider(self, request: Request, provider: Provider) -> Response:
        begun = attempt(self.entropy(96), request.query.get("next", "/"))
        address = provider.client.issuer.rstrip("/") + "/.well-known/openid-configuration"
        endpoints = endpoints_of(await provider.fetch(address, LARGEST_DOCUMENT), provider.client.issuer)
        url = authorization_url(provider.client, endpoints, self.origin, begun)
        # Lax: the provider's redirect comes from another site and must find it. It opens nothing by itself.
        cookie = self._cookie(self._login, begun.cookie(), ATTEMPT_SECONDS, "Lax")
        return Response(302, headers={"Location": url}, cookies=(cookie,))

    async def _from_provider(self, request: Request, provider: Provider) -> Response:
        begun = Attempt.from_cookie(request.cookies.get(self._login, ""))
        if begun is None:
            raise TokenFault("this browser began no sign-in, or too long ago; sign in again")
        code = code_of(provider.client, begun, request.query)
        address = provider.client.issuer.rstrip("/") + "/.well-known/openid-configuration"
        endpoints = endpoints_of(await provider.fetch(address, LARGEST_DOCUMENT), provider.client.issuer)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        answer = await provider.post(endpoints.token, headers, exchange_form(provider.client, self.origin, begun, code))
        return await self._welcome(Secret(id_token_of(answer, begun)), begun.next)

    async def _sign_out(self, request: Request) -> Response:
        token = Secret(request.cookies.get(self._session, ""))
        if not compare_digest(request.form().get("csrf", "").encode(), self._csrf(token, "/sign-out").encode()):
            return self._error(403)
        return Response(303, headers={"Location": "/"}, cookies=(self._cookie(self._session, "", 0, "Strict"),))

    # the browser's side

    def _ours(self, request: Request) -> bool:
        """A form of this page. Every browser in use sends an Origin with a POST."""
        return request.headers.get("origin") == self.origin

    def _csrf(self, token: Secret, path: str) -> str:
        """Only who has the session's token can make it; it is for one form of one page."""
        return keyed(token.reveal().encode(), f"blastwall form {path}".encode(), hashlib.sha256).hexdigest()

    @property
    def _prefix(self) -> str:
        """With __Host- a browser takes the cookie from this host alone; it insists on HTTPS for that."""
        return "__Host-" if self.origin.startswith("https://") else ""

    @property
    def _session(self) -> str:
        return f"{self._prefix}blastwall"

    @property
    def _login(self) -> str:
        return f"{self._prefix}blastwall-login"

    def _cookie(self, name: str, value: str, seconds: int, same_site: str) -> str:
        secure = "; Secure" if self._prefix else ""
        return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}"

    def _page(
        self,
        status: int,
        title: str,
        body: str,
        person: Principal | None = None,
        token: Secret | None = None,
        refresh: str = "",
    ) -> Response:
        who = person.subject if person is not None else ""
        out = self._csrf(token, "/sign-out") if token is not None else ""
        return Response(status, page.document(title, body, who=who, sign_out=out, refresh=refresh))

    def _error(self, status: int) -> Response:
        title, text = page.error_texts()[status]
        return self._page(status, title, page.notice(title, text))
