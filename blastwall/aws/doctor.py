"""What in an AWS account would make a deployment or a session fail, found by asking; nothing is changed.

The questions and the advice are ``account.toml``. Each check yields findings; one that AWS refuses to answer is a
finding, too, for whoever deploys may have fewer rights than they think.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blastwall.errors import Fault
from blastwall.findings import Finding, Verdict

CHECKS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("account.toml").read_text("utf-8"))["checks"]
MISSING = {
    "ParameterNotFound",
    "ResourceNotFoundException",
    "EventDataStoreNotFoundException",
    "DBInstanceNotFound",
    "DBClusterNotFoundFault",
    "DBProxyNotFoundFault",
}
_PATIENCE = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})

Client = Callable[[str], Any]
Grants = Callable[[str], frozenset[str] | None]


@dataclass(frozen=True, slots=True)
class Login:
    """An RDS database by its DbiResourceId, and who logs in to it by a token (None: users that we make)."""

    resource: str
    user: str | None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a target takes of the account: ARNs of secrets, and logins."""

    name: str
    secrets: tuple[str, ...] = ()
    logins: tuple[Login, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """What to look at. ``client`` makes a boto3 client by its service's name.

    ``tasks`` and ``task_cpu`` (units of 1/1024 vCPU) are what the topology needs at most. ``certificate`` and ``store``
    are the ARNs that will be given as parameters ("": none). ``keys`` are listeners with the ARN of their keys' secret
    ("": not said) and the members that it must have. ``clusters`` are EKS clusters with the role that is to
    enter each. ``granted`` answers, for a target's name, which database users have rds_iam; None: it cannot tell.
    """

    client: Client
    targets: Sequence[Needs] = ()
    tasks: int = 0
    task_cpu: int = 0
    certificate: str = ""
    store: str = ""
    keys: Sequence[tuple[str, str, tuple[str, ...]]] = ()
    clusters: Sequence[tuple[str, str]] = ()
    granted: Grants | None = None


def regional(region: str | None) -> Client:
    """Makes clients that give up in seconds. ``region`` None: the environment's own."""

    def make(service: str) -> Any:  # noqa: ANN401  boto3 has no types
        return boto3.client(service, region_name=region, config=_PATIENCE)

    return make


def examine(account: Account) -> Iterator[Finding]:
    """Every check; without credentials only the one that says so."""
    first = list(_guarded("credentials", "this account", lambda: _credentials(account)))
    yield from first
    if any(finding.verdict is not Verdict.OK for finding in first):
        return
    yield from _guarded("bootstrap", "CDK bootstrap", lambda: _bootstrap(account))
    yield from _guarded("concurrency", "Lambda", lambda: _concurrency(account))
    if account.tasks:
        yield from _guarded("fargate", "Fargate", lambda: _fargate(account))
    if account.certificate:
        yield from _guarded("certificate", account.certificate, lambda: _certificate(account))
    for protocol, arn, members in account.keys:
        yield from _guarded("listener_keys", protocol, partial(_keys, account, arn, members))
    if account.store:
        yield from _guarded("lake", account.store, lambda: _lake(account))
    yield from _targets(account)
    for cluster, role in account.clusters:
        yield from _guarded("eks_access", cluster, partial(_access, account, cluster, role))


def _guarded(check: str, about: str, look: Callable[[], tuple[bool, str]]) -> Iterator[Finding]:
    """Turn an answer, or AWS's refusal to give one, into a finding."""
    advice = str(CHECKS[check]["advice"])
    try:
        fine, found = look()
        yield Finding(check, Verdict.OK if fine else Verdict.FAIL, found, "" if fine else advice, about)
    except ClientError as fault:
        code = fault.response.get("Error", {}).get("Code", "")
        if code in MISSING or code.endswith("NotFoundException"):
            yield Finding(check, Verdict.FAIL, "it is not there", advice, about)
        elif check == "credentials":
            yield Finding(check, Verdict.FAIL, f"AWS refuses the credentials: {code}", advice, about)
        else:
            may = f"Ask for the right to call {CHECKS[check]['call']}, or have somebody look who has it."
            yield Finding(check, Verdict.UNKNOWN, f"AWS does not say: {code}", may, about)
    except BotoCoreError as fault:
        verdict = Verdict.FAIL if check == "credentials" else Verdict.UNKNOWN
        yield Finding(check, verdict, str(fault), advice, about)


def _credentials(account: Account) -> tuple[bool, str]:
    identity = account.client("sts").get_caller_identity()
    return True, f"account {identity['Account']} as {identity['Arn']}"


def _bootstrap(account: Account) -> tuple[bool, str]:
    row = CHECKS["bootstrap"]
    answer = account.client("ssm").get_parameter(Name=row["parameter"])
    version = int(answer["Parameter"]["Value"])
    return version >= row["least"], f"version {version}, at least {row['least']} is needed"


def _concurrency(account: Account) -> tuple[bool, str]:
    limit = account.client("lambda").get_account_settings()["AccountLimit"]
    left = int(limit["UnreservedConcurrentExecutions"])
    return left >= CHECKS["concurrency"]["unreserved"], f"{left} concurrent executions are unreserved"


def _fargate(account: Account) -> tuple[bool, str]:
    row = CHECKS["fargate"]
    answer = account.client("service-quotas").get_service_quota(ServiceCode=row["service"], QuotaCode=row["quota"])
    allowed = float(answer["Quota"]["Value"])
    needed = 2 * account.tasks * account.task_cpu / 1024  # a deployment runs the old and the new side by side
    return allowed >= needed, f"{allowed:g} vCPU allowed, {needed:g} needed while a deployment replaces all tasks"


def _certificate(account: Account) -> tuple[bool, str]:
    return _members(account, account.certificate, {"certificate": "BEGIN CERTIFICATE", "key": "PRIVATE KEY"})


def _keys(account: Account, arn: str, members: tuple[str, ...]) -> tuple[bool, str]:
    if not arn:
        return False, f"which secret has {', '.join(members)}?"
    return _members(account, arn, dict.fromkeys(members, "PRIVATE KEY"))


def _members(account: Account, arn: str, marks: Mapping[str, str]) -> tuple[bool, str]:
    """Whether the secret is an object with these members, each with its mark; what they are is not looked at."""
    text = account.client("secretsmanager").get_secret_value(SecretId=arn).get("SecretString", "")
    try:
        held = json.loads(text)
    except ValueError:
        held = None
    if not isinstance(held, dict):
        return False, "the secret is no JSON object"
    missing = [name for name, mark in marks.items() if mark not in str(held.get(name, ""))]
    return not missing, f"missing: {', '.join(missing)}" if missing else f"it has {', '.join(marks)}"


def _lake(account: Account) -> tuple[bool, str]:
    store = account.client("cloudtrail").get_event_data_store(EventDataStore=account.store)
    fields = [
        value
        for selector in store.get("AdvancedEventSelectors", ())
        for field in selector["FieldSelectors"]
        if field["Field"] == "eventCategory"
        for value in field.get("Equals", ())
    ]
    status = store.get("Status")
    return status == "ENABLED" and "ActivityAuditLog" in fields, f"{status}, events: {', '.join(fields) or 'none'}"


def _targets(account: Account) -> Iterator[Finding]:
    for needs in account.targets:
        for arn in needs.secrets:
            yield from _guarded("target_secret", needs.name, partial(_secret, account, arn))
        for login in needs.logins:
            yield from _guarded("rds_iam", needs.name, partial(_takes_tokens, account, login.resource))
            if login.user is not None and account.granted is not None:
                yield from _granted(needs.name, login.user, account.granted)


def _secret(account: Account, arn: str) -> tuple[bool, str]:
    answer = account.client("secretsmanager").describe_secret(SecretId=arn)
    gone = answer.get("DeletedDate")
    return gone is None, f"it is deleted on {gone:%Y-%m-%d}" if gone else "it is there"


def _takes_tokens(account: Account, resource: str) -> tuple[bool, str]:
    """The instance or cluster with this DbiResourceId: RDS finds them by that id, too."""
    rds = account.client("rds")
    by_id = [{"Name": "dbi-resource-id", "Values": [resource]}]
    if resource.startswith("cluster-"):
        by_id = [{"Name": "db-cluster-resource-id", "Values": [resource]}]
        found = rds.describe_db_clusters(Filters=by_id)["DBClusters"]
    elif resource.startswith("prx-"):
        pages = rds.get_paginator("describe_db_proxies").paginate()
        proxies = [proxy for page in pages for proxy in page["DBProxies"]]
        found = [
            {"IAMDatabaseAuthenticationEnabled": any(auth.get("IAMAuth") != "DISABLED" for auth in proxy["Auth"])}
            for proxy in proxies
            if str(proxy["DBProxyArn"]).endswith(resource)
        ]
    else:
        found = rds.describe_db_instances(Filters=by_id)["DBInstances"]
    if not found:
        return False, f"there is no database {resource} in this account and region"
    fine = bool(found[0].get("IAMDatabaseAuthenticationEnabled"))
    return fine, f"{resource} {'takes' if fine else 'does not take'} IAM tokens"


def _granted(target: str, user: str, granted: Grants) -> Iterator[Finding]:
    advice = str(CHECKS["rds_iam_grant"]["advice"])
    try:
        users = granted(target)
    except (Fault, ValueError) as fault:
        yield Finding("rds_iam_grant", Verdict.UNKNOWN, str(fault), "Correct its address, or ask from inside.", target)
        return
    if users is None:
        return
    if user in users:
        yield Finding("rds_iam_grant", Verdict.OK, f"{user} has rds_iam", about=target)
    else:
        yield Finding("rds_iam_grant", Verdict.FAIL, f"{user} does not have rds_iam", advice, target)


def _access(account: Account, cluster: str, role: str) -> tuple[bool, str]:
    entry = account.client("eks").describe_access_entry(clusterName=cluster, principalArn=role)["accessEntry"]
    fine = "{{SessionName}}" in str(entry.get("username", ""))
    return fine, f"username {entry.get('username')}" if fine else "its username does not carry {{SessionName}}"
