"""What a session may do with an assumed role, judged as IAM judges: what it must, and nothing after its end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blastwall.credentials.session_policy import Grant, Network, RoleProfile, request_of, session_policy
from blastwall.model import Principal, Session
from tests.blastwall.credentials.iam import allowed

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
BEFORE, AFTER = "2027-01-15T08:09:59Z", "2027-01-15T08:10:01Z"
GRANTS = (
    Grant(("s3:GetObject",), ("arn:aws:s3:::reports/*",)),
    Grant(("dynamodb:*",), ("*",), {"StringEquals": {"aws:RequestedRegion": ["eu-central-1"]}}),
)
ADMIN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
REPORT = "arn:aws:s3:::reports/2026.csv"


def may(policy: str, action: str, resource: str = REPORT, at: str = BEFORE, **context: str) -> bool:
    given = {"aws:CurrentTime": at, "aws:ViaAWSService": "false"}
    given |= {name.replace("_", ":", 1): value for name, value in context.items()}
    return allowed([ADMIN, json.loads(policy)], action, resource, given)


def test_it_allows_what_the_profile_says_and_no_more() -> None:
    policy = session_policy(GRANTS, Network(), NOW + 600)
    assert may(policy, "s3:GetObject")
    assert not may(policy, "s3:PutObject")
    assert not may(policy, "s3:GetObject", "arn:aws:s3:::payroll/2026.csv")
    assert may(policy, "dynamodb:Query", "arn:aws:dynamodb:x", aws_RequestedRegion="eu-central-1")
    assert not may(policy, "dynamodb:Query", "arn:aws:dynamodb:x", aws_RequestedRegion="us-east-1")
    assert not may(policy, "sts:AssumeRole", "*") and not may(policy, "iam:CreateAccessKey", "*")


@pytest.mark.parametrize("action", ["s3:GetObject", "dynamodb:Query", "sts:GetSessionToken"])
def test_after_the_end_it_allows_nothing_although_the_keys_live_on(action: str) -> None:
    policy = session_policy(GRANTS, Network(), NOW + 600)
    assert not may(policy, action, at=AFTER, aws_RequestedRegion="eu-central-1")


NETWORK = Network(("203.0.113.0/24",), ("vpce-0abc",))


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"aws_SourceIp": "203.0.113.7"}, True),
        ({"aws_SourceIp": "198.51.100.1"}, False),
        ({"aws_SourceVpce": "vpce-0abc"}, True),
        ({"aws_SourceVpce": "vpce-0other"}, False),
        ({}, False),
        ({"aws_SourceIp": "198.51.100.1", "aws_ViaAWSService": "true"}, True),  # a service on the session's behalf
    ],
)
def test_keys_that_were_carried_away_open_nothing_elsewhere(context: dict[str, str], expected: bool) -> None:
    assert may(session_policy(GRANTS, NETWORK, NOW + 600), "s3:GetObject", **context) is expected


def test_one_kind_of_place_is_enough() -> None:
    policy = session_policy(GRANTS, Network(source_ips=("203.0.113.0/24",)), NOW + 600)
    assert may(policy, "s3:GetObject", aws_SourceIp="203.0.113.7")
    assert not may(policy, "s3:GetObject", aws_SourceVpce="vpce-0abc")


def test_a_policy_that_sts_would_not_take_is_refused_here() -> None:
    many = tuple(Grant(("s3:GetObject",), (f"arn:aws:s3:::bucket-{number}/*",)) for number in range(40))
    with pytest.raises(ValueError, match="characters, fewer than 2048"):
        session_policy(many, Network(), NOW)
    assert len(session_policy(GRANTS, NETWORK, NOW)) < 800


def session(**changes: Any) -> Session:
    principal = Principal("iss", "sub", "shop bot/é", on_behalf_of="ada@example.test", expires_at=NOW + 7200)
    return Session("s-abcdefghijkl", principal, "reports", NOW, NOW + 7200, **changes)


def test_the_request_names_the_session_everywhere_aws_writes_it_down() -> None:
    profile = RoleProfile("reports", "arn:aws:iam::123456789012:role/reports", "eu-central-1", GRANTS)
    request = request_of(profile, session(), NOW + 600, NOW)
    assert request["SourceIdentity"] == "s-abcdefghijkl"
    assert request["RoleSessionName"] == "s-abcdefghijkl-shop-bot--"
    assert {tag["Key"]: tag["Value"] for tag in request["Tags"]} == {
        "blastwall:session": "s-abcdefghijkl",
        "blastwall:agent": "shop bot/_",
        "blastwall:target": "reports",
        "blastwall:person": "ada@example.test",
    }
    assert sorted(request["TransitiveTagKeys"]) == sorted(tag["Key"] for tag in request["Tags"])
    assert json.loads(request["Policy"])["Statement"][-1]["Condition"]["DateGreaterThan"] == {
        "aws:CurrentTime": "2027-01-15T08:10:00Z"
    }


@pytest.mark.parametrize(("left", "seconds"), [(60, 1800), (2000, 2000), (90_000, 3600)])
def test_keys_live_between_what_sdks_need_and_what_chaining_allows(left: int, seconds: int) -> None:
    profile = RoleProfile("r", "arn:aws:iam::123456789012:role/r", "eu-central-1", GRANTS)
    assert request_of(profile, session(), NOW + left, NOW)["DurationSeconds"] == seconds
