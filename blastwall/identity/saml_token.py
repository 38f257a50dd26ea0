"""The gateway's own token, which a SAML assertion is exchanged for: short-lived, of one more issuer to the verifier.

Each SAML provider is an issuer of its own (``urn:blastwall:saml:NAME``), so that people of two providers never share a
subject. The type is this token's alone: nothing else that the key might sign passes for one. Pure; no XML here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from jwt.algorithms import ECAlgorithm

from blastwall.errors import TokenFault
from blastwall.identity.claims import ClaimNames, principal_of
from blastwall.identity.jwt import MAX_TOKEN, IssuerRules
from blastwall.identity.keys import KeySet, read_jwks
from blastwall.model import Secret

TYPE: Final = "gateway+jwt"
AUDIENCE: Final = "blastwall"
ALGORITHM: Final = "ES256"
LEAST_SECONDS: Final = 30.0  # a token that would live shorter is not made

_SIGNATURE: Final = 86  # characters of ES256 in base64url


class TokenSigner(Protocol):
    """A P-256 key that signs tokens."""

    @property
    def public(self) -> EllipticCurvePublicKey:
        """Its public half."""
        ...

    async def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256 over the message: r and s of 32 bytes each (RFC 7518 section 3.4). Raises OurFault."""
        ...


def issuer_of(provider: str) -> str:
    """The ``iss`` of tokens for people of a SAML provider."""
    return f"urn:blastwall:saml:{provider}"


def rules_of(provider: str, max_lifetime: float) -> IssuerRules:
    """How the verifier takes them; ``max_lifetime`` in seconds."""
    return IssuerRules(
        issuer_of(provider),
        AUDIENCE,
        algorithms=frozenset({ALGORITHM}),
        types=frozenset({TYPE}),
        claims=ClaimNames(),
        max_lifetime=max_lifetime,
    )


def key_set(public: EllipticCurvePublicKey) -> KeySet:
    """The key as the verifier takes it: given, not fetched. Raises ValueError when it is not on P-256."""
    return read_jwks(json.dumps({"keys": [_jwk(public)]}).encode(), frozenset({ALGORITHM}))


def claims_of(
    provider: str,
    subject: str,
    agent: str,
    groups: Sequence[str],
    on_behalf_of: str | None,
    *,
    session_ends: float | None,
    max_lifetime: float,
    now: float,
    id: str,
) -> Mapping[str, Any]:
    """The token's claims at wall time ``now``; it ends with the provider's session, or after ``max_lifetime`` seconds.

    Raises TokenFault when the verifier would not take it: names that are no names, too many groups, a session at its
    end.
    """
    issued = int(now)
    ends = min(issued + max_lifetime, session_ends or issued + max_lifetime)
    if ends < now + LEAST_SECONDS:
        raise TokenFault("your session at the identity provider is about to end; sign in there anew, then start again")
    claims: dict[str, Any] = {
        "iss": issuer_of(provider),
        "aud": AUDIENCE,
        "sub": subject,
        "agent": agent,
        "groups": sorted(set(groups)),
        "iat": issued,
        "exp": int(ends),
        "jti": id,
    }
    if on_behalf_of is not None:
        claims["on_behalf_of"] = on_behalf_of
    principal_of(claims, ClaimNames(), token_id="")
    size = len(_part(_header("x" * 43))) + len(_part(claims)) + _SIGNATURE + 2
    if size > MAX_TOKEN:
        raise TokenFault(
            f"a token with so many groups would have {size} bytes, at most {MAX_TOKEN} are accepted; "
            "ask your identity provider's administrator to send fewer groups to the gateway"
        )
    return claims


async def mint(claims: Mapping[str, Any], signer: TokenSigner) -> Secret:
    """The signed token (RFC 7515, compact). Raises OurFault when the key does not sign."""
    kid = str(_jwk(signer.public)["kid"])
    message = f"{_part(_header(kid))}.{_part(claims)}"
    return Secret(f"{message}.{_encode(await signer.sign(message.encode('ascii')))}")


def _header(kid: str) -> Mapping[str, str]:
    return {"typ": TYPE, "alg": ALGORITHM, "kid": kid}


def _part(value: Mapping[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _jwk(public: EllipticCurvePublicKey) -> Mapping[str, str]:
    """Named by its thumbprint (RFC 7638)."""
    if not isinstance(public.curve, SECP256R1):
        raise ValueError("the gateway's tokens are signed with a key on P-256")  # noqa: TRY004  a bad value, not type
    made = ECAlgorithm.to_jwk(public, as_dict=True)
    required = {name: str(made[name]) for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(json.dumps(required, separators=(",", ":"), sort_keys=True).encode()).digest()
    return required | {"kid": _encode(digest), "use": "sig", "alg": ALGORITHM}
