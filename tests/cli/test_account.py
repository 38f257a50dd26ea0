from pathlib import Path
from typing import Any

import click
import pytest
from botocore.exceptions import NoCredentialsError

from blastwall.aws.doctor import Login, Needs
from blastwall.config.bundle import load_bundle
from blastwall.findings import Verdict
from cli.account import TOPOLOGIES, Chosen, examine_account, kept_here, listener_keys, needs, paired
from stacks.topology import TOPOLOGIES as DEPLOYED

CONFIG = Path(__file__).parents[2] / "config"
TEAM = Path(__file__).parents[1] / "stacks" / "config"


def nobody(service: str) -> Any:
    raise NoCredentialsError()


def test_the_accounts_findings_are_the_doctors() -> None:
    (finding,) = examine_account(TEAM, Chosen(), nobody)
    assert (finding.check, finding.verdict) == ("credentials", Verdict.FAIL)
    assert finding.advice


def test_a_password_that_is_kept_on_this_machine_is_told() -> None:
    """It would be found out by the first agent: functions have neither its variable nor its file."""
    first, *others = examine_account(CONFIG, Chosen(), nobody)
    assert (first.title, first.verdict) == ("password (shop)", Verdict.FAIL) and len(others) == 1
    assert "$BLASTWALL_SHOP_ADMIN_PASSWORD" in first.found and "secret_arn" in first.advice
    assert kept_here(load_bundle(TEAM)) == []


def test_a_configuration_that_is_wrong_is_told_before_anybody_is_asked(tmp_path: Path) -> None:
    (finding,) = examine_account(tmp_path, Chosen(), nobody)
    assert finding.check == "configuration" and "policy check" in finding.advice


def test_pairs_are_taken_apart_at_the_first_equals_sign() -> None:
    assert paired(["a=b", "c=postgresql://u@h/d?sslmode=require"]) == {
        "a": "b",
        "c": "postgresql://u@h/d?sslmode=require",
    }
    for wrong in ("a", "=b", "a="):
        with pytest.raises(click.BadParameter, match="write NAME=VALUE"):
            paired([wrong])


def test_topologies_are_as_large_as_they_are_deployed() -> None:
    assert {name: (row.most_tasks, row.cpu) for name, row in DEPLOYED.items()} == TOPOLOGIES


def test_targets_need_what_their_credentials_name() -> None:
    team = load_bundle(TEAM)
    assert needs(team) == (
        Needs("jobs"),
        Needs("ledger", ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:ledger-AbCdEf",)),
        Needs("orders", (), (Login("cluster-ORDERS", "blastwall_admin"),)),
        Needs("reports", (), (Login("db-REPORTS", "reports_agent"),)),
        Needs("web"),
    )
    assert listener_keys(team) == {"ssh": ("host_key", "user_ca", "upstream_ca")}
    assert listener_keys(load_bundle(CONFIG)) == {}
    assert needs(load_bundle(CONFIG)) == (Needs("shop"),)
