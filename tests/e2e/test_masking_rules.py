"""The shipped masking rules in a running gateway: for whom they hold, how often one may guess, what the recording says."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest
import yaml
from click.testing import CliRunner

from blastwall.config.bundle import load_bundle
from blastwall.recording.reader import read_header
from cli import masking
from tests.e2e.conftest import Start
from tests.e2e.stacks import ROOT, Stack

LOOKUPS = 3
FIRST = "SELECT email, phone, ssn, birth_date FROM customers ORDER BY id LIMIT 1"


@pytest.fixture(scope="module")
def ruled(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    config: Path = tmp_path_factory.mktemp("ruled") / "config"
    shutil.copytree(ROOT / "config", config)
    document = yaml.safe_load((config / "masking.yaml").read_text())
    document["targets"]["shop"]["lookups"] = LOOKUPS
    (config / "masking.yaml").write_text(yaml.safe_dump(document))
    return start("ruled", config, "shop")


def test_a_group_sees_what_its_exemption_shows_and_no_more(ruled: Stack) -> None:
    with ruled.connect() as agent:
        masked = agent.execute(FIRST).fetchone()
    with ruled.connect(ruled.token(groups=("agents", "privacy"))) as exempt:
        shown = exempt.execute(FIRST).fetchone()
    assert masked is not None and shown is not None
    assert masked[:3] == ("***@example.test", "***0101", "***") and str(masked[3]) == "1960-01-01"
    assert shown == ("customer1@example.test", *masked[1:])


def test_looking_somebody_up_works_as_often_as_the_rules_say(ruled: Stack) -> None:
    token = ruled.token()
    for number in range(1, LOOKUPS + 1):  # connections share their session's count
        with ruled.connect(token, autocommit=True) as agent:
            address = f"customer{number}@example.test"
            found = agent.execute("SELECT id, email FROM customers WHERE email = %s", (address,))
            assert found.fetchall() == [(number, "***@example.test")]
    with ruled.connect(token, autocommit=True) as agent:
        with pytest.raises(psycopg.Error, match=f"compared masked columns {LOOKUPS} times"):
            agent.execute("SELECT id FROM customers WHERE email = 'customer9@example.test'")
        assert agent.execute("SELECT count(*) FROM customers").fetchone() == (200,)


def test_a_recording_names_the_rules_that_were_in_force(ruled: Stack) -> None:
    rules = load_bundle(ruled.config).targets["shop"].masking
    for agent, groups in (("masked-agent", ("agents",)), ("exempt-agent", ("agents", "privacy"))):
        with ruled.connect(ruled.token(agent, groups)) as connection:
            connection.execute("SELECT 1")
        (entry,) = ruled.recordings(agent)
        with entry.open() as file:
            header = read_header(file)
        assert header.raw["masking_version"] == rules.for_groups(frozenset(groups)).version
    assert rules.version != rules.for_groups(frozenset({"privacy"})).version


def test_a_running_target_can_be_scanned_by_its_name(ruled: Stack) -> None:
    options = ["scan", "shop", "--config", str(ruled.config), "--state", str(ruled.state)]
    result = CliRunner().invoke(masking.command, [*options, "--all"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rules = yaml.safe_load(result.stdout)["targets"]["shop"]["columns"]
    assert {rule["column"] for rule in rules} >= {"public.customers.email", "public.customers.ssn"}
    assert "example.test" not in result.output
    covered = CliRunner().invoke(masking.command, options, catch_exceptions=False)
    assert "public.customers" not in covered.stdout, "masking.yaml has rules for all of them"
