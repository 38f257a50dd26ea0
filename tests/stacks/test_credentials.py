"""What the functions of identity and credentials are given, for the targets that a configuration names."""

from blastwall.credentials.denials import read_denials
from tests.stacks.deployment import Deployment, listed


def granted(deployment: Deployment, role: str, sid: str) -> list[str]:
    """The resources of a role's statement as text; none when it has no such statement."""
    found = [item for item in deployment.roles[role] if item.get("Sid") == sid]
    return [str(resource) for item in found for resource in listed(item["Resource"])]


def test_the_vendor_logs_in_as_the_users_that_targets_name(given: Deployment) -> None:
    users = granted(given, "CredentialVendorRole", "LogInToTargets")
    assert len(users) == 3
    for end in (
        "dbuser:cluster-ORDERS/blastwall_admin",
        "dbuser:cluster-ORDERS/bw_*",
        "dbuser:db-REPORTS/reports_agent",
    ):
        assert any(end in user for user in users), end


def test_passwords_are_read_one_by_one(given: Deployment) -> None:
    assert granted(given, "CredentialVendorRole", "ReadTargetSecrets") == [
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ledger-AbCdEf"
    ]


def test_a_deployment_without_such_targets_grants_neither(deployed: Deployment) -> None:
    assert granted(deployed, "CredentialVendorRole", "LogInToTargets") == []
    assert granted(deployed, "CredentialVendorRole", "ReadTargetSecrets") == []


def test_roles_of_ours_are_made_and_trusted_by_the_vendor_alone(given: Deployment) -> None:
    roles = {id: role for id, role in given.properties("AWS::IAM::Role").items() if id.startswith("Target")}
    (role,) = roles.values()
    assert (role["Path"], role["RoleName"], role["MaxSessionDuration"]) == ("/blastwall/", "reports-reader", 3600)
    trusted = role["AssumeRolePolicyDocument"]["Statement"]
    assert {action for item in trusted for action in listed(item["Action"])} == {
        "sts:AssumeRole",
        "sts:TagSession",
        "sts:SetSourceIdentity",
    }
    assert all("CredentialVendorRole" in str(item["Principal"]) for item in trusted)
    (allowed,) = given.roles[next(iter(roles))]
    assert allowed["Action"] == "s3:GetObject" and allowed["Resource"] == "arn:aws:s3:::reports/*"
    assert allowed["Condition"] == {"StringEquals": {"s3:ExistingObjectTag/public": ["yes"]}}


def test_what_denies_ended_sessions_is_attached_and_denies_nobody_yet(given: Deployment) -> None:
    (policy,) = given.properties("AWS::IAM::ManagedPolicy").values()
    assert (policy["Path"], policy["ManagedPolicyName"]) == ("/blastwall/", "reports-reader-denials")
    assert read_denials(policy["PolicyDocument"]) == {}
    assert policy["PolicyDocument"]["Statement"][0]["Effect"] == "Deny"


def test_the_vendor_assumes_and_the_revoker_rewrites_what_the_configuration_names(given: Deployment) -> None:
    assert granted(given, "CredentialVendorRole", "AssumeTargetRoles") == [
        "arn:aws:iam::123456789012:role/blastwall/reports-reader",
        "arn:aws:iam::123456789012:role/theirs",
    ]
    assert granted(given, "SessionRevokerRole", "EditOwnDenials") == [
        "arn:aws:iam::123456789012:policy/blastwall/reports-reader-denials"
    ]


def test_keys_are_pushed_by_the_vendor_to_named_accounts_of_named_instances(
    given: Deployment, deployed: Deployment
) -> None:
    (statement,) = [item for item in given.roles["CredentialVendorRole"] if item["Sid"].startswith("PushSshKeys")]
    assert statement["Action"] == "ec2-instance-connect:SendSSHPublicKey"
    assert statement["Condition"] == {"StringEquals": {"ec2:osuser": "deploy"}}
    resources = [str(resource) for resource in listed(statement["Resource"])]
    assert len(resources) == 2 and not any("*" in resource for resource in resources)
    for instance in ("i-0123456789abcdef0", "i-0fedcba9876543210"):
        assert any(f":instance/{instance}" in resource and "ec2:eu-west-1:" in resource for resource in resources)
    assert given.holders("ec2-instance-connect:") == {"CredentialVendorRole"}
    assert deployed.holders("ec2-instance-connect:") == set()


def test_agents_without_aws_credentials_ask_over_https_and_not_too_often(given: Deployment) -> None:
    stages = given.properties("AWS::ApiGatewayV2::Stage")
    (stage,) = [stage for id, stage in stages.items() if id.startswith("Door")]
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 10, "ThrottlingBurstLimit": 20}
    log = stage["AccessLogSettings"]["Format"]
    assert "header" not in log.lower() and "querystring" not in log.lower()
    routes = given.properties("AWS::ApiGatewayV2::Route")
    assert [route["RouteKey"] for id, route in routes.items() if id.startswith("Door")] == ["POST /credentials/aws"]


def test_a_deployment_without_aws_roles_opens_no_door(deployed: Deployment) -> None:
    assert not [id for id in deployed.properties("AWS::ApiGatewayV2::Stage") if id.startswith("Door")]


def test_who_gives_or_takes_back_beside_a_gateway_records_it(given: Deployment) -> None:
    for role in ("CredentialVendorRole", "SessionRevokerRole", "SessionReconcilerRole"):
        for sid in ("WriteRecordings", "SignManifests", "MountSpool"):
            assert granted(given, role, sid), (role, sid)
        actions = {action for item in given.roles[role] for action in listed(item["Action"])}
        assert not actions & {"s3:GetObject", "s3:DeleteObject", "s3:ListBucket"}
    assert granted(given, "TokenVerifierRole", "WriteRecordings") == []
