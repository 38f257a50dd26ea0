"""``ports.Vendor`` for credentials an operator keeps in the environment or in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blastwall.model import Credential, Permit, Session, Target


@dataclass(frozen=True, slots=True)
class CredentialRules:
    """One static credential of a target: at most one of ``password_env`` and ``password_file``; neither: no password."""

    user: str
    password_env: str | None = None
    password_file: str | None = None


class StaticVendor:
    """Static credentials by target name; the first rule of a target is its default, the others go by ``database_user``."""

    def __init__(self, rules: Mapping[str, Sequence[CredentialRules]], environ: Mapping[str, str]) -> None:
        raise NotImplementedError

    async def vend(self, session: Session, target: Target, permit: Permit, database_user: str | None) -> Credential:
        """Raises UpstreamFault when the target gives no credential."""
        raise NotImplementedError

    async def revoke(self, session: Session) -> None:
        raise NotImplementedError
