"""Each finding, and what it says to do; answers are held against AWS's own service models by botocore's Stubber."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber

from blastwall.aws.doctor import CHECKS, Account, Login, Needs, examine, regional
from blastwall.errors import UpstreamFault
from blastwall.findings import Finding, Verdict

TEAM = (
    Needs("ledger", ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:ledger-AbCdEf",)),
    Needs("orders", (), (Login("cluster-ORDERS", "blastwall_admin"),)),
    Needs("reports", (), (Login("db-REPORTS", "reports_agent"),)),
)
PLAIN: tuple[Needs, ...] = ()
STORE = "arn:aws:cloudtrail:eu-west-1:123456789012:eventdatastore/0a1b2c3d-0000-1111-2222-333344445555"
ROLE = "arn:aws:iam::123456789012:role/gateway"

Fault = tuple[str, str]  # a client error's code and message


class Cloud:
    """Clients that answer as told, once for each expected call; a call that nobody expects fails the test."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Any, Stubber]] = {}

    def client(self, service: str) -> Any:
        if service not in self._made:
            client = boto3.client(service, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
            stub = Stubber(client)
            stub.activate()
            self._made[service] = client, stub
        return self._made[service][0]

    def answer(self, service: str, operation: str, answer: dict[str, Any] | Fault) -> Cloud:
        self.client(service)
        stub = self._made[service][1]
        if isinstance(answer, tuple):
            stub.add_client_error(operation, *answer)
        else:
            stub.add_response(operation, answer)
        return self

    def exhausted(self) -> None:
        for _, stub in self._made.values():
            stub.assert_no_pending_responses()


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    made.answer("sts", "get_caller_identity", {"Account": "123456789012", "Arn": ROLE, "UserId": "AROA"})
    made.answer("ssm", "get_parameter", {"Parameter": {"Value": "31"}})
    made.answer("lambda", "get_account_settings", {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}})
    yield made
    made.exhausted()


def only(findings: Iterator[Finding], check: str) -> Finding:
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def test_an_account_that_is_ready_has_nothing_to_do(cloud: Cloud) -> None:
    findings = list(examine(Account(cloud.client, PLAIN)))
    assert [(finding.check, finding.verdict) for finding in findings] == [
        ("credentials", Verdict.OK),
        ("bootstrap", Verdict.OK),
        ("concurrency", Verdict.OK),
    ]
    assert not any(finding.advice for finding in findings)
    assert "123456789012" in findings[0].found


def test_without_credentials_that_is_all_it_says() -> None:
    def client(service: str) -> Any:
        raise NoCredentialsError()

    (finding,) = examine(Account(client, TEAM))
    assert (finding.check, finding.verdict) == ("credentials", Verdict.FAIL) and "Log in" in finding.advice


def test_an_expired_login_is_told_as_such() -> None:
    cloud = Cloud().answer("sts", "get_caller_identity", ("ExpiredToken", "expired"))
    (finding,) = examine(Account(cloud.client, TEAM))
    assert finding.verdict is Verdict.FAIL and "ExpiredToken" in finding.found


def failing(*answers: tuple[str, str, dict[str, Any] | Fault]) -> Cloud:
    """An account that is ready but for what these answer."""
    cloud = Cloud()
    told = {(service, operation) for service, operation, _ in answers}
    fine: list[tuple[str, str, dict[str, Any]]] = [
        ("sts", "get_caller_identity", {"Account": "123456789012", "Arn": ROLE, "UserId": "AROA"}),
        ("ssm", "get_parameter", {"Parameter": {"Value": "31"}}),
        ("lambda", "get_account_settings", {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}}),
    ]
    for item in [*(item for item in fine if item[:2] not in told), *answers]:
        cloud.answer(*item)
    return cloud


@pytest.mark.parametrize(
    ("check", "service", "operation", "answer", "verdict", "found"),
    [
        ("bootstrap", "ssm", "get_parameter", ("ParameterNotFound", ""), Verdict.FAIL, "not there"),
        ("bootstrap", "ssm", "get_parameter", {"Parameter": {"Value": "5"}}, Verdict.FAIL, "version 5"),
        ("bootstrap", "ssm", "get_parameter", ("AccessDeniedException", ""), Verdict.UNKNOWN, "AccessDenied"),
        (
            "concurrency",
            "lambda",
            "get_account_settings",
            {"AccountLimit": {"UnreservedConcurrentExecutions": 10}},
            Verdict.FAIL,
            "10 concurrent",
        ),
    ],
)
def test_what_a_deployment_needs(
    check: str, service: str, operation: str, answer: dict[str, Any] | Fault, verdict: Verdict, found: str
) -> None:
    finding = only(examine(Account(failing((service, operation, answer)).client, PLAIN)), check)
    assert finding.verdict is verdict and found in finding.found and finding.advice
    if verdict is Verdict.UNKNOWN:
        assert CHECKS[check]["call"] in finding.advice


@pytest.mark.parametrize(("allowed", "verdict"), [(10.0, Verdict.OK), (9.0, Verdict.FAIL)])
def test_the_quota_must_hold_the_old_and_the_new_tasks(cloud: Cloud, allowed: float, verdict: Verdict) -> None:
    cloud.answer("service-quotas", "get_service_quota", {"Quota": {"Value": allowed}})
    finding = only(examine(Account(cloud.client, PLAIN, tasks=10, task_cpu=512)), "fargate")
    assert finding.verdict is verdict and "10 needed" in finding.found


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ('{"certificate": "-----BEGIN CERTIFICATE-----", "key": "-----BEGIN PRIVATE KEY-----"}', ""),
        ('{"certificate": "-----BEGIN CERTIFICATE-----"}', "missing: key"),
        ("not json", "no JSON object"),
    ],
)
def test_the_listeners_certificate_is_looked_at_but_not_shown(cloud: Cloud, held: str, found: str) -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:tls-AbCdEf"
    cloud.answer("secretsmanager", "get_secret_value", {"SecretString": held})
    finding = only(examine(Account(cloud.client, PLAIN, certificate=arn)), "certificate")
    assert (finding.verdict is Verdict.FAIL) == bool(found) and found in finding.found
    assert "BEGIN" not in finding.found


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ('{"host_key": "BEGIN OPENSSH PRIVATE KEY", "user_ca": "BEGIN OPENSSH PRIVATE KEY"}', ""),
        ('{"host_key": "BEGIN OPENSSH PRIVATE KEY", "user_ca": "ssh-ed25519 AAAA"}', "missing: user_ca"),
        ("[]", "no JSON object"),
    ],
)
def test_a_listeners_keys_are_all_in_their_secret(cloud: Cloud, held: str, found: str) -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ssh-AbCdEf"
    cloud.answer("secretsmanager", "get_secret_value", {"SecretString": held})
    keys = [("ssh", arn, ("host_key", "user_ca"))]
    finding = only(examine(Account(cloud.client, PLAIN, keys=keys)), "listener_keys")
    assert (finding.verdict is Verdict.FAIL) == bool(found) and found in finding.found
    assert "BEGIN" not in finding.found and finding.about == "ssh"


def test_a_listener_whose_secret_nobody_named_is_asked_about(cloud: Cloud) -> None:
    finding = only(examine(Account(cloud.client, PLAIN, keys=[("ssh", "", ("host_key",))])), "listener_keys")
    assert finding.verdict is Verdict.FAIL and "which secret has host_key?" in finding.found
    assert "--keys PROTOCOL=ARN" in finding.advice


def store(category: str, status: str = "ENABLED") -> dict[str, Any]:
    selector = {"FieldSelectors": [{"Field": "eventCategory", "Equals": [category]}]}
    return {"EventDataStoreArn": STORE, "Status": status, "AdvancedEventSelectors": [selector]}


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (store("ActivityAuditLog"), Verdict.OK),
        (store("Management"), Verdict.FAIL),
        (store("ActivityAuditLog", "PENDING_DELETION"), Verdict.FAIL),
        (("EventDataStoreNotFoundException", ""), Verdict.FAIL),
    ],
)
def test_lake_takes_only_stores_for_events_from_outside(
    cloud: Cloud, answer: dict[str, Any] | Fault, verdict: Verdict
) -> None:
    cloud.answer("cloudtrail", "get_event_data_store", answer)
    finding = only(examine(Account(cloud.client, PLAIN, store=STORE)), "lake")
    assert finding.verdict is verdict
    assert ("no new customers" in finding.advice) == (verdict is Verdict.FAIL)


def team(cloud: Cloud, instance: list[dict[str, Any]], cluster: list[dict[str, Any]]) -> Cloud:
    secret = {"ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ledger-AbCdEf"}
    cloud.answer("secretsmanager", "describe_secret", secret)
    cloud.answer("rds", "describe_db_clusters", {"DBClusters": cluster})
    cloud.answer("rds", "describe_db_instances", {"DBInstances": instance})
    return cloud


def test_databases_must_take_tokens(cloud: Cloud) -> None:
    team(cloud, [{"IAMDatabaseAuthenticationEnabled": False}], [{"IAMDatabaseAuthenticationEnabled": True}])
    findings = {item.about: item for item in examine(Account(cloud.client, TEAM)) if item.check == "rds_iam"}
    assert findings["orders"].verdict is Verdict.OK
    assert findings["reports"].verdict is Verdict.FAIL
    assert "--enable-iam-database-authentication" in findings["reports"].advice


def test_a_database_that_is_elsewhere_is_not_taken_for_fine(cloud: Cloud) -> None:
    team(cloud, [], [])
    findings = [item for item in examine(Account(cloud.client, TEAM)) if item.check == "rds_iam"]
    assert [item.verdict for item in findings] == [Verdict.FAIL, Verdict.FAIL]
    assert "there is no database db-REPORTS" in findings[1].found


def test_a_secret_that_is_on_its_way_out_is_noticed() -> None:
    cloud = failing(
        ("secretsmanager", "describe_secret", {"ARN": "arn:x" * 5, "DeletedDate": datetime(2026, 11, 1, tzinfo=UTC)}),
        ("rds", "describe_db_clusters", {"DBClusters": []}),
        ("rds", "describe_db_instances", {"DBInstances": []}),
    )
    finding = only(examine(Account(cloud.client, TEAM)), "target_secret")
    assert finding.verdict is Verdict.FAIL and "2026-11-01" in finding.found


def test_database_users_need_rds_iam(cloud: Cloud) -> None:
    fine = [{"IAMDatabaseAuthenticationEnabled": True}]
    given = {"orders": frozenset({"blastwall_admin"}), "reports": frozenset({"somebody"})}
    account = Account(team(cloud, fine, fine).client, TEAM, granted=given.get)
    findings = {item.about: item for item in examine(account) if item.check == "rds_iam_grant"}
    assert findings["orders"].verdict is Verdict.OK
    assert findings["reports"].verdict is Verdict.FAIL and "GRANT rds_iam" in findings["reports"].advice


def unreachable(target: str) -> frozenset[str] | None:
    raise UpstreamFault(f"{target} does not answer")


@pytest.mark.parametrize(("granted", "verdicts"), [(lambda target: None, []), (unreachable, [Verdict.UNKNOWN] * 2)])
def test_a_database_that_cannot_be_asked_is_unknown_not_wrong(
    cloud: Cloud, granted: Callable[[str], frozenset[str] | None], verdicts: list[Verdict]
) -> None:
    fine = [{"IAMDatabaseAuthenticationEnabled": True}]
    account = Account(team(cloud, fine, fine).client, TEAM, granted=granted)
    assert [item.verdict for item in examine(account) if item.check == "rds_iam_grant"] == verdicts


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"accessEntry": {"username": "blastwall:{{SessionName}}"}}, Verdict.OK),
        ({"accessEntry": {"username": ROLE}}, Verdict.FAIL),
        (("ResourceNotFoundException", ""), Verdict.FAIL),
        (("AccessDeniedException", ""), Verdict.UNKNOWN),
    ],
)
def test_clusters_need_an_entry_that_names_the_session(
    cloud: Cloud, answer: dict[str, Any] | Fault, verdict: Verdict
) -> None:
    cloud.answer("eks", "describe_access_entry", answer)
    finding = only(examine(Account(cloud.client, PLAIN, clusters=[("prod", ROLE)])), "eks_access")
    assert (finding.verdict, finding.about) == (verdict, "prod")


def test_every_check_of_the_table_says_what_to_do() -> None:
    for name, row in CHECKS.items():
        assert row["asks"].endswith("?") and len(row["advice"].split()) >= 5, name


def test_clients_give_up_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    config = regional(None)("sts").meta.config
    assert config.connect_timeout <= 3 and config.read_timeout <= 5


def test_a_database_proxy_is_found_on_whatever_page_it_is() -> None:
    class Paginator:
        def paginate(self) -> Iterator[dict[str, Any]]:
            yield {"DBProxies": [{"DBProxyArn": "arn:aws:rds:eu-west-1:1:db-proxy:prx-0", "Auth": []}]}
            yield {
                "DBProxies": [
                    {"DBProxyArn": "arn:aws:rds:eu-west-1:1:db-proxy:prx-1", "Auth": [{"IAMAuth": "REQUIRED"}]}
                ]
            }

    class Rds:
        def get_paginator(self, operation: str) -> Paginator:
            assert operation == "describe_db_proxies"
            return Paginator()

    cloud = failing()
    client = lambda service: Rds() if service == "rds" else cloud.client(service)  # noqa: E731
    found = only(examine(Account(client, [Needs("orders", logins=(Login("prx-1", None),))])), "rds_iam")
    assert found.verdict is Verdict.OK
