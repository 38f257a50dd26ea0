"""``ports.Vendor`` of one machine: logins for single sessions, and secrets that an operator keeps elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blastwall.credentials.assuming import RoleEndings
from blastwall.credentials.logins import Logins, Reclaimed, RoleRules
from blastwall.errors import NotOffered, UpstreamFault
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


@dataclass(frozen=True, slots=True)
class FetchedRules:
    """A credential that something else makes at each connection: an IAM token, a secret out of Secrets Manager."""

    user: str
    fetch: Callable[[Session, Target], Awaitable[Credential]]


Rules = CredentialRules | FetchedRules | RoleRules


class LocalVendor:
    """Credentials by target name: a target's first rule is its default, the others go by ``database_user``.

    Static passwords are read anew at each vend, so that a rotated one is used from the next connection on. ``logins``
    makes the logins of single sessions; without it a rule that wants one is refused. ``endings`` ends AWS roles.
    """

    def __init__(
        self,
        rules: Mapping[str, Sequence[Rules]],
        environ: Mapping[str, str],
        logins: Logins | None = None,
        endings: RoleEndings | None = None,
    ) -> None:
        self._rules = {target: tuple(several) for target, several in rules.items()}
        self._environ = environ
        self._logins = logins
        self._endings = endings

    def adopt(self, rules: Mapping[str, Sequence[Rules]]) -> None:
        """Take the rules of a reloaded configuration."""
        self._rules = {target: tuple(several) for target, several in rules.items()}

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
            if several:
                why = f"{target.name} has no credential for that database user"
                raise NotOffered(f"{why}; leave it out, or ask the gateway's operator")
            raise UpstreamFault(
                f"{target.name} has no credential; its operator adds one to the gateway's configuration"
            )
        if isinstance(rule, FetchedRules):
            return await rule.fetch(session, target)
        if isinstance(rule, RoleRules):
            if self._logins is None:
                raise UpstreamFault(f"{target.name} makes logins for single sessions, and this process cannot")
            return await self._logins.vend(session, target, rule)
        secret = read_password(target.name, rule, self._environ)
        return Credential(rule.user, secret, "none" if secret is None else "static")

    async def revoke(self, session: Session) -> Sequence[Revocation]:
        """Take back the session's logins. A static credential outlives it: better have targets vend roles."""
        logins = () if self._logins is None else await self._logins.revoke(session)
        return (*logins, *(() if self._endings is None else await self._endings.revoke(session)))

    async def reclaim(self) -> Sequence[Reclaimed]:
        """Take back the logins that nobody looks after any more; to be called every few seconds."""
        return () if self._logins is None else await self._logins.reclaim()

    async def reclaim_keys(self) -> Sequence[Reclaimed]:
        """Deny ended sessions what AWS roles gave them; to be called whenever sessions may have ended."""
        return () if self._endings is None else await self._endings.reclaim("")

    async def close(self) -> Sequence[Reclaimed]:
        """Take back all that this process vended."""
        return () if self._logins is None else await self._logins.close()


def read_password(target: str, rule: CredentialRules, environ: Mapping[str, str]) -> Secret | None:
    """The password a rule tells the place of; None: it tells none. Raises UpstreamFault when none is usable there."""
    if rule.password_env is not None:
        text = environ.get(rule.password_env, "")
        if not text:
            raise UpstreamFault(f"{target}: the gateway's environment has no {rule.password_env}; its operator sets it")
        return _checked(target, text)
    if rule.password_file is not None:
        return _checked(target, _read(target, Path(rule.password_file)))
    return None


def _read(target: str, file: Path) -> str:
    try:
        # not blocking: a pipe in the file's place must not hold up the gateway
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            mode = found.st_mode
            mounted = bool(os.fstatvfs(handle).f_flag & os.ST_RDONLY)
            raw = os.read(handle, MAX_PASSWORD + 2) if stat.S_ISREG(mode) else b""
        finally:
            os.close(handle)
    except OSError as fault:
        raise UpstreamFault(
            f"{target}: its password file does not read ({fault.strerror}); its operator checks it"
        ) from None
    if not stat.S_ISREG(mode) or not _private(mode, found.st_uid, mounted):
        raise UpstreamFault(
            f"{target}: its password file is not a plain file of its owner alone; its operator sets it to 0600, or "
            "mounts it read-only as a secret (0444)"
        )
    try:
        return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UpstreamFault(f"{target}: its password file is not UTF-8 text; its operator checks it") from None


def _private(mode: int, owner: int, mounted: bool) -> bool:
    """Is the file its owner's alone, or a secret as containers mount them?

    Those are readable by all, because the container's user is not known where they are made: on a read-only mount, or
    without a write bit for anybody and root's or our own. Whoever else is in the container is the gateway itself.
    """
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return True
    others = mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return not others and (mounted or (not mode & stat.S_IWUSR and owner in (0, os.geteuid())))


def _checked(target: str, text: str) -> Secret:
    if not 0 < len(text.encode("utf-8", "surrogateescape")) <= MAX_PASSWORD or not text.isprintable():
        raise UpstreamFault(
            f"{target}: its password is empty, longer than {MAX_PASSWORD} bytes or has control characters; "
            "its operator checks it"
        )
    return Secret(text)
