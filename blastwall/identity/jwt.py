"""Verify a signed access token (RFC 7519, RFC 9068, RFC 8725), more strictly than the library does by itself."""

from __future__ import annotations

from dataclasses import dataclass

from blastwall.identity.claims import ClaimNames
from blastwall.identity.keys import KeySet
from blastwall.model import Principal, Secret

MAX_TOKEN = 8192  # bytes


@dataclass(frozen=True, slots=True)
class IssuerRules:
    """What the gateway accepts of one issuer. Raises ValueError on construction when a rule would open more than it closes."""

    issuer: str  # the exact ``iss``
    audience: str  # the exact ``aud``
    algorithms: frozenset[str] = frozenset({"ES256", "EdDSA"})
    types: frozenset[str] = frozenset({"at+jwt", "JWT"})  # "" admits a token without ``typ``
    claims: ClaimNames = ClaimNames()
    leeway: float = 30.0  # seconds, at most 30: for ``iat`` and ``nbf``; ``exp`` has none
    max_lifetime: float = 12 * 3600.0  # seconds from ``iat`` to ``exp``


def verify(token: Secret, issuer: IssuerRules, keys: KeySet, now: float) -> Principal:
    """The principal a token speaks for, at wall time ``now``. Raises TokenFault; UnknownKey when the key set may be old."""
    raise NotImplementedError


def unverified_issuer(token: Secret) -> str:
    """The ``iss`` a token claims, fit only as a dictionary key. Raises TokenFault when the token is not well-formed."""
    raise NotImplementedError
