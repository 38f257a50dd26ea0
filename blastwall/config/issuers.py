"""Whose tokens a configuration accepts, as the verifier takes them: identity providers, and the gateway itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from blastwall.config.model import Identity
from blastwall.identity.jwks import Fetch, FetchedKeys, KeySource, Limits
from blastwall.identity.jwt import IssuerRules
from blastwall.identity.keys import KeySet


class OwnKeys:
    """The gateway's own keys, read (in a thread) with the first token that names them, and then kept.

    ``own`` may raise OurFault or ConfigFault: then it is asked again with the next token.
    """

    def __init__(self, own: Callable[[], KeySet]) -> None:
        self._own = own
        self._keys: KeySet | None = None

    async def current(self) -> KeySet:
        if self._keys is None:
            self._keys = await asyncio.to_thread(self._own)
        return self._keys

    async def after_unknown(self, kid: str | None) -> KeySet:
        return await self.current()


def accepted(
    identity: Identity,
    fetch: Fetch,
    monotonic: Callable[[], float],
    own: Callable[[], KeySet],
    before: Iterable[KeySource] = (),
) -> list[tuple[IssuerRules, KeySource]]:
    """Every issuer with where its keys are. ``own`` reads the gateway's own keys, see :class:`OwnKeys`.

    They are asked for only when there is a SAML provider: its people get the gateway's own tokens. ``before``: the
    sources of another configuration; those of issuers that have not changed are taken over with what they fetched.
    """
    known = {source.made_of: source for source in before if isinstance(source, FetchedKeys)}
    found: list[tuple[IssuerRules, KeySource]] = []
    for issuer in identity.issuers:
        rules = issuer.rules()
        limits = Limits(oldest=issuer.keys_max_age_minutes * 60, interval=issuer.keys_min_refresh_seconds)
        source = FetchedKeys(rules, fetch, monotonic, jwks_uri=issuer.jwks_url, limits=limits)
        found.append((rules, known.get(source.made_of, source)))
    if identity.saml:
        keys = next((source for source in before if isinstance(source, OwnKeys)), None) or OwnKeys(own)
        found += [(rules, keys) for rules in identity.saml_rules()]
    return found
