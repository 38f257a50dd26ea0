"""An issuer's public keys, each pinned to the one algorithm it may verify."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from blastwall.errors import TokenFault, UpstreamFault
from blastwall.identity.json_object import read_object

MAX_DOCUMENT = 64 * 1024  # bytes of a JWK Set; the large public ones have under 10 KiB
MAX_KEYS = 64
MAX_KID = 256  # characters
RSA_BITS = range(
    2048, 8193
)  # below: breakable (RFC 7518 section 3.3); above: verification becomes a way to burn our time

RULES: Mapping[str, Any] = MappingProxyType(
    tomllib.loads(resources.files("blastwall.identity").joinpath("tokens.toml").read_text(encoding="utf-8"))
)
ALGORITHMS: frozenset[str] = frozenset(RULES["algorithms"])


class UnknownKey(TokenFault):
    """The token names a key that the set does not hold: the holder may ask its issuer again, within its limits."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key. ``algorithm`` is fixed when the key is read: a header can only agree with it or be refused."""

    kid: str | None
    algorithm: str
    public: Any  # cryptography's public key object


@dataclass(frozen=True, slots=True)
class KeySet:
    """Usable keys. ``refused`` says in one line each which keys of the document were left out, and why."""

    keys: tuple[Key, ...]
    refused: tuple[str, ...] = ()
    _by_kid: Mapping[str, Key] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_kid", {key.kid: key for key in self.keys if key.kid is not None})

    def find(self, kid: str | None) -> Key:
        """The key a token's header asks for; ``kid`` is nothing but a dictionary key.

        Raises UnknownKey, or TokenFault when ``kid`` is missing although there are several keys to choose from.
        """
        if kid is None:
            if len(self.keys) == 1:
                return self.keys[0]
            raise TokenFault(
                "the token's header names no key (kid) and its issuer has several; ask for a token that names one"
            )
        key = self._by_kid.get(kid)
        if key is None:
            raise UnknownKey(
                "the token is signed with a key its issuer does not publish; ask your identity provider for a new token"
            )
        return key


def read_jwks(document: bytes, algorithms: frozenset[str]) -> KeySet:
    """Read a JWK Set (RFC 7517), at most 64 KiB and 64 keys, keeping the keys that one of ``algorithms`` can use.

    A key is left out, with its reason in ``refused``, when it is symmetric, not for signatures, of another algorithm,
    weak, malformed, or shares its ``kid``. A key without ``alg`` is pinned only if just one of ``algorithms`` fits it.

    Raises UpstreamFault when the document is not a JWK Set or holds no usable key.
    """
    if len(document) > MAX_DOCUMENT:
        raise UpstreamFault(f"the issuer's key document is larger than {MAX_DOCUMENT} bytes; check its jwks_uri")
    try:
        entries = read_object(document).get("keys")
    except ValueError as fault:
        raise UpstreamFault(f"the issuer's key document does not read ({fault}); check its jwks_uri") from None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise UpstreamFault(f"the issuer's key document has no list of at most {MAX_KEYS} keys; check its jwks_uri")
    keys: list[Key] = []
    refused: list[str] = []
    for number, entry in enumerate(entries, start=1):
        try:
            keys.append(_key(entry, algorithms))
        except ValueError as fault:
            refused.append(f"key {number}: {fault}")
    kids = [key.kid for key in keys]
    for kid in {kid for kid in kids if kids.count(kid) > 1}:
        refused.append(f"key {kid!r}: published more than once")
        keys = [key for key in keys if key.kid != kid]
    if not keys:
        raise UpstreamFault("the issuer publishes no usable key: " + ("; ".join(refused) or "its key list is empty"))
    return KeySet(tuple(keys), tuple(refused))


def _key(entry: object, algorithms: frozenset[str]) -> Key:
    if not isinstance(entry, dict):
        raise ValueError("not an object")  # noqa: TRY004  every refusal of a key is one kind of finding
    kid = entry.get("kid")
    if kid is not None and (not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID):
        raise ValueError(f"its kid is not text of 1 to {MAX_KID} characters")
    if entry.get("use", "sig") != "sig":
        raise ValueError("not for signatures (use)")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("not for verifying (key_ops)")
    algorithm = _pin(entry, algorithms)
    kty = entry["kty"]
    public = {"kty": kty} | {name: entry.get(name) for name in RULES["public_members"][kty]}
    if not all(isinstance(value, str) for value in public.values()):
        raise ValueError("a public member is missing or not text")
    try:
        made = PyJWK(public, algorithm).key
    except (PyJWTError, ValueError, TypeError):
        raise ValueError("its numbers do not make a key") from None
    if kty == "RSA" and made.key_size not in RSA_BITS:
        raise ValueError(f"RSA of {made.key_size} bits (from {RSA_BITS.start} to {RSA_BITS.stop - 1} are read)")
    return Key(kid, algorithm, made)


def _pin(entry: Mapping[str, Any], algorithms: frozenset[str]) -> str:
    """The one algorithm of a key: its own ``alg`` if allowed, else the only allowed one that fits it."""
    kty, crv = entry.get("kty"), entry.get("crv")
    if kty not in RULES["public_members"]:
        raise ValueError("symmetric or of an unknown type (kty)")
    fitting = {
        name
        for name in algorithms & ALGORITHMS
        if RULES["algorithms"][name]["kty"] == kty and RULES["algorithms"][name].get("crv", crv) == crv
    }
    declared = entry.get("alg")
    if declared is not None:
        fitting &= {declared} if isinstance(declared, str) else set()
    if not fitting:
        raise ValueError("its algorithm is not among the issuer's allowed ones")
    if len(fitting) > 1:
        raise ValueError(
            "it names no alg and several allowed algorithms fit; allow exactly one of " + ", ".join(sorted(fitting))
        )
    return fitting.pop()
