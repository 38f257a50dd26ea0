"""One frozen dataclass per deliverable: written to an environment by the stacks, read from it at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Self

_PREFIX = "BLASTWALL_"


class Environment:
    """To and from ``BLASTWALL_*`` variables; a field may be a str, an int, a float or a bool. Mixed into dataclasses.

    A field without a default is required: :meth:`from_env` raises ValueError naming the variable that is missing, or
    what is wrong with its value.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, object]]

    def to_env(self) -> dict[str, str]:
        """The environment that :meth:`from_env` reads back."""
        return {_PREFIX + field.name.upper(): str(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]  # a mixin of dataclasses only

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read ``BLASTWALL_*``; what is absent has its default. Raises ValueError naming the variable."""
        given: dict[str, object] = {}
        missing = []
        for field in fields(cls):  # type: ignore[arg-type]  # a mixin of dataclasses only
            variable = _PREFIX + field.name.upper()
            text = environ.get(variable)
            if text is not None:
                given[field.name] = _READ[str(field.type)](variable, text)
            elif field.default is field.default_factory:
                missing.append(variable)
        if missing:
            raise ValueError(f"set {', '.join(missing)}")
        return cls(**given)


@dataclass(frozen=True, slots=True)
class ProxySettings(Environment):
    """The gateway process. Paths are absolute or relative to its working directory; times in seconds.

    ``config`` is the configuration folder, ``overrides`` a JSON file merged into it (the local rig's ports and
    addresses), ``state`` where local adapters keep their files. ``drain_seconds`` is how long live connections may
    finish after SIGTERM. ``ready_fd`` (-1: none) gets one JSON line once the gateway accepts connections.

    ``health_port`` (0: none) answers whether the gateway takes connections; with ``proxy_protocol`` a load balancer
    says in front of each connection whose it is. ``adapters`` is local or aws; what follows it is for aws only,
    with RecordingSettings and AuditSettings beside it. ``config_url`` (s3://bucket/key) is fetched into ``config`` at
    start, and must load as ``config_version``. ``ca_bundle`` ("": none) holds authorities that targets' certificates
    may be signed by, beside the machine's own. What approved changes overwrite is kept in ``undo_bucket``, sealed with
    ``undo_key_id`` (KMS).
    """

    config: str = "config"
    overrides: str = ""
    state: str = ".state"
    drain_seconds: float = 2.0
    ready_fd: int = -1
    health_port: int = 0
    proxy_protocol: bool = False
    adapters: str = "local"
    config_url: str = ""
    config_version: str = ""
    sessions_table: str = ""
    approvals_table: str = ""
    token_verifier_function: str = ""
    credential_vendor_function: str = ""
    session_revoker_function: str = ""
    approval_request_function: str = ""
    approval_decide_function: str = ""
    ca_bundle: str = ""
    undo_bucket: str = ""
    undo_key_id: str = ""

    @property
    def config_path(self) -> Path:
        return Path(self.config)

    @property
    def state_path(self) -> Path:
        return Path(self.state)


@dataclass(frozen=True, slots=True)
class AuditSettings(Environment):
    """Where audit events are sent beside the state directory's own files; what is empty is not used.

    ``audit_bucket`` gets JSON lines for Athena, ``audit_log_group`` the same for search; ``audit_channel_arn`` is a
    channel of an event data store that exists already. ``audit_stdout`` writes them to the process's standard output.
    """

    audit_bucket: str = ""
    audit_log_group: str = ""
    audit_channel_arn: str = ""
    audit_stdout: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalSettings(Environment):
    """The ``approval_*`` functions. ``config`` is the configuration folder, ``config_version`` what it must load as.

    ``state_machine_arn`` is started by approval_request, ``token_key_id`` (KMS) seals its task tokens, ``topic_arn`` is
    told of requests, ``decide_function`` is called by the page. ``page_url`` is where people reach the page.
    ``secrets_arn`` ("": none) is a secret whose JSON object has the values that gateway.yaml names by ``..._env``.
    ``sessions_table`` ("": none): a session ends there when the approval that opened it is taken back.
    """

    approvals_table: str
    config: str = "config"
    state_machine_arn: str = ""
    token_key_id: str = ""
    topic_arn: str = ""
    decide_function: str = ""
    page_url: str = ""
    secrets_arn: str = ""
    config_version: str = ""
    sessions_table: str = ""


@dataclass(frozen=True, slots=True)
class SamlSettings(Environment):
    """saml_acs, which signs people in at SAML identity providers. ``config`` is the configuration folder.

    ``sign_ins_table`` keeps what is under way, ``gateway_key_id`` (KMS) signs tokens, ``page_url`` is where people
    reach the page that this function serves a part of.
    """

    sign_ins_table: str
    gateway_key_id: str
    page_url: str
    config: str = "config"
    config_version: str = ""


@dataclass(frozen=True, slots=True)
class RecordingSettings(Environment):
    """Recordings on AWS: what the gateway's recorder and the finisher must agree on. Times in seconds.

    ``spool`` is a directory on a file system that outlives tasks; ``manifest_key_id`` an asymmetric KMS key. A segment
    is put when it has ``segment_bytes``, or after ``segment_seconds`` with traffic. ``backlog_bytes`` of one recording
    may wait for the bucket before its session is slowed down. A writer that could not touch its spool file for
    ``lease_seconds`` stops; what nobody touched for ``abandoned_seconds``, which must be at least twice as long, is
    completed by the finisher. ``endpoint_url`` is for tests.
    """

    recordings_bucket: str
    manifest_key_id: str
    spool: str = ".spool"
    segment_bytes: int = 8 << 20
    segment_seconds: float = 2.0
    backlog_bytes: int = 64 << 20
    lease_seconds: float = 60.0
    abandoned_seconds: float = 120.0
    checkpoint_seconds: float = 60.0
    endpoint_url: str = ""

    def __post_init__(self) -> None:
        if self.abandoned_seconds < 2 * self.lease_seconds:
            raise ValueError("set BLASTWALL_ABANDONED_SECONDS to at least twice BLASTWALL_LEASE_SECONDS")

    @property
    def spool_path(self) -> Path:
        return Path(self.spool)


@dataclass(frozen=True, slots=True)
class CredentialSettings(Environment):
    """token_verifier, credential_vendor, session_revoker, session_reconciler. ``config`` is the configuration folder,
    ``config_version`` what it must load as.

    ``approvals_table`` ("": none) is where the vendor sees that a person approved a connection,
    ``gateway_key_id`` the KMS key of the gateway's own tokens ("": there are none). Those that give or take
    back what no gateway sees record it as RecordingSettings says, whose variables these are too. ``ca_bundle`` as for
    the gateway.
    """

    sessions_table: str
    leases_table: str
    config: str = "config"
    approvals_table: str = ""
    gateway_key_id: str = ""
    recordings_bucket: str = ""
    manifest_key_id: str = ""
    ca_bundle: str = ""
    config_version: str = ""


@dataclass(frozen=True, slots=True)
class OperatorSettings(Environment):
    """`blastwall --aws`: the tables and functions of a deployment. What is empty is looked up in its stacks."""

    sessions_table: str = ""
    leases_table: str = ""
    approvals_table: str = ""
    approval_decide_function: str = ""
    session_revoker_function: str = ""


def _text(_variable: str, text: str) -> str:
    return text


def _number(variable: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{variable}={text!r}: a number is expected") from None


def _whole(variable: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{variable}={text!r}: a whole number is expected") from None


def _truth(variable: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{variable}={text!r}: true or false is expected")
    return text.lower() == "true"


_READ = {"str": _text, "float": _number, "int": _whole, "bool": _truth}
