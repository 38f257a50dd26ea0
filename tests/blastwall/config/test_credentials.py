"""The credential sections: three kinds, nothing unknown, nothing contradictory, never a secret."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from blastwall.config.credentials import AnyCredential, AwsRole, Credentials, IamCredential, RoleCredential

ROLE: dict[str, Any] = {"kind": "role", "profile": "app", "admin": {"user": "blastwall_admin", "password_env": "A"}}
RDS = {"resource_id": "db-ABCDEFGHIJKL01234", "region": "eu-central-1"}
ONE: TypeAdapter[AnyCredential] = TypeAdapter(AnyCredential)


def test_the_three_kinds() -> None:
    role = ONE.validate_python(ROLE | {"settings": {"work_mem": "8MB"}})
    assert isinstance(role, RoleCredential) and role.user == "app" and role.login == "password"
    assert isinstance(ONE.validate_python({"kind": "iam", "user": "app", "rds": RDS}), IamCredential)
    assert ONE.validate_python({"kind": "static", "user": "app"}).user == "app"
    several = TypeAdapter(Credentials).validate_python([ROLE, {"kind": "static", "user": "reader"}])
    assert [credential.user for credential in several] == ["app", "reader"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"profile": "blastwall_admin"}, "two roles"),
        ({"login": "iam"}, "needs rds"),
        ({"admin": {"user": "a", "iam": True}}, "needs rds"),
        ({"admin": {"user": "a", "iam": True, "password_env": "A"}, "rds": RDS}, "not both"),
        ({"admin": {"user": "a", "password_env": "A", "password_file": "f"}}, "not both"),
        ({"settings": {"role": "postgres"}}, "cannot be given"),
        ({"settings": {"Work Mem": "1"}}, "pattern"),
        ({"settings": {"work_mem": "1\n2"}}, "pattern"),
        ({"connections": 0}, "greater"),
        ({"max_minutes": 0}, "greater"),
        ({"password": "hunter2"}, "Extra"),
        ({"profile": "x" * 64}, "63"),
        ({"rds": {"resource_id": "shop.cluster-x.rds.amazonaws.com", "region": "eu-central-1"}}, "pattern"),
        ({"rds": {"resource_id": "db-A1", "region": "Frankfurt"}}, "pattern"),
    ],
)
def test_what_would_open_more_than_it_closes_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ONE.validate_python(ROLE | change)


AWS: dict[str, Any] = {
    "role_arn": "arn:aws:iam::123456789012:role/agents/reports",
    "region": "eu-central-1",
    "allow": [{"actions": ["s3:GetObject"], "resources": ["*"]}],
    "network": {"source_ips": ["203.0.113.0/24"], "source_vpces": ["vpce-0abc"]},
}


def test_an_aws_role_is_handed_on_as_the_vendor_takes_it() -> None:
    profile = AwsRole.model_validate(AWS).profile("reports")
    assert (profile.name, profile.allow[0].actions, profile.network.source_vpces) == (
        "reports",
        ("s3:GetObject",),
        ("vpce-0abc",),
    )
    assert profile.max_seconds == 3600 and profile.denials == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"role_arn": "arn:aws:iam::123456789012:user/x"}, "pattern"),
        ({"allow": []}, "at least 1"),
        ({"max_minutes": 61.0}, "60"),
        ({"network": {"source_vpces": ["*"]}}, "pattern"),
        ({"allow": [{"actions": ["s3:GetObject"], "resources": [f"arn:aws:s3:::b{n}/*" for n in range(120)]}]}, "2048"),
    ],
)
def test_an_aws_role_that_sts_would_not_take_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AwsRole.model_validate(AWS | change)
