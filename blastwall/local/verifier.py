"""``ports.Verifier`` over several issuers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from blastwall.errors import TokenFault
from blastwall.identity.jwks import KeySource
from blastwall.identity.jwt import MAX_TOKEN, IssuerRules, token_id, unverified_issuer, unverified_key_id, verify
from blastwall.identity.keys import KeySet, UnknownKey
from blastwall.model import Principal, Secret
from blastwall.ports import Clock


class TokenVerifier:
    """Tokens of the configured issuers to principals, with a bounded cache by token hash.

    Make the key sources with ``FetchedKeys(rules, fetch, clock.monotonic, jwks_uri=...)`` or ``FixedKeys(...)``.
    Raises ValueError when two rules name the same issuer.
    """

    def __init__(
        self, issuers: Sequence[tuple[IssuerRules, KeySource]], clock: Clock, *, cache_size: int = 4096
    ) -> None:
        self._issuers = _by_name(issuers)
        self._clock = clock
        self._cache_size = cache_size
        self._cache: OrderedDict[str, tuple[Principal, KeySet]] = OrderedDict()

    @property
    def sources(self) -> tuple[KeySource, ...]:
        """Where the issuers' keys are."""
        return tuple(source for _, source in self._issuers.values())

    def adopt(self, issuers: Sequence[tuple[IssuerRules, KeySource]]) -> None:
        """Accept these from now on and no others; every token is verified anew. Raises ValueError as at the start."""
        self._issuers = _by_name(issuers)
        self._cache.clear()

    async def verify(self, token: Secret) -> Principal:
        """Raises TokenFault with a reason that is safe to show."""
        if len(token.reveal()) <= MAX_TOKEN:
            known = await self._known(token_id(token))
            if known is not None:
                return known
        found = self._issuers.get(unverified_issuer(token))
        if found is None:
            raise TokenFault(
                "the token's issuer is not one this gateway trusts; ask its operator which identity provider to use"
            )
        rules, source = found
        keys = await source.current()
        try:
            principal = verify(token, rules, keys, self._clock.now())
        except UnknownKey:
            keys = await source.after_unknown(unverified_key_id(token))
            principal = verify(token, rules, keys, self._clock.now())
        if self._issuers.get(principal.issuer) is not found:
            return await self.verify(token)  # the configuration changed while keys were fetched
        self._cache[principal.token_id] = (principal, keys)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return principal

    async def _known(self, id: str) -> Principal | None:
        """A verified token again, while it has not expired and its issuer's keys are the ones it was verified with."""
        entry = self._cache.get(id)
        if entry is None:
            return None
        principal, keys = entry
        found = self._issuers.get(principal.issuer)  # None: verified while that issuer was taken away
        if found and await found[1].current() is keys and self._clock.now() < principal.expires_at:
            self._cache.move_to_end(id)
            return principal
        self._cache.pop(id, None)
        return None


def _by_name(issuers: Sequence[tuple[IssuerRules, KeySource]]) -> dict[str, tuple[IssuerRules, KeySource]]:
    found = {rules.issuer: (rules, source) for rules, source in issuers}
    if len(found) != len(issuers):
        raise ValueError("two issuers have the same iss: merge them into one")
    return found
