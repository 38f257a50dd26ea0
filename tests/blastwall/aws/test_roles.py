"""AssumeRole and the denials at moto: what is asserted is the request itself, because moto ignores most of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from blastwall.aws.roles import assume, deny
from blastwall.credentials.denials import read_denials, write_denials
from blastwall.credentials.session_policy import Grant, RoleProfile
from blastwall.errors import UpstreamFault
from blastwall.model import Principal, Session
from tests.blastwall.aws import stage

NOW = 1_800_000_000.0
PROFILE = RoleProfile(
    "reports", "arn:aws:iam::123456789012:role/reports", "eu-central-1", (Grant(("s3:GetObject",), ("*",)),)
)
SESSION = Session("s-abcdefghijkl", Principal("iss", "sub", "bot", expires_at=NOW + 900), "reports", NOW, NOW + 900)


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with stage.aws(monkeypatch):
        yield


def test_sts_is_asked_for_exactly_this(moto: None) -> None:
    client = boto3.client("sts", region_name="eu-central-1")
    sent: list[dict[str, Any]] = []
    client.meta.events.register("provide-client-params.sts.AssumeRole", lambda params, **_: sent.append(params))
    keys = assume(client, PROFILE, SESSION, NOW + 900, NOW)
    (request,) = sent
    assert set(request) == {
        "RoleArn", "RoleSessionName", "SourceIdentity", "Tags", "TransitiveTagKeys", "Policy", "DurationSeconds",
    }  # fmt: skip
    assert request["SourceIdentity"] == SESSION.id and request["DurationSeconds"] == 1800
    assert [statement["Effect"] for statement in json.loads(request["Policy"])["Statement"]] == ["Allow", "Deny"]
    assert keys.access_key and keys.secret_key.reveal() and keys.session_token.reveal()
    assert keys.secret_key.reveal() not in repr(keys)
    assert keys.ends_at == NOW + 900


def test_a_role_that_does_not_trust_the_vendor_is_explained() -> None:
    class Refusing:
        def assume_role(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")

    with pytest.raises(UpstreamFault, match="sts:SetSourceIdentity and sts:TagSession"):
        assume(Refusing(), PROFILE, SESSION, NOW + 900, NOW)


def test_denials_are_written_once_kept_and_forgotten_within_five_versions(moto: None) -> None:
    iam = boto3.client("iam", region_name="eu-central-1")
    arn = iam.create_policy(PolicyName="ended", PolicyDocument=write_denials({}))["Policy"]["Arn"]

    def denied() -> set[str]:
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        return {who for several in read_denials(document).values() for who in several}

    first = deny(iam, arn, "s-0", NOW + 900, NOW)
    assert deny(iam, arn, "s-0", NOW + 900, NOW) == first, "once more changes nothing"
    for number in range(1, 8):
        deny(iam, arn, f"s-{number}", NOW + 900 + number, NOW + number)
    assert denied() == {f"s-{number}" for number in range(8)}
    assert len(iam.list_policy_versions(PolicyArn=arn)["Versions"]) <= 5
    deny(iam, arn, "s-late", NOW + 9000, NOW + 5000)
    assert denied() == {"s-late"}
    with pytest.raises(UpstreamFault, match="cannot be rewritten"):
        deny(iam, arn + "-gone", "s-1", NOW + 900, NOW)
