"""The ``credential:`` section of a target: where its secrets are, or how they are made. Never a secret itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StringConstraints,
    model_validator,
)
from pydantic import Discriminator as By

from blastwall.credentials.session_policy import Grant, Network, RoleProfile, session_policy

Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]
# What the server keeps of a name (NAMEDATALEN - 1); a longer one would be a different name there.
RoleName = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
SecretArn = Annotated[
    str,
    StringConstraints(pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}$"),
]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
SettingName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$")]
SettingValue = Annotated[str, StringConstraints(min_length=0, max_length=256, pattern=r"^[^\x00-\x1f]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Kept(_Section):
    """A user whose password is kept outside, in one place: an environment variable, a file, or Secrets Manager."""

    user: RoleName
    password_env: Variable | None = None
    password_file: Path | None = None
    secret_arn: SecretArn | None = None

    @model_validator(mode="after")
    def _one_place(self) -> _Kept:
        places = [name for name in ("password_env", "password_file", "secret_arn") if getattr(self, name) is not None]
        if len(places) > 1:
            raise ValueError(f"give {' or '.join(places)}, not both")
        return self


class StaticCredential(_Kept):
    """A user of the target and where its password is. The least preferred kind: the secret outlives every session."""

    kind: Literal["static"]


class Rds(_Section):
    """An RDS instance or Aurora cluster as IAM names it: by its resource id (DbiResourceId), never by an endpoint."""

    resource_id: Annotated[str, StringConstraints(pattern=r"^(db|cluster|prx)-[A-Za-z0-9]+$")]
    region: Region


class IamCredential(_Section):
    """An existing database user that was granted rds_iam. Its token opens connections for 15 minutes and cannot be
    revoked: prefer kind role with ``login: iam``."""

    kind: Literal["iam"]
    user: RoleName
    rds: Rds


class CertificateCredential(_Section):
    """A user of hosts that trust the gateway's own authority (SSH): each connection shows a fresh key, signed for five
    minutes. Nothing is kept, and nothing that leaks opens anything for long."""

    kind: Literal["certificate"]
    user: RoleName


class InstanceConnectCredential(_Section):
    """An account of an EC2 instance: for each connection a fresh key is pushed to the instance, which takes it for 60
    seconds. Needs ``ec2-instance-connect:SendSSHPublicKey``, best limited by ``ec2:osuser``."""

    kind: Literal["instance_connect"]
    user: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9._-]{0,31}$")]
    instance: Annotated[str, StringConstraints(pattern=r"^i-[0-9a-f]{8,17}$")]
    region: Region


class AdminCredential(_Kept):
    """How the vendor logs in to make roles. ``iam``: by an RDS token, which needs ``rds`` beside the admin section.

    ``database``: where it connects, the target's first if left out.
    """

    iam: bool = False
    database: RoleName | None = None

    @model_validator(mode="after")
    def _one_way(self) -> AdminCredential:
        if self.iam and (self.password_env or self.password_file or self.secret_arn):
            raise ValueError("an admin logs in by iam or with a password, not both")
        return self


class RoleCredential(_Section):
    """A login of its own for each session, with the rights of ``profile``, dropped when the session ends.

    ``connections`` it may hold at once; ``max_minutes`` it opens connections at most, whatever session and token allow.
    ``settings`` are the target's own, given to each login. ``login: iam`` has it log in by RDS tokens (needs ``rds``).
    """

    kind: Literal["role"]
    profile: RoleName
    admin: AdminCredential
    login: Literal["password", "iam"] = "password"
    rds: Rds | None = None
    connections: Annotated[StrictInt, Field(ge=1, le=10_000)] = 64
    max_minutes: Annotated[StrictFloat, Field(gt=0, le=7 * 24 * 60)] = 720.0
    settings: dict[SettingName, SettingValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> RoleCredential:
        if (self.login == "iam" or self.admin.iam) and self.rds is None:
            raise ValueError("login by iam needs rds: {resource_id: db-..., region: ...}")
        if self.profile == self.admin.user:
            raise ValueError("profile and admin must be two roles: sessions must not be able to make roles")
        if taken := {"role", "session_authorization", "session_replication_role"} & set(self.settings):
            raise ValueError(f"{', '.join(sorted(taken))} cannot be given to a session's login")
        return self

    @property
    def user(self) -> str:
        """What clients ask for by name when a target has several credentials."""
        return self.profile


class AwsGrant(_Section):
    """What sessions may do: actions on resources, as IAM spells them, perhaps under IAM conditions."""

    actions: Annotated[tuple[Text, ...], Field(min_length=1)]
    resources: Annotated[tuple[Text, ...], Field(min_length=1)]
    conditions: dict[Text, dict[Text, tuple[Text, ...]]] = Field(default_factory=dict)


class AwsNetwork(_Section):
    """From where calls may come. Left out: from anywhere."""

    source_ips: tuple[Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:]+(/\d{1,3})?$")], ...] = ()
    source_vpces: tuple[Annotated[str, StringConstraints(pattern=r"^vpce-[0-9a-f]+$")], ...] = ()


class AwsRole(_Section):
    """An AWS role that agents get for a session: `blastwall aws creds NAME`. ``labels`` are what policies ask for.

    ``allow`` and ``network`` make the session policy, which also denies everything once the session has ended.
    ``denials_policy_arn`` is a managed policy, attached to the role, in which the revoker denies ended sessions.
    """

    role_arn: Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,128}$")]
    region: Region
    allow: Annotated[tuple[AwsGrant, ...], Field(min_length=1)]
    network: AwsNetwork = AwsNetwork()
    labels: dict[Text, Text] = Field(default_factory=dict)
    max_minutes: Annotated[StrictFloat, Field(gt=0, le=60)] = 60.0
    denials_policy_arn: (
        Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:policy/[\w+=,.@/-]{1,128}$")] | None
    ) = None

    def profile(self, name: str) -> RoleProfile:
        """The same, as the vendor takes it."""
        return RoleProfile(
            name,
            self.role_arn,
            self.region,
            tuple(Grant(grant.actions, grant.resources, grant.conditions) for grant in self.allow),
            Network(self.network.source_ips, self.network.source_vpces),
            self.max_minutes * 60,
            self.denials_policy_arn or "",
        )

    @model_validator(mode="after")
    def _fits(self) -> AwsRole:
        session_policy(self.profile("").allow, self.profile("").network, 253_402_300_799.0)
        return self


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


AnyCredential = Annotated[
    StaticCredential | RoleCredential | IamCredential | CertificateCredential | InstanceConnectCredential, By("kind")
]
Credentials = Annotated[tuple[AnyCredential, ...], BeforeValidator(_listed), Field(min_length=1)]
