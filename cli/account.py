"""What ``blastwall doctor --aws`` was asked to look at, and its findings in the doctor's words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from blastwall import registry
from blastwall.aws import doctor
from blastwall.config.bundle import Bundle, load_bundle
from blastwall.config.credentials import AdminCredential, IamCredential, RoleCredential, StaticCredential
from blastwall.errors import ConfigFault
from blastwall.findings import Finding, Verdict
from blastwall.model import Secret
from blastwall.protocols.postgres.members import members_of

#: Tasks at most, and units of 1/1024 vCPU of each: stacks/topology.toml says the same, and a test that it does.
TOPOLOGIES = {"dev": (2, 256), "nat": (10, 512), "isolated": (10, 512)}
RDS_IAM = "rds_iam"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The command's options.

    ``keys``: listener to the ARN of its keys' secret; ``clusters``: EKS cluster to role ARN; ``addresses``: target to
    database URL.
    """

    region: str | None = None
    topology: str = "nat"
    certificate: str = ""
    store: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    clusters: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)


def paired(given: Sequence[str]) -> Mapping[str, str]:
    """``NAME=VALUE`` texts. Raises BadParameter for one that is not like that."""
    pairs = [text.partition("=") for text in given]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise click.BadParameter(f"write NAME=VALUE, not {name + equals + value!r}")
    return {name: value for name, _, value in pairs}


def examine_account(config: Path, chosen: Chosen, client: doctor.Client | None = None) -> list[Finding]:
    """Ask the account about everything that the configuration and the options name."""
    try:
        bundle = load_bundle(config)
    except ConfigFault as fault:
        return [Finding("configuration", Verdict.FAIL, str(fault), "Mend it: `blastwall policy check` explains.")]
    tasks, cpu = TOPOLOGIES[chosen.topology]
    account = doctor.Account(
        client or doctor.regional(chosen.region),
        needs(bundle),
        tasks=tasks,
        task_cpu=cpu,
        certificate=chosen.certificate,
        store=chosen.store,
        keys=tuple((name, chosen.keys.get(name, ""), members) for name, members in listener_keys(bundle).items()),
        clusters=tuple(chosen.clusters.items()),
        granted=_granted(chosen.addresses) if chosen.addresses else None,
    )
    return [*kept_here(bundle), *doctor.examine(account)]


def kept_here(bundle: Bundle) -> list[Finding]:
    """Targets whose password is a file or a variable of this machine: functions in AWS have neither."""
    found = []
    for name, section in sorted(bundle.config.targets.items()):
        for credential in section.credential:
            held = credential.admin if isinstance(credential, RoleCredential) else credential
            if not isinstance(held, StaticCredential | AdminCredential) or held.secret_arn is not None:
                continue
            place = f"${held.password_env}" if held.password_env else str(held.password_file or "")
            if place:
                said = f"the password of {held.user} is in {place}, where no function in AWS finds it"
                advice = "Put it into Secrets Manager and name it by secret_arn, or let the user log in by IAM."
                found.append(Finding("password", Verdict.FAIL, said, advice, name))
    return found


def listener_keys(bundle: Bundle) -> Mapping[str, tuple[str, ...]]:
    """The private keys that listeners of targets' protocols name, by protocol."""
    found = {}
    for protocol in sorted({target.protocol for target in bundle.targets.values()}):
        options = bundle.listeners.get(protocol)
        keys = registry.protocol(protocol).manifest.keys
        if members := tuple(name for name in keys if getattr(options, name, None) is not None):
            found[protocol] = members
    return found


def needs(bundle: Bundle) -> tuple[doctor.Needs, ...]:
    """What the configuration's targets take of the account, sorted by name."""
    found = []
    for name, section in sorted(bundle.config.targets.items()):
        secrets: list[str] = []
        logins: list[doctor.Login] = []
        for credential in section.credential:
            held = credential.admin if isinstance(credential, RoleCredential) else credential
            if isinstance(held, StaticCredential | AdminCredential) and held.secret_arn is not None:
                secrets.append(held.secret_arn)
            if isinstance(credential, IamCredential):
                logins.append(doctor.Login(credential.rds.resource_id, credential.user))
            if isinstance(credential, RoleCredential) and credential.rds is not None:
                user = credential.admin.user if credential.admin.iam else None
                logins.append(doctor.Login(credential.rds.resource_id, user))
        found.append(doctor.Needs(name, tuple(secrets), tuple(logins)))
    return tuple(found)


def _granted(addresses: Mapping[str, str]) -> doctor.Grants:
    """Asks those targets whose address was given; the password comes from PGPASSWORD."""
    password = os.environ.get("PGPASSWORD")

    def granted(target: str) -> frozenset[str] | None:
        if target not in addresses:
            return None
        return members_of(addresses[target], RDS_IAM, Secret(password) if password else None)

    return granted
