"""AssumeRole for sessions, and the end of what it gave: STS and IAM, spoken to by their request shapes alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from blastwall.credentials.denials import add_denial, read_denials, write_denials
from blastwall.credentials.session_policy import RoleProfile, request_of
from blastwall.errors import UpstreamFault
from blastwall.model import Secret, Session

MOST_VERSIONS: Final = 5  # that IAM keeps of a policy


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """Temporary credentials. ``expires_at`` is STS's; ``ends_at`` the session's, after which they are denied all."""

    access_key: str
    secret_key: Secret
    session_token: Secret
    expires_at: float
    ends_at: float

    def document(self) -> dict[str, object]:
        """As an SDK's credential_process prints it, secrets included: for whoever may have them."""
        return {
            "Version": 1,
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret_key.reveal(),
            "SessionToken": self.session_token.reveal(),
            "Expiration": datetime.fromtimestamp(self.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def assume(client: Any, profile: RoleProfile, session: Session, ends_at: float, now: float) -> AwsKeys:  # noqa: ANN401
    """Assume the profile's role for a session. Blocks. Raises UpstreamFault, ValueError for a policy too long."""
    try:
        given = client.assume_role(**request_of(profile, session, ends_at, now))["Credentials"]
    except (BotoCoreError, ClientError) as fault:
        raise UpstreamFault(
            f"{profile.role_arn} cannot be assumed: {fault}; its trust policy must let the vendor sts:AssumeRole, "
            "sts:SetSourceIdentity and sts:TagSession"
        ) from None
    return AwsKeys(
        str(given["AccessKeyId"]),
        Secret(str(given["SecretAccessKey"])),
        Secret(str(given["SessionToken"])),
        given["Expiration"].timestamp(),
        ends_at,
    )


def deny(client: Any, policy_arn: str, identity: str, until: float, now: float) -> str:  # noqa: ANN401
    """Deny a SourceIdentity everything until its credentials have expired; returns the policy's version.

    Idempotent. One at a time for each policy: the caller sees to that. Raises UpstreamFault, Full, ValueError.
    """
    try:
        current = client.get_policy(PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
        before = read_denials(_document(client, policy_arn, current))
        after = add_denial(before, identity, until, now)
        if after == before:
            return str(current)
        _make_room(client, policy_arn)
        made = client.create_policy_version(
            PolicyArn=policy_arn, PolicyDocument=write_denials(after), SetAsDefault=True
        )["PolicyVersion"]["VersionId"]
        if not any(identity in who for who in read_denials(_document(client, policy_arn, made)).values()):
            raise UpstreamFault(f"{policy_arn} does not hold the denial that was written")
    except (BotoCoreError, ClientError) as fault:
        raise UpstreamFault(f"{policy_arn} cannot be rewritten: {fault}") from None
    return str(made)


def _document(client: Any, policy_arn: str, version: str) -> Mapping[str, Any]:  # noqa: ANN401
    found = client.get_policy_version(PolicyArn=policy_arn, VersionId=version)["PolicyVersion"]["Document"]
    if isinstance(found, str):
        found = json.loads(unquote(found))
    assert isinstance(found, Mapping)
    return found


def _make_room(client: Any, policy_arn: str) -> None:  # noqa: ANN401
    versions = client.list_policy_versions(PolicyArn=policy_arn)["Versions"]
    old = sorted(
        (version for version in versions if not version["IsDefaultVersion"]),
        key=lambda version: int(str(version["VersionId"]).removeprefix("v")),
    )
    for version in old[: max(0, len(versions) - MOST_VERSIONS + 1)]:
        client.delete_policy_version(PolicyArn=policy_arn, VersionId=version["VersionId"])
