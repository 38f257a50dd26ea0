"""Verify a signed access token (RFC 7519, RFC 9068, RFC 8725), more strictly than the library does by itself.

PyJWT checks the signature and nothing else here: by itself it accepts tokens without ``exp``, any issuer, ``exp`` as
text or 1e308, members named twice, padded base64 and shared audiences, and it reads the machine's own clock.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jwt import PyJWS
from jwt.exceptions import PyJWTError

from blastwall.errors import TokenFault
from blastwall.identity.claims import ClaimNames, principal_of
from blastwall.identity.json_object import read_object
from blastwall.identity.keys import ALGORITHMS, MAX_KID, RULES, KeySet
from blastwall.model import Principal, Secret

MAX_TOKEN = 8192  # bytes
MAX_LEEWAY = 30.0  # seconds
LAST_SECOND = (
    253_402_300_799  # the end of year 9999: a later time is nonsense, and would not fit where it is written down
)

_NEW = "ask your identity provider for a new token"


@dataclass(frozen=True, slots=True)
class IssuerRules:
    """What the gateway accepts of one issuer. Raises ValueError when a rule would open more than it closes."""

    issuer: str  # the exact ``iss``
    audience: str  # the exact ``aud``, or value of ``audience_claim``
    algorithms: frozenset[str] = frozenset({"ES256", "EdDSA"})
    types: frozenset[str] = frozenset({"at+jwt", "JWT"})  # "" admits a token without ``typ``
    claims: ClaimNames = field(default_factory=ClaimNames)
    leeway: float = MAX_LEEWAY  # seconds: for ``iat`` and ``nbf`` only; an expired token is expired
    max_lifetime: float = 12 * 3600.0  # seconds from ``iat`` to ``exp``
    audience_claim: str = "aud"  # Amazon Cognito's access tokens have no ``aud``, but ``client_id``

    def __post_init__(self) -> None:
        if not self.issuer or "|" in self.issuer:
            raise ValueError(
                "issuer must be the exact iss claim, without '|' (it separates issuer and subject in a principal)"
            )
        if not self.audience:
            raise ValueError("audience must be the exact aud claim of tokens meant for this gateway")
        if not self.algorithms or not self.algorithms <= ALGORITHMS:
            raise ValueError(f"algorithms must be some of {', '.join(sorted(ALGORITHMS))}")
        if self.audience_claim not in ("aud", "client_id"):
            raise ValueError("audience_claim is aud, or client_id for tokens without aud")
        if not self.types:
            raise ValueError("types must name at least one typ, for example at+jwt")
        if not 0 <= self.leeway <= MAX_LEEWAY:
            raise ValueError(f"leeway must be 0 to {MAX_LEEWAY:g} seconds")
        if not 0 < self.max_lifetime <= LAST_SECOND:
            raise ValueError("max_lifetime must be a positive number of seconds")


def verify(token: Secret, issuer: IssuerRules, keys: KeySet, now: float) -> Principal:
    """The principal a token speaks for, at wall time ``now``.

    Raises TokenFault with a reason that is safe to show; UnknownKey (a TokenFault) when the key set may be out of date.
    """
    header, _ = _split(token)
    _judge_header(header, issuer)
    key = keys.find(header.get("kid"))
    if header.get("alg") != key.algorithm or key.algorithm not in issuer.algorithms:
        raise TokenFault(f"the token is not signed the way its issuer's key is used; {_NEW}")
    try:
        payload = PyJWS(
            algorithms=[key.algorithm], options={"verify_signature": True, "enforce_minimum_key_length": True}
        ).decode(token.reveal(), key.public, algorithms=[key.algorithm])
    except (PyJWTError, ValueError, TypeError):
        raise TokenFault(f"the token's signature does not verify; {_NEW}") from None
    claims = _object(payload, "payload")
    _judge_claims(claims, issuer, now)
    return principal_of(claims, issuer.claims, token_id=token_id(token))


def token_id(token: Secret) -> str:
    """SHA-256 (hex) of the token: names it without keeping it."""
    return hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).hexdigest()


def unverified_issuer(token: Secret) -> str:
    """The ``iss`` a token claims, fit only as a dictionary key. Raises TokenFault when the token is not well-formed."""
    issuer = _object(_split(token)[1], "payload").get("iss")
    if not isinstance(issuer, str):
        raise TokenFault(f"the token names no issuer (iss); {_NEW}")
    return issuer


def unverified_key_id(token: Secret) -> str | None:
    """The ``kid`` a token's header names, fit only as a dictionary key. Raises TokenFault when not well-formed."""
    kid = _split(token)[0].get("kid")
    return kid if isinstance(kid, str) else None


def _split(token: Secret) -> tuple[dict[str, Any], bytes]:
    """Header and payload of a token that has the form of one; nothing of it is verified."""
    text = token.reveal()
    if len(text) > MAX_TOKEN:
        raise TokenFault(f"the token is longer than {MAX_TOKEN} bytes; ask for one with fewer groups or claims")
    parts = text.split(".")
    if len(parts) == 5:
        raise TokenFault(f"the token is encrypted (JWE); {_NEW} that is signed only")
    if len(parts) != 3 or not all(parts):
        raise TokenFault(
            "this is not a signed access token (three parts joined by dots); paste the whole token, and nothing else"
        )
    header, payload, _ = (_decode(part) for part in parts)
    return _object(header, "header"), payload


def _decode(part: str) -> bytes:
    """base64url without padding (RFC 7515 section 2), in its one canonical spelling."""
    try:
        decoded = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part.encode("utf-8", "surrogatepass"):
        raise TokenFault("the token is damaged: a part is not base64url; copy it again without line breaks or quotes")
    return decoded


def _object(raw: bytes, part: str) -> dict[str, Any]:
    try:
        return read_object(raw)
    except ValueError as fault:
        raise TokenFault(f"the token's {part} does not read ({fault}); {_NEW}") from None


def _judge_header(header: Mapping[str, Any], issuer: IssuerRules) -> None:
    for name in RULES["header"]["refused"]:
        if name in header:
            raise TokenFault(f"the token's header uses {name!r}, which is not accepted here; {_NEW} without it")
    kid = header.get("kid")
    if "kid" in header and (not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID):
        raise TokenFault(f"the token's key id (kid) is not text of 1 to {MAX_KID} characters; {_NEW}")
    typ = header.get("typ", "")
    if not isinstance(typ, str) or _media_type(typ) not in {_media_type(allowed) for allowed in issuer.types}:
        accepted = ", ".join(sorted(kind or "none" for kind in issuer.types))
        raise TokenFault(f"the token is not an access token (typ must be one of: {accepted}); present the access token")


def _media_type(typ: str) -> str:
    """RFC 7515 section 4.1.9: compared without case, and ``application/`` may be left out."""
    return typ.lower().removeprefix("application/")


def _judge_claims(claims: Mapping[str, Any], issuer: IssuerRules, now: float) -> None:
    for name in RULES["claims"]["refused"]:
        if name in claims:
            raise TokenFault(f"this is not an access token (it has {name!r}); present the access token")
    for name, kinds in RULES["claims"]["kinds"].items():
        if name in claims and str(claims[name]).lower() not in kinds:
            raise TokenFault(f"this is not an access token ({name!r} says otherwise); present the access token")
    for name in ("exp", "iat", "iss", issuer.audience_claim, "sub"):
        if claims.get(name) is None:
            raise TokenFault(f"the token has no {name!r} claim; {_NEW} that has one")
    if claims["iss"] != issuer.issuer:
        raise TokenFault(f"the token's issuer is not the configured one, character by character; {_NEW}")
    _judge_audience(claims, issuer.audience, issuer.audience_claim)
    _judge_times(claims, issuer, now)


def _judge_audience(claims: Mapping[str, Any], expected: str, claim: str) -> None:
    """``aud`` is ours alone, or shared and ``azp`` says that it was issued to us (OpenID Connect Core section 2)."""
    audience = claims[claim]
    several = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in several) or expected not in several:
        raise TokenFault(f"the token is for another audience; ask for one whose audience ({claim}) is {expected!r}")
    if set(several) != {expected} and claims.get("azp") != expected:
        raise TokenFault(
            f"the token is shared with other audiences; ask for one whose only audience (aud) is {expected!r}"
        )


def _judge_times(claims: Mapping[str, Any], issuer: IssuerRules, now: float) -> None:
    for name in ("exp", "iat", "nbf"):
        value = claims.get(name, 0)
        if type(value) is not int or not 0 <= value <= LAST_SECOND:  # not isinstance: a bool is an int
            raise TokenFault(f"the token's {name!r} is not a whole number of seconds since 1970; {_NEW}")
    expires, issued = claims["exp"], claims["iat"]
    if now >= expires:
        raise TokenFault(f"the token has expired; {_NEW}")
    if issued > now + issuer.leeway or claims.get("nbf", 0) > now + issuer.leeway:
        raise TokenFault(
            "the token is not valid yet; check the clocks of the identity provider and the gateway, then try again"
        )
    if expires - issued > issuer.max_lifetime:
        raise TokenFault(
            f"the token lives {expires - issued} seconds, at most {issuer.max_lifetime:g} are accepted; "
            "ask for one that lives shorter"
        )
