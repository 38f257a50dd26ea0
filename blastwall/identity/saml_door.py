"""The gateway as a SAML service provider: begin a sign-in, take the provider's answer, give the token to who began it.

    POST /saml/begin          idp, challenge, port      {id, url, expires_in}   asked by the command line
    POST /saml/IDP/acs        SAMLResponse, RelayState  a page                  by the browser, from the provider
    POST /saml/token          id, code, verifier        {token, expires_at}     by the command line
    GET  /saml/IDP/metadata                             XML                     by the provider's administrator

Only answers to requests are taken (nothing IdP-initiated), each once. No token is ever kept or shown in a browser.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import urlencode

from blastwall.approvals import page
from blastwall.approvals.visible import visible
from blastwall.approvals.web import LARGEST_BODY, Request, Response
from blastwall.errors import Fault, TokenFault
from blastwall.identity.saml_assertion import Expected, IdentityProvider, identify
from blastwall.identity.saml_request import metadata, redirect
from blastwall.identity.saml_sign_in import (
    ENTROPY,
    SIGN_IN_SECONDS,
    Admitted,
    SignIn,
    SignIns,
    hashed,
    secret,
)
from blastwall.identity.saml_token import TokenSigner, claims_of, mint

PREFIX: Final = "/saml/"
PORTS: Final = range(1024, 65536)

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_PLACE: Final = re.compile(r"/saml/([a-z0-9-]{1,63})/(acs|metadata)")
_JSON: Final = "application/json"
_AGAIN: Final = "start again with `blastwall login`"


@dataclass(frozen=True, slots=True)
class Federation:
    """A provider, where it takes people (``sso_url``), and how long a token for its people may live, in seconds."""

    provider: IdentityProvider
    sso_url: str
    max_lifetime: float


@dataclass(frozen=True, slots=True)
class Door:
    """``federations`` by name. ``entropy`` gives random bytes; ``say`` gets a line for the log of each sign-in."""

    federations: Mapping[str, Federation]
    book: SignIns
    signer: TokenSigner
    now: Callable[[], float]
    entropy: Callable[[int], bytes]
    say: Callable[[str], None]

    async def handle(self, request: Request) -> Response:
        """Answer one request below /saml/. Never raises: a fault is an answer that says so."""
        place = _PLACE.fullmatch(request.path)
        browser = place is not None
        try:
            if len(request.body) > LARGEST_BODY:
                return _refusal(413, "too large", browser=browser)
            federation = self.federations.get(place[1]) if place else None
            if place and federation is None:
                return _refusal(404, f"there is no identity provider {place[1]!r} here", browser=True)
            if federation is not None and place is not None:
                if place[2] == "metadata" and request.method in ("GET", "HEAD"):
                    body = metadata(federation.provider.service, federation.provider.acs)
                    return Response(200, body, "application/samlmetadata+xml")
                if place[2] == "acs" and request.method == "POST":
                    return await self._answered(federation, request.form())
                return _refusal(405, "this address is for identity providers", browser=True)
            if request.method == "POST" and request.path == f"{PREFIX}begin":
                return await self._begin(request.form())
            if request.method == "POST" and request.path == f"{PREFIX}token":
                return await self._token(request.form())
        except TokenFault as fault:
            self.say(f"saml {place[1] if place else ''}: refused: {fault}")
            return _refusal(403, str(fault), browser=browser)
        except (ValueError, KeyError):
            return _refusal(400, "not understood", browser=browser)
        except Fault as fault:
            self.say(f"saml: {fault}")
            return _refusal(503, "the gateway cannot do this at present; try again", browser=browser)
        return _refusal(404, "there is nothing at this address", browser=browser)

    async def _begin(self, form: Mapping[str, str]) -> Response:
        federation = self.federations.get(form["idp"])
        if federation is None:
            known = ", ".join(sorted(self.federations)) or "none"
            return _refusal(404, f"no such SAML identity provider; known here: {known}", browser=False)
        port = int(form.get("port") or 0)
        if not _CHALLENGE.fullmatch(form["challenge"]) or (port and port not in PORTS):
            raise ValueError
        now = self.now()
        begun = SignIn(
            id=secret(self.entropy(ENTROPY)),
            provider=federation.provider.name,
            request=f"_{secret(self.entropy(ENTROPY))}",
            challenge=form["challenge"],
            port=port,
            begun_at=now,
            expires_at=now + SIGN_IN_SECONDS,
        )
        await self.book.begin(begun)
        provider = federation.provider
        url = redirect(federation.sso_url, begun.request, provider.service, provider.acs, begun.id, now)
        return _json(200, {"id": begun.id, "url": url, "expires_in": int(SIGN_IN_SECONDS)})

    async def _answered(self, federation: Federation, form: Mapping[str, str]) -> Response:
        """A browser brings what the provider made of a request. What is refused leaves the sign-in as it was."""
        now, provider = self.now(), federation.provider
        begun = await self.book.find(form.get("RelayState", ""), now)
        if begun is None or begun.provider != provider.name:
            raise TokenFault(f"this answers no sign-in that is under way; {_AGAIN}")
        identity = identify(_decoded(form["SAMLResponse"]), provider, Expected(begun.request, begun.begun_at), now)
        admitted = Admitted(
            provider.name,
            identity.subject,
            identity.agent,
            identity.groups,
            identity.on_behalf_of,
            identity.session_ends,
        )
        self._claims(
            admitted, now, ""
        )  # what the verifier would not take is said here, where there is somebody to read
        code = secret(self.entropy(ENTROPY))
        kept = await self.book.answer(
            begun.id,
            admitted,
            hashed(code),
            now,
            assertion=hashed(f"{provider.entity_id}|{identity.assertion}"),
            remember_until=identity.deliverable_until,
        )
        if not kept:
            raise TokenFault(f"this assertion or this sign-in was used before; {_AGAIN}")
        self.say(f"saml {provider.name}: {identity.subject!r} signed in as agent {identity.agent!r}")
        return _to_the_command_line(begun, code, admitted)

    async def _token(self, form: Mapping[str, str]) -> Response:
        now = self.now()
        admitted = await self.book.take(form["id"], hashed(form["code"]), hashed(form["verifier"]), now)
        if admitted is None or admitted.provider not in self.federations:
            raise TokenFault(f"this code does not fit, was used, or is too old; {_AGAIN}")
        claims = self._claims(admitted, now, secret(self.entropy(ENTROPY)))
        token = await mint(claims, self.signer)
        return _json(200, {"token": token.reveal(), "expires_at": claims["exp"]})

    def _claims(self, admitted: Admitted, now: float, id: str) -> Mapping[str, object]:
        return claims_of(
            admitted.provider,
            admitted.subject,
            admitted.agent,
            admitted.groups,
            admitted.on_behalf_of,
            session_ends=admitted.session_ends,
            max_lifetime=self.federations[admitted.provider].max_lifetime,
            now=now,
            id=id,
        )


def service_of(origin: str, provider: str) -> str:
    """What a provider calls the gateway unless it is configured otherwise, and the stem of its addresses here."""
    return f"{origin}{PREFIX}{provider}"


def acs_of(origin: str, provider: str) -> str:
    """Where a provider's answers are taken: an address of its own, so that none can pass for another's."""
    return f"{service_of(origin, provider)}/acs"


def _decoded(text: str) -> bytes:
    """Base64, whose lines some providers break."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise TokenFault(f"the SAML response is not base64; {_AGAIN}") from None


def _to_the_command_line(begun: SignIn, code: str, admitted: Admitted) -> Response:
    """By the browser's own loopback or by the person's hand; either way only after they have read what it means.

    With a session at the provider a sign-in takes no act of theirs, and any program on their machine can begin one.
    """
    who = f"You are signed in as {admitted.subject}. "
    asked = f"a token that acts for you, as agent {admitted.agent}"
    if begun.port:
        url = f"http://127.0.0.1:{begun.port}/?{urlencode({'id': begun.id, 'code': code})}"
        text = (
            f"{who}A program on this computer asks for {asked}. Continue if you have just started blastwall login "
            "yourself. If not, close this page: it gets nothing."
        )
        body = f'{_notice("Is it you?", text)}<p><a class="button" href="{escape(url)}">Continue</a></p>'
        return Response(200, page.document("Signed in", body))
    text = (
        f"{who}Paste this code where you have just started blastwall login yourself: it gets {asked}. "
        "Nobody else may have it: who asks you for it wants to act as you."
    )
    return Response(200, page.document("Signed in", f"{_notice('Is it you?', text)}<pre>{escape(code)}</pre>"))


def _notice(title: str, text: str) -> str:
    return f"<h1>{escape(title)}</h1><p>{escape(visible(text))}</p>"


def _json(status: int, answer: Mapping[str, object]) -> Response:
    return Response(status, json.dumps(answer).encode(), _JSON)


def _refusal(status: int, reason: str, *, browser: bool) -> Response:
    if not browser:
        return _json(status, {"error": reason})
    return Response(status, page.document("Not signed in", _notice("Not signed in", f"{reason}.")))
