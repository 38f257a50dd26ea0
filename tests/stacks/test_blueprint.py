import json
from pathlib import Path
from typing import Any

import pytest

from blastwall.errors import ConfigFault
from stacks.blueprint import KEYS, Blueprint, draw

ROOT = Path(__file__).parents[2]
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:approvals-AbCdEf"
VPC = {"id": "vpc-1", "cidr": "10.1.0.0/16", "azs": ["a", "b"], "private_subnets": ["s1", "s2"]}


def drawn(tmp_path: Path, **context: Any) -> Blueprint:
    team = {"config": "tests/stacks/config", "rds_ca_sha256": "0" * 64, "approval_secret": SECRET}
    return draw({**team, **context}, ROOT, tmp_path)


ONE, OTHER = "arn:aws:iam::123456789012:root", "arn:aws:iam::210987654321:role/agents/of-ours"


def test_the_defaults_are_two_tasks_behind_one_nat_and_a_year_of_lock(tmp_path: Path) -> None:
    made = drawn(tmp_path)
    assert (made.name, made.topology.name, made.lock_mode, made.lock_days) == ("Blastwall", "nat", "governance", 365)
    assert (made.vpc, made.clients, made.proxy_image, made.endpoint_principals) == (None, (), "", ())


def test_one_listener_for_each_protocol_however_many_targets(tmp_path: Path) -> None:
    made = drawn(tmp_path)
    assert [manifest.name for manifest in made.served] == ["postgres", "ssh"]
    assert len(made.bundle.targets) == 5


def test_lists_are_split_and_the_network_may_be_text_or_an_object(tmp_path: Path) -> None:
    for vpc in (VPC, json.dumps(VPC)):
        made = drawn(tmp_path, vpc=vpc, clients="10.0.0.0/8, 192.168.0.0/16", endpoint_principals=f"{ONE}, {OTHER}")
        assert made.vpc is not None and made.vpc.private_subnets == ("s1", "s2")
        assert made.clients == ("10.0.0.0/8", "192.168.0.0/16")
        assert made.endpoint_principals == (ONE, OTHER)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"topology": "huge"}, "choose one of dev, nat, isolated, not 'huge'"),
        ({"lock_mode": "none"}, "governance or compliance"),
        ({"name": "my_gateway"}, "letters, digits and hyphens, at most 40"),
        ({"name": "x" * 41}, "letters, digits and hyphens, at most 40"),
        ({"topologi": "dev"}, "did you mean topology?"),
        ({"zzz": "1"}, "known are name, config"),
        ({"endpoint_principals": "somebody"}, "'somebody' is no principal such as arn:"),
        ({"alarm_email": "oncall"}, "an address such as oncall@example.com, not 'oncall'"),
        ({"approval_secret": "approvals"}, "the ARN of a secret"),
        ({"proxy_image": "two words"}, "an image's address"),
        ({"overrides": "nowhere.json"}, "nowhere.json does not read: No such file"),
        ({"overrides": "README.md"}, "README.md is not JSON"),
        ({"lock_days": "0"}, "whole days from 1"),
        ({"lock_days": "a year"}, "whole days from 1"),
        ({"clients": "10.0.0.1/8"}, "'10.0.0.1/8' is no CIDR range"),
        ({"clients": "10.0.0.0"}, "'10.0.0.0' is no CIDR range"),
        ({"clients": "fd00::/8"}, "'fd00::/8' is no CIDR range of IPv4"),
        ({"vpc": "vpc-1"}, "write a JSON object such as"),
        ({"vpc": {**VPC, "azs": ["a"]}}, "one private subnet in each of at least two azs"),
        ({"vpc": {**VPC, "cidr": "10"}}, "give its cidr"),
    ],
)
def test_a_wrong_choice_is_named_with_what_to_write(tmp_path: Path, context: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        drawn(tmp_path, **context)
    (problem,) = caught.value.problems
    assert message in problem.message and next(iter(context)) in problem.file


def test_overrides_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "overrides.json"
    file.write_text('{"targets": {"ledger": {"host": "127.0.0.1"}}}')
    assert drawn(tmp_path, overrides=str(file)).bundle.targets["ledger"].host == "127.0.0.1"


def test_every_choice_is_explained(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    assert [key for key in KEYS if f"| `{key}` |" not in text] == []


def test_who_signs_for_rds_must_be_said_where_a_target_is_on_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"rds_ca_sha256.*orders, reports: RDS signs with authorities of its own"):
        drawn(tmp_path, rds_ca_sha256="")
    with pytest.raises(ConfigFault, match=r"rds_ca_sha256.*64 hexadecimal digits"):
        drawn(tmp_path, rds_ca_sha256="latest")
    assert draw({"config": "config"}, ROOT, tmp_path).rds_ca_sha256 == ""
    (tmp_path / "own.json").write_text(
        json.dumps({"targets": {name: {"tls": {"mode": "require"}} for name in ("orders", "reports")}})
    )
    assert drawn(tmp_path, rds_ca_sha256="", overrides=str(tmp_path / "own.json")).rds_ca_sha256 == ""


def test_values_that_functions_cannot_have_are_asked_for_before_anything_is_deployed(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigFault, match="names HOOK_KEY, SIGN_IN_SECRET, SLACK_SIGNING_SECRET, SLACK_TOKEN: put them"
    ):
        drawn(tmp_path, approval_secret="")
    assert drawn(tmp_path).approval_secret == SECRET
    assert drawn(tmp_path, approval_secret="", config="config").approval_secret == ""
