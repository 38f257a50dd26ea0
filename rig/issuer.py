"""A local OIDC issuer: real keys in the state directory, real signatures, discovery and JWKS on loopback."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from blastwall.identity.keys import KeySet


class LocalIssuer:
    """``LocalIssuer.open(state_dir)`` makes the keys on first use; :meth:`serve` publishes them, :meth:`mint` signs."""

    issuer: str  # http://127.0.0.1:PORT
    audience: str  # what the gateway expects of an agent's token
    approver_audience: str  # what an approver's token is for; never the agents' audience

    @classmethod
    def open(cls, state_dir: Path, *, port: int | None = None, audience: str = "blastwall") -> LocalIssuer:
        raise NotImplementedError

    def mint(
        self,
        agent: str,
        groups: Iterable[str] = (),
        on_behalf_of: str | None = None,
        ttl: float = 3600.0,
        **overrides: object,
    ) -> str:
        raise NotImplementedError

    def key_set(self) -> KeySet:
        raise NotImplementedError

    def rotate(self) -> str:
        raise NotImplementedError

    def serve(self) -> None:
        """Listen on 127.0.0.1 in a thread; :meth:`stop` ends it."""
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError
