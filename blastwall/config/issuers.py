"""Whose tokens a configuration accepts, as the verifier takes them: identity providers, and the gateway itself."""

from __future__ import annotations

from collections.abc import Callable

from blastwall.config.model import Identity
from blastwall.identity.jwks import Fetch, FetchedKeys, FixedKeys, KeySource, Limits
from blastwall.identity.jwt import IssuerRules
from blastwall.identity.keys import KeySet


def accepted(
    identity: Identity, fetch: Fetch, monotonic: Callable[[], float], own: Callable[[], KeySet]
) -> list[tuple[IssuerRules, KeySource]]:
    """Every issuer with where its keys are. ``own`` gives the gateway's own keys.

    It is asked only when there is a SAML provider, whose people get the gateway's own tokens, and may raise.
    """
    found: list[tuple[IssuerRules, KeySource]] = []
    for issuer in identity.issuers:
        rules = issuer.rules()
        limits = Limits(oldest=issuer.keys_max_age_minutes * 60, interval=issuer.keys_min_refresh_seconds)
        found.append((rules, FetchedKeys(rules, fetch, monotonic, jwks_uri=issuer.jwks_url, limits=limits)))
    if identity.saml:
        keys = FixedKeys(own())
        found += [(rules, keys) for rules in identity.saml_rules()]
    return found
