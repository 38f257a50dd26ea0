"""``ports.Verifier`` over several issuers."""

from __future__ import annotations

from collections.abc import Sequence

from blastwall.identity.jwks import KeySource
from blastwall.identity.jwt import IssuerRules
from blastwall.model import Principal, Secret
from blastwall.ports import Clock


class TokenVerifier:
    """Tokens of the configured issuers to principals, with a bounded cache by token hash.

    Make the key sources with ``FetchedKeys(rules, fetch_https, clock.monotonic, jwks_uri=...)`` or ``FixedKeys(...)``.
    """

    def __init__(self, issuers: Sequence[tuple[IssuerRules, KeySource]], clock: Clock, *, cache_size: int = 4096) -> None:
        raise NotImplementedError

    async def verify(self, token: Secret) -> Principal:
        """Raises TokenFault with a reason that is safe to show."""
        raise NotImplementedError
