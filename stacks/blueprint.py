"""What is to be built: the operator's configuration, checked and rehearsed, and the choices given as CDK context.

Nothing here knows the CDK: a configuration that does not validate, or whose policy cases fail, stops before a template
is made.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blastwall import registry
from blastwall.config.bundle import Bundle
from blastwall.conversation import Manifest
from blastwall.errors import ConfigFault, Problem
from stacks.staging import rehearse, stage
from stacks.targets import on_rds
from stacks.topology import TOPOLOGIES, Topology

CONTEXT = "cdk context"
SHORTEST_LOCK, LONGEST_LOCK = 1, 36_500  # days; S3 takes at most 100 years


@dataclass(frozen=True, slots=True)
class GivenVpc:
    """A network that is already there. The private subnets hold tasks, functions and the load balancer, one a zone.

    ``cidr`` is the network's own range: who may connect, and where targets are, unless said otherwise.
    """

    id: str
    cidr: str
    azs: tuple[str, ...]
    private_subnets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Everything the stacks need to know. ``staged`` is the directory of the configuration as it is deployed.

    ``served`` are the manifests of the protocols that some target speaks: one listener each. ``clients`` are CIDR
    ranges whose connections are accepted (empty: the network's own). ``proxy_image`` is a registry URI (empty: the
    image is built here, with Docker, when it is deployed). ``endpoint_principals`` (ARNs) may connect by PrivateLink;
    none: no endpoint service. ``lock_days`` is how long a recording cannot be deleted, in ``lock_mode`` governance or
    compliance. ``alarm_email`` (or empty) is subscribed to the alarms. ``approval_secret`` (an ARN, or empty) is
    a secret with the values that the configuration's approvals section names. ``event_data_store`` is that of a
    CloudTrail Lake which takes audit events, too (or empty). ``rds_ca`` (an address, or a file in
    the repository) is the bundle of RDS's authorities and ``rds_ca_sha256`` its digest (empty: no target needs it).
    """

    name: str
    bundle: Bundle
    staged: Path
    topology: Topology
    served: tuple[Manifest, ...]
    vpc: GivenVpc | None
    clients: tuple[str, ...]
    proxy_image: str
    endpoint_principals: tuple[str, ...]
    lock_mode: str
    lock_days: int
    alarm_email: str
    approval_secret: str
    event_data_store: str
    rds_ca: str
    rds_ca_sha256: str


KEYS = {
    "name": "Blastwall",
    "config": "config",
    "overrides": "",
    "topology": "nat",
    "vpc": "",
    "clients": "",
    "proxy_image": "",
    "endpoint_principals": "",
    "lock_mode": "governance",
    "lock_days": "365",
    "alarm_email": "",
    "approval_secret": "",
    "event_data_store": "",
    "rds_ca": "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
    "rds_ca_sha256": "",
}
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Functions are called after it, whose names have 64 characters at most, and stacks.
_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?")
_PRINCIPAL = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:(?:root|(?:user|role)/[\w+=,.@/-]+)", re.ASCII)
_SECRET = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[\w/+=.@-]+", re.ASCII)
_STORE = re.compile(r"arn:aws[a-z-]*:cloudtrail:[a-z0-9-]+:[0-9]{12}:eventdatastore/[A-Za-z0-9-]+", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_IMAGE = re.compile(r"[a-z0-9][\w.:/@-]{0,511}", re.ASCII)


def draw(context: Mapping[str, Any], root: Path, cache: Path) -> Blueprint:
    """Read the context keys of :data:`KEYS` (texts; absent ones have their default); relative paths start at ``root``.

    The configuration is staged below ``cache``. Raises ConfigFault with everything that is wrong with the context or
    the configuration, or with each policy case that fails.
    """
    given = {key: str(context.get(key) or default) for key, default in KEYS.items()}
    problems: list[Problem] = [_unknown(key) for key in sorted(context.keys() - KEYS.keys())]
    for key, shape, example in (
        ("name", _NAME, "letters, digits and hyphens, at most 40, the first a letter, such as Blastwall"),
        ("alarm_email", _EMAIL, "an address such as oncall@example.com"),
        ("approval_secret", _SECRET, "the ARN of a secret: arn:aws:secretsmanager:eu-west-1:123456789012:secret:NAME"),
        ("event_data_store", _STORE, "its ARN: arn:aws:cloudtrail:eu-west-1:123456789012:eventdatastore/ID"),
        ("proxy_image", _IMAGE, "an image's address: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/blastwall:1.2"),
    ):
        if given[key] and not shape.fullmatch(given[key]):
            problems.append(_problem(key, f"write {example}, not {given[key]!r}"))
    problems += [
        _problem("endpoint_principals", f"{text!r} is no principal such as arn:aws:iam::123456789012:root")
        for text in _listed(given["endpoint_principals"])
        if not _PRINCIPAL.fullmatch(text)
    ]
    if given["topology"] not in TOPOLOGIES:
        problems.append(_problem("topology", f"choose one of {', '.join(TOPOLOGIES)}, not {given['topology']!r}"))
    if given["lock_mode"] not in ("governance", "compliance"):
        problems.append(_problem("lock_mode", f"governance or compliance, not {given['lock_mode']!r}"))
    if not given["lock_days"].isdecimal() or not SHORTEST_LOCK <= int(given["lock_days"]) <= LONGEST_LOCK:
        problems.append(_problem("lock_days", f"whole days from {SHORTEST_LOCK} to {LONGEST_LOCK}"))
    clients = _listed(given["clients"])
    problems += [
        _problem("clients", f"{text!r} is no CIDR range of IPv4 such as 10.0.0.0/8") for text in clients if _off(text)
    ]
    if given["rds_ca_sha256"] and not _SHA256.fullmatch(given["rds_ca_sha256"]):
        problems.append(_problem("rds_ca_sha256", "64 hexadecimal digits: the SHA-256 of the bundle that rds_ca names"))
    vpc = _vpc(context.get("vpc"), problems)
    if problems:
        raise ConfigFault(tuple(problems))
    overrides = _overrides(root, given["overrides"])
    staged, bundle = stage(root / given["config"], overrides, cache)
    rehearse(staged, bundle)
    if not given["rds_ca_sha256"] and (named := on_rds(bundle)):
        message = (
            f"{', '.join(named)}: RDS signs with authorities of its own, which no image trusts by itself. Fetch "
            f"{given['rds_ca']}, compare it with what AWS publishes, and give its SHA-256; or give each a tls.ca_file"
        )
        raise ConfigFault((_problem("rds_ca_sha256", message),))
    if not given["approval_secret"] and (variables := _secrets(bundle)):
        message = (
            f"gateway.yaml's approvals section names {', '.join(variables)}: put them into one secret as a JSON "
            "object, and give its ARN; functions have no such variables"
        )
        raise ConfigFault((_problem("approval_secret", message),))
    served = {target.protocol for target in bundle.targets.values()}
    return Blueprint(
        name=given["name"],
        bundle=bundle,
        staged=staged,
        topology=TOPOLOGIES[given["topology"]],
        served=tuple(registry.protocol(name).manifest for name in sorted(served)),
        vpc=vpc,
        clients=clients,
        proxy_image=given["proxy_image"],
        endpoint_principals=_listed(given["endpoint_principals"]),
        lock_mode=given["lock_mode"],
        lock_days=int(given["lock_days"]),
        alarm_email=given["alarm_email"],
        approval_secret=given["approval_secret"],
        event_data_store=given["event_data_store"],
        rds_ca=given["rds_ca"],
        rds_ca_sha256=given["rds_ca_sha256"],
    )


def _secrets(bundle: Bundle) -> tuple[str, ...]:
    """Variables whose values the approvals section takes from elsewhere, sorted."""
    approvals = bundle.config.approvals
    slack, sign_in = approvals.notify.slack, approvals.page.sign_in
    found = {hook.secret_env for hook in approvals.notify.webhooks}
    if slack is not None:
        found |= {slack.token_env, *filter(None, [slack.signing_secret_env])}
    if sign_in is not None and sign_in.client_secret_env is not None:
        found.add(sign_in.client_secret_env)
    return tuple(sorted(found))


def _overrides(root: Path, name: str) -> dict[str, Any]:
    """Raises ConfigFault."""
    if not name:
        return {}
    try:
        found = json.loads((root / name).read_text("utf-8"))
    except OSError as fault:
        raise ConfigFault((_problem("overrides", f"{name} does not read: {fault.strerror}"),)) from None
    except ValueError as fault:
        raise ConfigFault((_problem("overrides", f"{name} is not JSON: {fault}"),)) from None
    if not isinstance(found, dict):
        raise ConfigFault((_problem("overrides", f"{name} is no JSON object"),))
    return found


def _unknown(key: str) -> Problem:
    near = difflib.get_close_matches(key, KEYS, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(KEYS)}"
    return _problem(key, f"there is no such choice; {hint}")


def _problem(key: str, message: str) -> Problem:
    return Problem(f"{CONTEXT} {key}", 0, message)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _off(text: str) -> bool:
    """Whether it is no range as security groups take it: of IPv4, with its length, and no address within it."""
    try:
        return str(ipaddress.IPv4Network(text)) != text
    except ValueError:
        return True


def _vpc(value: object, problems: list[Problem]) -> GivenVpc | None:
    """The ``vpc`` context: a JSON object, as a value in cdk.json or as text on the command line."""
    if not value:
        return None
    try:
        given: Any = json.loads(value) if isinstance(value, str) else value
        vpc = GivenVpc(given["id"], given["cidr"], tuple(given["azs"]), tuple(given["private_subnets"]))
    except (ValueError, TypeError, KeyError):
        example = (
            '{"id": "vpc-1", "cidr": "10.0.0.0/16", "azs": ["a", "b"], "private_subnets": ["subnet-1", "subnet-2"]}'
        )
        problems.append(_problem("vpc", f"write a JSON object such as {example}"))
        return None
    if _off(vpc.cidr) or len(vpc.azs) < 2 or len(vpc.azs) != len(vpc.private_subnets):
        problems.append(_problem("vpc", "give its cidr, and one private subnet in each of at least two azs"))
    return vpc
