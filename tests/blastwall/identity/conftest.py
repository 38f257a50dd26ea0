"""A forge: tokens with exactly the bytes a test wants, signed with real keys that need not be the right ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from blastwall.identity.jwt import IssuerRules, verify
from blastwall.identity.keys import KeySet, read_jwks
from blastwall.model import Principal, Secret

NOW = 1_800_000_000
ISSUER = "https://idp.example"
AUDIENCE = "blastwall"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _json(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


class Forge:
    """Three keys (ES256 ``ec``, RS256 ``rsa``, EdDSA ``ed``) published in one set, and an attacker's own (``evil``)."""

    now = NOW

    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ed": ed25519.Ed25519PrivateKey.generate(),
            "evil": ec.generate_private_key(ec.SECP256R1()),
        }
        self.algorithms = {"ec": "ES256", "rsa": "RS256", "ed": "EdDSA", "evil": "ES256"}
        self.rules = IssuerRules(ISSUER, AUDIENCE, algorithms=frozenset({"ES256", "RS256", "EdDSA"}))
        self.keys = self.key_set("ec", "rsa", "ed")

    def jwk(self, kid: str, /, **changes: object) -> dict[str, Any]:
        public = self.private[kid].public_key()
        maker: Any = {"rsa": RSAAlgorithm, "ed": OKPAlgorithm}.get(kid, ECAlgorithm)
        jwk: dict[str, Any] = maker.to_jwk(public, as_dict=True)
        jwk = {name: value for name, value in jwk.items() if name != "key_ops"}
        jwk |= {"kid": kid, "use": "sig", "alg": self.algorithms[kid]} | changes
        return {name: value for name, value in jwk.items() if value is not None}

    def key_set(self, *kids: str) -> KeySet:
        return read_jwks(json.dumps({"keys": [self.jwk(kid) for kid in kids]}).encode(), self.rules.algorithms)

    def public_pem(self, kid: str) -> bytes:
        return (
            self.private[kid]
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def claims(self, **changes: object) -> dict[str, Any]:
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "agent-7",
            "agent": "reporter",
            "groups": ["analysts"],
            "on_behalf_of": "alice@corp.example",
            "iat": NOW - 10,
            "exp": NOW + 3600,
        } | changes
        return {name: value for name, value in claims.items() if value is not ...}

    def header(self, kid: str = "ec", /, **changes: object) -> dict[str, Any]:
        header = {"typ": "at+jwt", "alg": self.algorithms[kid], "kid": kid} | changes
        return {name: value for name, value in header.items() if value is not ...}

    def sign(self, header: object, payload: object, kid: str = "ec") -> str:
        """Sign exactly these bytes (or the JSON of these values) with the key ``kid``."""
        text = f"{b64(_json(header))}.{b64(_json(payload))}"
        return f"{text}.{b64(self._signature(text.encode(), kid))}"

    def sign_hmac(self, header: object, payload: object, secret: bytes) -> str:
        text = f"{b64(_json(header))}.{b64(_json(payload))}"
        return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    def _signature(self, message: bytes, kid: str) -> bytes:
        key = self.private[kid]
        if kid == "rsa":
            return bytes(key.sign(message, padding.PKCS1v15(), hashes.SHA256()))
        if kid == "ed":
            return bytes(key.sign(message))
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def token(self, *, kid: str = "ec", header: dict[str, object] | None = None, **claims: object) -> str:
        """A good token, but for the changes; ``...`` takes a member away."""
        return self.sign(self.header(kid, **(header or {})), self.claims(**claims), kid)

    def verify(self, token: str, rules: IssuerRules | None = None, keys: KeySet | None = None) -> Principal:
        return verify(Secret(token), rules or self.rules, keys or self.keys, NOW)


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge()
