"""Signing people in by OpenID Connect: the authorization code flow with PKCE (RFC 7636), state, nonce and iss. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from urllib.parse import urlencode

from blastwall.errors import TokenFault, UpstreamFault

CALLBACK = "/sign-in/callback"
LARGEST_DOCUMENT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Client:
    """The page as the identity provider knows it. ``secret`` "": a public client, which PKCE protects alone."""

    issuer: str
    client_id: str
    secret: str = ""
    scopes: tuple[str, ...] = ("openid", "profile")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the provider takes people, and where it gives tokens for codes."""

    authorization: str
    token: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in under way, kept in the browser that began it."""

    state: str
    verifier: str
    nonce: str
    next: str = "/"

    def cookie(self) -> str:
        """The attempt as a cookie's value."""
        text = json.dumps([self.state, self.verifier, self.nonce, self.next])
        return base64.urlsafe_b64encode(text.encode()).decode("ascii").rstrip("=")

    @classmethod
    def from_cookie(cls, value: str) -> Attempt | None:
        """None for what is no attempt."""
        try:
            found = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
            state, verifier, nonce, next = map(str, found)
        except (ValueError, TypeError):
            return None
        return cls(state, verifier, nonce, local(next))


def attempt(entropy: bytes, next: str) -> Attempt:
    """A new attempt from 96 random bytes."""
    if len(entropy) < 96:
        raise ValueError("an attempt needs 96 random bytes")
    state, verifier, nonce = (
        base64.urlsafe_b64encode(entropy[start : start + 32]).decode("ascii").rstrip("=") for start in (0, 32, 64)
    )
    return Attempt(state, verifier, nonce, local(next))


def endpoints_of(document: bytes, issuer: str) -> Endpoints:
    """From the discovery document, which must be the issuer's own. Raises UpstreamFault."""
    try:
        found = json.loads(document)
        endpoints = Endpoints(str(found["authorization_endpoint"]), str(found["token_endpoint"]))
    except (ValueError, KeyError, TypeError) as fault:
        raise UpstreamFault("the identity provider's discovery document names no endpoints to sign in at") from fault
    if found.get("issuer") != issuer:
        raise UpstreamFault("the discovery document is of another issuer")
    return endpoints


def authorization_url(client: Client, endpoints: Endpoints, origin: str, attempt: Attempt) -> str:
    """Where to send the browser."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).decode().rstrip("=")
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": origin + CALLBACK,
        "scope": " ".join(client.scopes),
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{endpoints.authorization}{'&' if '?' in endpoints.authorization else '?'}{urlencode(query)}"


def code_of(client: Client, attempt: Attempt, query: Mapping[str, str]) -> str:
    """The code that the provider sent the browser back with. Raises TokenFault when it is not the answer to this."""
    if not compare_digest(query.get("state", "").encode(), attempt.state.encode()):
        raise TokenFault("this is not the answer to a sign-in that this browser began; sign in again")
    if query.get("iss", client.issuer) != client.issuer:
        raise TokenFault("the answer is of another identity provider; sign in again")
    if not query.get("code"):
        raise TokenFault("the identity provider did not sign you in; ask its operator, or sign in again")
    return query["code"]


def exchange_form(client: Client, origin: str, attempt: Attempt, code: str) -> bytes:
    """What to post to the token endpoint."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": origin + CALLBACK,
        "client_id": client.client_id,
        "code_verifier": attempt.verifier,
    }
    if client.secret:
        form["client_secret"] = client.secret
    return urlencode(form).encode("ascii")


def id_token_of(answer: bytes, attempt: Attempt) -> str:
    """The ID token of the token endpoint's answer; its signature is not judged here. Raises TokenFault."""
    try:
        token = str(json.loads(answer)["id_token"])
        payload = token.split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        nonce = str(claims["nonce"])
    except (ValueError, KeyError, TypeError, IndexError) as fault:
        raise TokenFault("the identity provider gave no ID token; ask its operator") from fault
    if not compare_digest(nonce.encode(), attempt.nonce.encode()):
        raise TokenFault("the ID token was made for another sign-in; sign in again")
    return token


def local(next: str) -> str:
    """A path of this page, whatever was asked for: never another site."""
    plain = next.startswith("/") and not next.startswith(("//", "/\\")) and next.isprintable() and len(next) <= 200
    return next if plain else "/"
