"""``ports.Vendor`` for credentials an operator keeps in the environment or in a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Permit, Revocation, Secret, Session, Target

MAX_PASSWORD = 4096  # bytes; an RDS IAM token has about 1,500


@dataclass(frozen=True, slots=True)
class CredentialRules:
    """One static credential of a target. At most one of ``password_env`` and ``password_file``; neither: no password.

    Raises ValueError when both are given or ``user`` is empty.
    """

    user: str
    password_env: str | None = None
    password_file: str | None = None

    def __post_init__(self) -> None:
        if not self.user:
            raise ValueError("a static credential needs the target's user name")
        if self.password_env is not None and self.password_file is not None:
            raise ValueError("a static credential has one password: give password_env or password_file, not both")


class StaticVendor:
    """Static credentials by target name: a target's first rule is its default, the others go by ``database_user``.

    Passwords are read anew at each vend, so that a rotated one is used from the next connection on.
    """

    def __init__(self, rules: Mapping[str, Sequence[CredentialRules]], environ: Mapping[str, str]) -> None:
        self._rules = {target: tuple(several) for target, several in rules.items()}
        self._environ = environ

    async def vend(
        self, session: Session, target: Target, permit: Permit, database_user: str | None, token: Secret | None = None
    ) -> Credential:
        """The credential for one connection. Raises UpstreamFault when the target gives none to this caller."""
        if not isinstance(permit, Permit) or permit.prepare_only:
            raise UpstreamFault(f"no credential for {target.name} without a permit to connect")
        if session.target != target.name:
            raise UpstreamFault(f"session {session.id} is not for {target.name}: open one for it")
        several = self._rules.get(target.name, ())
        rule = next((one for one in several if database_user in (None, one.user)), None)
        if rule is None:
            raise UpstreamFault(
                f"{target.name} has no credential for that database user; leave it out, or ask the gateway's operator"
                if several
                else f"{target.name} has no credential; its operator adds one to the gateway's configuration"
            )
        secret = self._secret(target.name, rule)
        return Credential(rule.user, secret, "none" if secret is None else "static")

    async def revoke(self, session: Session) -> Sequence[Revocation]:
        """Nothing to do: a static credential outlives every session, which is why production targets vend roles."""
        return ()

    def _secret(self, target: str, rule: CredentialRules) -> Secret | None:
        if rule.password_env is not None:
            text = self._environ.get(rule.password_env, "")
            if not text:
                raise UpstreamFault(
                    f"{target}: the gateway's environment has no {rule.password_env}; its operator sets it"
                )
            return _checked(target, text)
        if rule.password_file is not None:
            return _checked(target, _read(target, Path(rule.password_file)))
        return None


def _read(target: str, file: Path) -> str:
    try:
        # not blocking: a pipe in the file's place must not hold up the gateway
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(handle).st_mode
            raw = os.read(handle, MAX_PASSWORD + 2) if stat.S_ISREG(mode) else b""
        finally:
            os.close(handle)
    except OSError as fault:
        raise UpstreamFault(
            f"{target}: its password file does not read ({fault.strerror}); its operator checks it"
        ) from None
    if not stat.S_ISREG(mode) or mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UpstreamFault(
            f"{target}: its password file is not a plain file of its owner alone; its operator sets it to 0600"
        )
    try:
        return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UpstreamFault(f"{target}: its password file is not UTF-8 text; its operator checks it") from None


def _checked(target: str, text: str) -> Secret:
    if not 0 < len(text.encode("utf-8", "surrogateescape")) <= MAX_PASSWORD or not text.isprintable():
        raise UpstreamFault(
            f"{target}: its password is empty, longer than {MAX_PASSWORD} bytes or has control characters; "
            "its operator checks it"
        )
    return Secret(text)
