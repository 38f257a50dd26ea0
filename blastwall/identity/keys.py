"""An issuer's public keys, each pinned to the one algorithm it may verify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blastwall.errors import TokenFault


class UnknownKey(TokenFault):
    """The token names a key that the set does not hold: the holder may ask its issuer again, within its limits."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key. ``algorithm`` is fixed when the key is read: what a token's header says can only agree or be refused."""

    kid: str | None
    algorithm: str
    public: Any  # cryptography's public key object


@dataclass(frozen=True, slots=True)
class KeySet:
    """Usable keys by ``kid``. ``refused`` says in one line each which keys of the document were left out and why."""

    keys: tuple[Key, ...]
    refused: tuple[str, ...] = ()
    _by_kid: Mapping[str, Key] = field(default_factory=dict, repr=False, compare=False)

    def find(self, kid: str | None) -> Key:
        """The key a token's header asks for. Raises UnknownKey, or TokenFault when ``kid`` is missing among several keys."""
        raise NotImplementedError


def read_jwks(document: bytes, algorithms: frozenset[str]) -> KeySet:
    """Read a JWK Set (RFC 7517), at most 64 KiB, keeping the keys that one of ``algorithms`` can use.

    Raises UpstreamFault when the document is not a JWK Set or holds no usable key.
    """
    raise NotImplementedError
