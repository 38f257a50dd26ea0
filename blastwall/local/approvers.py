"""Who answers: tokens of people, for an audience of their own, so that what opens the gateway decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from blastwall.errors import TokenFault
from blastwall.identity.jwks import FetchedKeys, KeySource
from blastwall.identity.jwt import IssuerRules
from blastwall.local.fetch import fetch
from blastwall.local.verifier import TokenVerifier
from blastwall.model import Principal, Secret
from blastwall.ports import Clock

#: What is added to the agents' audience to name the approvers'.
SUFFIX = "/approvals"
ID_TOKEN_TYPES = frozenset({"JWT", ""})  # OpenID Connect does not ask for a typ


class ApproverVerifier:
    """``issuers``: the agents' rules with where their keys are. ``clients``: issuer to the page's OIDC client id."""

    def __init__(
        self,
        issuers: Sequence[tuple[IssuerRules, str | None]],
        clock: Clock,
        clients: dict[str, str] | None = None,
        keys: Callable[[IssuerRules, str | None], KeySource] | None = None,
    ) -> None:
        make = keys or (lambda rules, url: FetchedKeys(rules, fetch, clock.monotonic, jwks_uri=url))
        access, sign_in = [], []
        for rules, url in issuers:
            people = replace(rules, audience=rules.audience + SUFFIX)
            source = make(people, url)
            access.append((people, source))
            client = (clients or {}).get(rules.issuer)
            if client is not None:
                names = replace(rules.claims, agent="sub")  # a person's ID token names no agent
                types = rules.types | ID_TOKEN_TYPES
                sign_in.append((replace(rules, audience=client, types=types, claims=names), source))
        self._verifiers = [TokenVerifier(one, clock) for one in (access, sign_in) if one]

    async def verify(self, token: Secret) -> Principal:
        """A token for approvers, or an ID token of the page's own sign-in. Raises TokenFault."""
        reason = TokenFault("no identity provider is configured for approvers")
        for verifier in self._verifiers:
            try:
                return await verifier.verify(token)
            except TokenFault as fault:
                reason = fault
        raise reason
