"""What the functions of identity and credentials are given, for the targets that a configuration names."""

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
