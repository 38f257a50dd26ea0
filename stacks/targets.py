"""What the configuration's targets ask of AWS: secrets, database logins, roles. Pure; stacks make resources of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blastwall.config.bundle import Bundle
from blastwall.config.credentials import (
    AnyCredential,
    IamCredential,
    InstanceConnectCredential,
    RoleCredential,
    StaticCredential,
)

#: How the names of its hosts end; in China the region stands behind the service.
RDS = re.compile(r"\.rds(?:\.amazonaws\.com|\.cn-[a-z]+-[0-9]+\.amazonaws\.com\.cn)\.?", re.IGNORECASE)
#: Roles that the vendor makes for single sessions have names that begin so (PostgreSQL).
SESSION_USERS = "bw_*"


@dataclass(frozen=True, slots=True)
class Login:
    """A database user that may log in by an RDS token: ``resource`` is the DbiResourceId; ``user`` may end in ``*``."""

    region: str
    resource: str
    user: str


def logins(bundle: Bundle) -> tuple[Login, ...]:
    """Every RDS login that vending needs, sorted, each once."""
    found = {login for credential in _credentials(bundle) for login in _logins(credential)}
    return tuple(sorted(found, key=lambda login: (login.resource, login.user)))


def secrets(bundle: Bundle) -> tuple[str, ...]:
    """ARNs of the secrets that hold targets' passwords, sorted. They have no random suffix to guess: the full ARN."""
    found = set()
    for credential in _credentials(bundle):
        if isinstance(credential, StaticCredential) and credential.secret_arn:
            found.add(credential.secret_arn)
        if isinstance(credential, RoleCredential) and credential.admin.secret_arn:
            found.add(credential.admin.secret_arn)
    return tuple(sorted(found))


def on_rds(bundle: Bundle) -> tuple[str, ...]:
    """Targets on RDS whose certificates are verified and that do not say themselves who signs them, sorted."""
    return tuple(
        name
        for name, target in sorted(bundle.targets.items())
        if _at_rds(target.host) and _trusts_anybody(getattr(target.options, "tls", None))
    )


def _at_rds(host: str) -> bool:
    return any(match.end() == len(host) for match in RDS.finditer(host))


def _trusts_anybody(tls: Any) -> bool:  # noqa: ANN401  a protocol's own section, where it has one
    return tls is not None and tls.mode == "verify-full" and tls.ca_file is None


def accounts(bundle: Bundle) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Accounts of EC2 instances to which keys are pushed: (region, instance id) by the account's name, sorted."""
    found: dict[str, set[tuple[str, str]]] = {}
    for credential in _credentials(bundle):
        if isinstance(credential, InstanceConnectCredential):
            found.setdefault(credential.user, set()).add((credential.region, credential.instance))
    return {user: tuple(sorted(found[user])) for user in sorted(found)}


def _credentials(bundle: Bundle) -> Iterator[AnyCredential]:
    for section in bundle.config.targets.values():
        yield from section.credential


def _logins(credential: AnyCredential) -> Iterator[Login]:
    if isinstance(credential, IamCredential):
        yield Login(credential.rds.region, credential.rds.resource_id, credential.user)
    if isinstance(credential, RoleCredential) and credential.rds is not None:
        if credential.admin.iam:
            yield Login(credential.rds.region, credential.rds.resource_id, credential.admin.user)
        if credential.login == "iam":
            yield Login(credential.rds.region, credential.rds.resource_id, SESSION_USERS)
