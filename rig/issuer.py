"""A local OIDC issuer: real keys in the state directory, real signatures, discovery and JWKS on loopback.

Whoever can read the state directory can make any token: that is what a local rig is for, and why nothing outside it
trusts this issuer.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from blastwall.approvals.web import Request, Response
from blastwall.identity.jwt import IssuerRules
from blastwall.identity.keys import KeySet, read_jwks
from blastwall.local.loopback import Loopback

PORT = 7480
AUDIENCE = "blastwall"
KEPT = 3  # keys of one algorithm that stay published, so that tokens live through a rotation

_GENERATORS: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
        "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }
)
_JWK: Mapping[str, Any] = MappingProxyType({"ES256": ECAlgorithm, "EdDSA": OKPAlgorithm, "RS256": RSAAlgorithm})


@dataclass(frozen=True, slots=True)
class _Stored:
    """What ``STATE/issuer/issuer.json`` holds. Keys by algorithm as PEM, the newest first."""

    port: int
    audience: str
    keys: Mapping[str, list[str]] = field(default_factory=dict)


class LocalIssuer:
    """``LocalIssuer.open(state_dir)`` makes the keys on first use; :meth:`serve` publishes them, :meth:`mint` signs.

    Several processes may use one state directory at once: each reads the file anew where it matters.
    """

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._server: Loopback | None = None

    @classmethod
    def open(
        cls,
        state_dir: Path,
        *,
        port: int | None = None,
        audience: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> LocalIssuer:
        """The issuer of a state directory. ``port`` and ``audience`` are kept there (first: 7480 and "blastwall").

        Raises OSError when the directory or the file in it cannot be made, is damaged, or is open to other users.
        """
        directory = state_dir / "issuer"
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        issuer = cls(directory, clock)
        with issuer._locked() as stored:
            changes: dict[str, Any] = {"port": port, "audience": audience}
            issuer._keep(replace(stored, **{name: value for name, value in changes.items() if value is not None}))
            if "ES256" not in stored.keys:
                issuer._make("ES256")
        return issuer

    @property
    def issuer(self) -> str:
        """The exact ``iss`` of its tokens, and where its discovery document is. May change in :meth:`serve`."""
        return f"http://127.0.0.1:{self._read().port}"

    @property
    def audience(self) -> str:
        """What the gateway expects of an agent's token."""
        return self._read().audience

    @property
    def approver_audience(self) -> str:
        """What an approver's token is for: a token that opens the gateway (``audience``) cannot approve."""
        return f"{self.audience}/approvals"

    def rules(self, audience: str | None = None) -> IssuerRules:
        """Verify this issuer's tokens so; without ``audience`` the agents'."""
        return IssuerRules(
            self.issuer, audience or self.audience, algorithms=frozenset(_GENERATORS), types=frozenset({"at+jwt"})
        )

    def mint(
        self,
        agent: str,
        groups: Iterable[str] = (),
        on_behalf_of: str | None = None,
        ttl: float = 3600.0,
        *,
        algorithm: str = "ES256",
        **overrides: object,
    ) -> str:
        """A signed access token that lives ``ttl`` whole seconds (at least 1). ``overrides``: claims; None drops one.

        Raises ValueError for an unknown algorithm or a ``ttl`` below 1.
        """
        if algorithm not in _GENERATORS:
            raise ValueError(f"algorithm must be one of {', '.join(_GENERATORS)}")
        if not ttl >= 1:
            raise ValueError("a token lives at least one second")
        stored = self._read()
        if algorithm not in stored.keys:
            with self._locked():
                stored = self._make(algorithm)
        key = _private(stored.keys[algorithm][0])
        now = int(self._clock())
        claims: dict[str, object] = {
            "iss": f"http://127.0.0.1:{stored.port}",
            "aud": stored.audience,
            "sub": agent,
            "agent": agent,
            "groups": list(dict.fromkeys(groups)),
            "on_behalf_of": on_behalf_of,
            "iat": now,
            "exp": now + int(ttl),
            "jti": str(uuid.uuid4()),
        } | overrides
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"typ": "at+jwt", "kid": _jwk(algorithm, key)["kid"]}
        return jwt.encode(claims, key, algorithm=algorithm, headers=header)

    def jwks(self) -> bytes:
        """The published keys, as :meth:`serve` answers them."""
        stored = self._read()
        keys = [_jwk(algorithm, _private(pem)) for algorithm, pems in stored.keys.items() for pem in pems]
        return json.dumps({"keys": keys}).encode()

    def key_set(self) -> KeySet:
        """The published keys without a fetch."""
        return read_jwks(self.jwks(), frozenset(_GENERATORS))

    def rotate(self, algorithm: str = "ES256") -> str:
        """Sign with a new key from now on; the two before it stay published. Returns the new key's id."""
        with self._locked():
            stored = self._make(algorithm)
        return str(_jwk(algorithm, _private(stored.keys[algorithm][0]))["kid"])

    def serve(self) -> None:
        """Listen on 127.0.0.1 in a thread until :meth:`stop`.

        If the port is taken by somebody else, another one is used from then on: ask :attr:`issuer` afterwards.
        """
        if self._server is not None:
            return
        server = Loopback("127.0.0.1", self._read().port, "issuer")
        with self._locked() as stored:
            self._keep(replace(stored, port=server.port))
        self._server = server
        server.start(self._answer)

    def stop(self) -> None:
        """Stop listening; a second time does nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _answer(self, request: Request) -> Response:
        if request.method == "POST":
            return Response(405)
        if request.path == "/.well-known/openid-configuration":
            return Response(200, json.dumps(_discovery(self)).encode(), "application/json")
        if request.path in ("/jwks", "/jwks.json"):
            return Response(200, self.jwks(), "application/json")
        return Response(404)

    def _make(self, algorithm: str) -> _Stored:
        """A new key in front. The caller holds the lock."""
        key = _GENERATORS[algorithm]()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii")
        stored = self._read()
        stored = replace(stored, keys={**stored.keys, algorithm: [pem, *stored.keys.get(algorithm, [])][:KEPT]})
        self._keep(stored)
        return stored

    def _read(self) -> _Stored:
        try:
            with (self._directory / "issuer.json").open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise PermissionError(f"{file.name} holds private keys and is open to other users: chmod 600 it")
                return _Stored(**json.loads(file.read()))
        except FileNotFoundError:
            return _Stored(PORT, AUDIENCE)
        except (ValueError, TypeError) as damage:
            file_name = self._directory / "issuer.json"
            raise OSError(
                f"{file_name} is damaged: remove it for new keys; tokens of the old ones open nothing"
            ) from damage

    def _keep(self, stored: _Stored) -> None:
        partial = self._directory / f"issuer.json.{uuid.uuid4().hex}"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            json.dump(asdict(stored), file)
        partial.replace(self._directory / "issuer.json")  # readers see the old one or the new one, never half

    @contextmanager
    def _locked(self) -> Iterator[_Stored]:
        """One writer of all processes at a time; held for as long as it takes to make a key."""
        handle = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(handle)


def _private(pem: str) -> Any:  # noqa: ANN401  one of three key types
    return serialization.load_pem_private_key(pem.encode("ascii"), password=None)


def _jwk(algorithm: str, key: Any) -> dict[str, Any]:  # noqa: ANN401  one of three key types
    """The public half, named by its thumbprint (RFC 7638: SHA-256 over the required members in order)."""
    jwk: dict[str, Any] = _JWK[algorithm].to_jwk(key.public_key(), as_dict=True)
    required = {name: jwk[name] for name in sorted({"crv", "e", "kty", "n", "x", "y"} & set(jwk))}
    digest = hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest()
    kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
    return required | {"kid": kid, "use": "sig", "alg": algorithm}


def _discovery(issuer: LocalIssuer) -> dict[str, object]:
    return {
        "issuer": issuer.issuer,
        "jwks_uri": f"{issuer.issuer}/jwks.json",
        "id_token_signing_alg_values_supported": sorted(_GENERATORS),
        "subject_types_supported": ["public"],
        "response_types_supported": [],
    }
