from dataclasses import replace
from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from stacks.targets import Login, accounts, logins, on_rds, secrets

BUNDLE = load_bundle(Path(__file__).parent / "config")


def test_a_role_for_each_session_needs_its_admin_and_its_sessions_users() -> None:
    assert logins(BUNDLE) == (
        Login("eu-west-1", "cluster-ORDERS", "blastwall_admin"),
        Login("eu-west-1", "cluster-ORDERS", "bw_*"),
        Login("eu-west-1", "db-REPORTS", "reports_agent"),
    )


def test_secrets_are_named_by_their_whole_arn() -> None:
    assert secrets(BUNDLE) == ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:ledger-AbCdEf",)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("orders.abc.eu-west-1.rds.amazonaws.com", True),
        ("orders.abc.us-gov-west-1.rds.amazonaws.com", True),
        ("orders.abc.rds.cn-north-1.amazonaws.com.cn", True),
        ("Orders.Abc.eu-west-1.RDS.amazonaws.com.", True),
        ("orders.rds.amazonaws.com.example.org", False),
        ("rds.example.org", False),
    ],
)
def test_whose_certificates_rds_signs_is_told_by_the_host_in_every_partition(host: str, expected: bool) -> None:
    target = replace(BUNDLE.targets["reports"], host=host)
    assert on_rds(replace(BUNDLE, targets={"reports": target})) == (("reports",) if expected else ())


def test_a_configuration_without_aws_needs_nothing() -> None:
    bundle = load_bundle(Path(__file__).parents[2] / "config")
    assert (logins(bundle), secrets(bundle), accounts(bundle)) == ((), (), {})


def test_pushed_keys_are_for_the_accounts_that_the_configuration_names() -> None:
    instances = (("eu-west-1", "i-0123456789abcdef0"), ("eu-west-1", "i-0fedcba9876543210"))
    assert accounts(BUNDLE) == {"deploy": instances}
