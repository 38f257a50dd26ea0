"""A sign-in under way, between the command line that began it and the browser that answers. Pure; no XML here.

Three secrets keep them together. The browser carries ``id`` (as RelayState) and the request's ID; what the provider
answers is bound to both. The command line keeps a verifier, of which only the hash is known here. And the answer makes
a code, which the browser takes to the command line on its own machine: who lured somebody else into signing in has the
verifier and no code, who reads the browser's history has the code and no verifier.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

SIGN_IN_SECONDS: Final = 600.0  # from the command line's beginning to the provider's answer
CODE_SECONDS: Final = 300.0  # from the answer to the token; a person may have to carry the code over
ENTROPY: Final = 32  # bytes


@dataclass(frozen=True, slots=True)
class SignIn:
    """``challenge`` is the hash of the verifier; ``port`` where the command line listens on loopback, 0: it does not.

    ``request`` is the ID of the AuthnRequest; ``secret`` values are never kept, only their hashes.
    """

    id: str
    provider: str
    request: str
    challenge: str
    port: int
    begun_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whom the provider's answer speaks of. ``session_ends``: the provider's session, in wall seconds; None: no end."""

    provider: str
    subject: str
    agent: str
    groups: tuple[str, ...]
    on_behalf_of: str | None
    session_ends: float | None


class SignIns(Protocol):
    """Where sign-ins are kept. Every step happens once, whoever else tries it at the same moment."""

    async def begin(self, sign_in: SignIn) -> None:
        """Keep a new one. Raises ClientFault when too many are under way, OurFault."""
        ...

    async def find(self, id: str, now: float) -> SignIn | None:
        """One that waits for the provider's answer, and has not expired."""
        ...

    async def answer(
        self, id: str, admitted: Admitted, code: str, now: float, *, assertion: str, remember_until: float
    ) -> bool:
        """Keep the answer under the hash of a code, in one step with ``assertion``, which must not have been seen.

        False: the sign-in was answered, has expired, or the assertion is known; then nothing has changed.
        """
        ...

    async def take(self, id: str, code: str, challenge: str, now: float) -> Admitted | None:
        """The answer, for who has both hashes: once. None: they are not both right, it expired, or was taken."""
        ...


def hashed(secret: str) -> str:
    """SHA-256 in base64url without padding, as of PKCE (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).rstrip(b"=").decode("ascii")


def secret(entropy: bytes) -> str:
    """Random bytes as text that needs no quoting. Raises ValueError when they are fewer than 32."""
    if len(entropy) < ENTROPY:
        raise ValueError(f"a secret needs {ENTROPY} random bytes")
    return base64.urlsafe_b64encode(entropy).rstrip(b"=").decode("ascii")
