"""What a session may do with an assumed role: the profile's allowance, until the session ends, from where it may come.

AWS grants what both the role and the session policy allow, and a Deny in either wins (IAM User Guide, "Session
policies"). STS credentials cannot be deleted and live 900 seconds at least, so the end of the session is a condition in
the policy itself, checked by AWS at every call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from blastwall.model import Session

LARGEST: Final = 2048  # characters that STS takes of a session policy
#: STS makes nothing that lives under 900 s, and SDKs ask anew at every call for credentials that expire within 900 s:
#: so they live longer than the session may, and the policy denies them everything from its end on.
LEAST_SECONDS: Final = 1800
MOST_SECONDS: Final = 3600  # a role that assumes a role (the vendor's own) gets one hour at most
MOST_TAG: Final = 256

_NAME: Final = re.compile(r"[^\w+=,.@-]", re.ASCII)
_TAG: Final = re.compile(r"[^\w .:/=+@-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions on resources, both as IAM spells them; ``conditions`` as IAM's Condition element."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Network:
    """From where calls may come: public addresses (CIDR), VPC endpoints. Both empty: from anywhere."""

    source_ips: tuple[str, ...] = ()
    source_vpces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleProfile:
    """A role that sessions may assume, and what of it they get. ``denials``: the managed policy of ended sessions."""

    name: str
    role_arn: str
    region: str
    allow: tuple[Grant, ...]
    network: Network = Network()
    max_seconds: float = MOST_SECONDS
    denials: str = ""


def session_policy(allow: Sequence[Grant], network: Network, ends_at: float) -> str:
    """The policy as STS takes it. Raises ValueError when it is longer than STS allows."""
    statements: list[dict[str, Any]] = [_allowed(grant) for grant in allow]
    end = datetime.fromtimestamp(int(ends_at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    statements.append(_denied({"DateGreaterThan": {"aws:CurrentTime": end}}))
    if network.source_ips or network.source_vpces:
        statements.append(_denied(_elsewhere(network)))
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(text) >= LARGEST:
        raise ValueError(
            f"the session policy has {len(text)} characters, fewer than {LARGEST} are possible: put what all sessions "
            "share into the role's own policy, and name fewer actions or resources here"
        )
    return text


def request_of(profile: RoleProfile, session: Session, ends_at: float, now: float) -> dict[str, Any]:
    """The arguments of AssumeRole. SourceIdentity stays with everything that the credentials do, in CloudTrail too."""
    principal = session.principal
    tags = {"session": session.id, "agent": principal.agent, "target": profile.name}
    if principal.on_behalf_of:
        tags["person"] = principal.on_behalf_of
    return {
        "RoleArn": profile.role_arn,
        "RoleSessionName": _NAME.sub("-", f"{session.id}-{principal.agent}")[:64],
        "SourceIdentity": session.id,
        "Tags": [{"Key": f"blastwall:{key}", "Value": _TAG.sub("_", value)[:MOST_TAG]} for key, value in tags.items()],
        "TransitiveTagKeys": [f"blastwall:{key}" for key in tags],
        "Policy": session_policy(profile.allow, profile.network, ends_at),
        "DurationSeconds": max(LEAST_SECONDS, min(MOST_SECONDS, int(ends_at - now))),
    }


def _allowed(grant: Grant) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": "Allow", "Action": list(grant.actions), "Resource": list(grant.resources)}
    if grant.conditions:
        made["Condition"] = {name: dict(keys) for name, keys in grant.conditions.items()}
    return made


def _denied(condition: Mapping[str, Mapping[str, object]]) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}


def _elsewhere(network: Network) -> dict[str, dict[str, object]]:
    """True for a call from none of the places, by whoever holds the keys; not for what a service does on its behalf.

    A key that a call does not carry counts as "from elsewhere" (IfExists on a negated operator is true then), so a call
    must match one of those that are named.
    """
    condition: dict[str, dict[str, object]] = {"Bool": {"aws:ViaAWSService": "false"}}
    if network.source_ips:
        condition["NotIpAddressIfExists"] = {"aws:SourceIp": list(network.source_ips)}
    if network.source_vpces:
        condition["StringNotEqualsIfExists"] = {"aws:SourceVpce": list(network.source_vpces)}
    return condition
