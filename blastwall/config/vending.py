"""From the configuration's ``credential:`` sections to the vendor's rules."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blastwall import registry
from blastwall.config.bundle import Bundle
from blastwall.config.credentials import (
    AdminCredential,
    AnyCredential,
    CertificateCredential,
    IamCredential,
    InstanceConnectCredential,
    Rds,
    RoleCredential,
)
from blastwall.conversation import Admin, Roles
from blastwall.credentials.assuming import target_of
from blastwall.credentials.logins import RoleRules
from blastwall.credentials.session_policy import RoleProfile
from blastwall.errors import OurFault
from blastwall.local.vendor import CredentialRules, FetchedRules, Rules, read_password
from blastwall.model import Credential, Session, Target

if TYPE_CHECKING:
    from blastwall.aws.rds import Tokens
    from blastwall.aws.secrets import SecretsManager

RulesByTarget = Mapping[str, Sequence[Rules]]


class Composer:
    """Makes rules out of a bundle. AWS is only spoken to where a credential says so, and only then loaded."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._tokens: Tokens | None = None
        self._secrets: SecretsManager | None = None
        self._connect: dict[str, Any] = {}  # EC2 Instance Connect's clients, by region

    def rules(self, bundle: Bundle) -> RulesByTarget:
        """Each target's rules, in the configuration's order."""
        return {
            name: [self._rule(name, bundle.targets[name], item) for item in section.credential]
            for name, section in bundle.config.targets.items()
        }

    def roles(self, bundle: Bundle) -> Mapping[str, Roles]:
        """By protocol, for those whose targets make logins for single sessions."""
        wanted = {
            section.protocol
            for section in bundle.config.targets.values()
            if any(isinstance(item, RoleCredential) for item in section.credential)
        }
        return {name: self._roles_of(name) for name in sorted(wanted)}

    def deny(self, policy_arn: str, identity: str, until: float, now: float) -> str:
        """Deny an ended session in the managed policy of a role; blocks. See ``blastwall.aws.roles.deny``."""
        from blastwall.aws.clients import client
        from blastwall.aws.roles import deny

        return deny(client("iam"), policy_arn, identity, until, now)

    def _roles_of(self, protocol: str) -> Roles:
        make = registry.protocol(protocol).roles
        if make is None:
            raise OurFault(f"targets of {protocol} make no logins for single sessions: give them a static credential")
        return make()

    def _rule(self, name: str, target: Target, item: AnyCredential) -> Rules:
        if isinstance(item, CertificateCredential):
            return FetchedRules(item.user, _certificate(item.user))
        if isinstance(item, InstanceConnectCredential):
            return FetchedRules(item.user, self._pushed(item))
        if isinstance(item, RoleCredential):
            return RoleRules(
                item.profile,
                self._admin(name, target, item.admin, item.rds),
                item.connections,
                item.max_minutes * 60,
                dict(item.settings),
                self._iam(target, item.rds) if item.login == "iam" else None,
            )
        if isinstance(item, IamCredential):
            return FetchedRules(item.user, _for_any(self._iam(target, item.rds), item.user))
        if item.secret_arn is not None:
            return FetchedRules(item.user, _for_any(self._secret(item.secret_arn), item.user))
        return CredentialRules(item.user, item.password_env, str(item.password_file) if item.password_file else None)

    def _admin(self, name: str, target: Target, section: AdminCredential, rds: Rds | None) -> Admin:
        if section.iam:
            make: Callable[[str], Awaitable[Credential]] = self._iam(target, rds)
        elif section.secret_arn is not None:
            make = self._secret(section.secret_arn)
        else:
            kept = CredentialRules(
                section.user, section.password_env, str(section.password_file) if section.password_file else None
            )

            async def make(user: str) -> Credential:
                return Credential(user, read_password(name, kept, self._environ), "static")

        async def login() -> Credential:
            return await make(section.user)

        return Admin(section.user, login, section.database or "")

    def _iam(self, target: Target, rds: Rds | None) -> Callable[[str], Awaitable[Credential]]:
        assert rds is not None, "the configuration's own check"
        if self._tokens is None:
            from blastwall.aws.rds import Tokens

            self._tokens = Tokens()
        tokens = self._tokens

        async def make(user: str) -> Credential:
            return await tokens.credential(target.host, target.port, user, rds.region)

        return make

    def _pushed(self, item: InstanceConnectCredential) -> Callable[[Session, Target], Awaitable[Credential]]:
        """A key of its own for each connection, pushed to the instance when it is needed."""

        async def fetch(session: Session, target: Target) -> Credential:
            from blastwall.aws.clients import client
            from blastwall.aws.instance_connect import push_key

            if item.region not in self._connect:
                self._connect[item.region] = await asyncio.to_thread(client, "ec2-instance-connect", item.region)
            pushed = await push_key(self._connect[item.region], item.instance, item.user, session.id, time.time())
            return Credential(item.user, pushed.private, "instance_connect", pushed.expires_at)

        return fetch

    def _secret(self, arn: str) -> Callable[[str], Awaitable[Credential]]:
        if self._secrets is None:
            from blastwall.aws.secrets import SecretsManager

            self._secrets = SecretsManager()
        kept = self._secrets

        async def make(user: str) -> Credential:
            return await kept.credential(arn, user)

        return make


def _certificate(user: str) -> Callable[[Session, Target], Awaitable[Credential]]:
    """The protocol makes it as it connects: key and certificate live only there."""

    async def fetch(session: Session, target: Target) -> Credential:
        return Credential(user, None, "certificate")

    return fetch


def _for_any(
    make: Callable[[str], Awaitable[Credential]], user: str
) -> Callable[[Session, Target], Awaitable[Credential]]:
    async def fetch(session: Session, target: Target) -> Credential:
        return await make(user)

    return fetch


def logins_only(rules: RulesByTarget) -> dict[str, list[RoleRules]]:
    """Those that make logins for single sessions."""
    return {name: [rule for rule in several if isinstance(rule, RoleRules)] for name, several in rules.items()}


def profiles_of(bundle: Bundle) -> dict[str, RoleProfile]:
    """The AWS roles of a configuration, by name."""
    return {name: section.profile(name) for name, section in bundle.config.aws_roles.items()}


def all_targets(bundle: Bundle) -> dict[str, Target]:
    """Everything that a session can be at: targets that agents connect to, and AWS roles."""
    return {**targets_of_roles(bundle), **bundle.targets}


def targets_of_roles(bundle: Bundle) -> dict[str, Target]:
    """The same as policy and recordings see them: targets of protocol aws."""
    sections = bundle.config.aws_roles
    return {name: target_of(profile, sections[name].labels) for name, profile in profiles_of(bundle).items()}
