"""Keep one issuer's keys fresh through an injected fetch: when to ask again, and what to trust meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from blastwall.identity.jwt import IssuerRules
from blastwall.identity.keys import KeySet

Fetch = Callable[[str, int], Awaitable[bytes]]  # (url, most bytes) -> body of a 200; raises UpstreamFault; follows no redirect


class KeySource(Protocol):
    """Where a verifier gets an issuer's keys."""

    async def current(self) -> KeySet:
        """Keys to verify with now. Raises TokenFault when there are none that may still be trusted."""
        ...

    async def after_unknown(self, kid: str | None) -> KeySet:
        """Keys to try once more after ``kid`` was not found: fetched anew, if the limits allow."""
        ...


class FixedKeys:
    """Keys that were given, not fetched."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    async def current(self) -> KeySet:
        return self._keys

    async def after_unknown(self, kid: str | None) -> KeySet:
        return self._keys


class FetchedKeys:
    """Keys fetched from the issuer. ``jwks_uri`` None: found by discovery, and then on the issuer's own origin only."""

    def __init__(
        self, rules: IssuerRules, fetch: Fetch, monotonic: Callable[[], float], *, jwks_uri: str | None = None
    ) -> None:
        raise NotImplementedError

    async def current(self) -> KeySet:
        raise NotImplementedError

    async def after_unknown(self, kid: str | None) -> KeySet:
        raise NotImplementedError
