"""What an operator sees of masking before it is in force: rules held against a database, statements judged with masks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rig.postgres import EmbeddedPostgres
from tests.cli.test_policy import CORPUS, ROOT, judge, run

CATALOGUE = str(ROOT / "tests" / "fixtures" / "corpus" / "catalogue.json")
WRONG = """version: 1
targets:
  shop:
    columns:
      - {column: public.customers.emial, strategy: redact}
      - {column: public.customers.id, strategy: partial}
      - {column: public.customers.email, strategy: redact}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "masking.yaml").write_text(WRONG)
    return tmp_path / "config"


def test_without_a_catalogue_only_the_file_itself_is_checked(shop: Path) -> None:
    assert run("check", "--config", str(shop)).exit_code == 0


def test_rules_are_held_against_a_snapshot(shop: Path) -> None:
    result = run("check", "--config", str(shop), "--catalog", CATALOGUE)
    assert result.exit_code == 1
    missing, misfit = result.stdout.splitlines()
    assert missing.endswith(
        "masking.yaml:5: shop has no column public.customers.emial; did you mean public.customers.email?"
    )
    assert "masking.yaml:6: public.customers.id: partial does not fit the type pg_catalog.int4" in misfit


def test_rules_are_held_against_the_snapshot_that_the_target_names(tmp_path: Path) -> None:
    directory = tmp_path / "corpus"
    shutil.copytree(CORPUS, directory)
    assert run("check", "--config", str(directory)).exit_code == 0
    (directory / "masking.yaml").write_text(WRONG.replace("shop:", "corpus:"))
    result = run("check", "--config", str(directory))
    assert result.exit_code == 1 and "masking.yaml:5:" in result.stdout


def test_rules_are_held_against_a_live_database(shop: Path, postgres18: EmbeddedPostgres, database18: str) -> None:
    postgres18.psql("CREATE TABLE customers (id int, emial text, email text)", database=database18)
    dsn = f"{postgres18.dsn(database18)}?sslmode=disable"
    result = run("check", "--config", str(shop), "--dsn", dsn)
    assert result.exit_code == 1
    assert [line.split("masking.yaml:")[1][:2] for line in result.stdout.splitlines()] == ["6:"]
    result = run("check", "--config", str(ROOT / "config"), "--dsn", dsn)
    assert "public.customers.ssn" in result.stdout, "what ships fits the demo's shop, not this one"


def test_what_ships_fits_the_demos_shop(postgres18: EmbeddedPostgres, database18: str) -> None:
    postgres18.psql("DROP TABLE IF EXISTS customers", database=database18)
    postgres18.load(ROOT / "demo" / "seed.sql", database=database18)
    dsn = f"{postgres18.dsn(database18)}?sslmode=disable"
    result = run("check", "--config", str(ROOT / "config"), "--dsn", dsn)
    assert (result.exit_code, "no problems" in result.stdout) == (0, True), result.output
    postgres18.psql("DROP OWNED BY shop_agent CASCADE; DROP ROLE shop_agent", database=database18)


def test_mistakes_of_the_command_line(shop: Path) -> None:
    two = run("check", "--config", str(shop), "--catalog", CATALOGUE, "--dsn", "x")
    assert two.exit_code == 2 and "not both" in two.output
    (shop / "masking.yaml").unlink()
    none = run("check", "--config", str(shop), "--catalog", CATALOGUE)
    assert none.exit_code == 2 and "no rules for shop" in none.output


def test_judge_shows_which_columns_would_be_masked_and_why() -> None:
    shown, refused, plain = judge(
        {"statement": "SELECT id, ssn AS number, email FROM customers"},
        {"statement": "SELECT id FROM customers WHERE ssn = '1'"},
        {"statement": "SELECT id FROM orders"},
    )
    assert shown["decision"] == "permit"
    assert shown["masked"] == [
        {"output": "number", "column": "public.customers.ssn", "strategy": "redact", "origin": "masking.yaml:7"},
        {"output": "email", "column": "public.customers.email", "strategy": "redact", "origin": "masking.yaml:9"},
    ]
    assert shown["masked_columns"] == ["public.customers.email", "public.customers.ssn"]
    assert (shown["filters_masked"], shown["refusal"]) == (False, "")
    assert (refused["decision"], refused["code"], refused["masked"]) == ("denial", "policy", [])
    assert "masked column public.customers.ssn" in str(refused["refusal"]) and refused["reason"] == refused["refusal"]
    assert (plain["masked"], plain["masked_columns"], plain["refusal"]) == ([], [], "")


def test_who_is_exempt_is_judged_so(tmp_path: Path) -> None:
    directory = tmp_path / "corpus"
    shutil.copytree(CORPUS, directory)
    file = directory / "masking.yaml"
    file.write_text(file.read_text().replace("strategy: redact\n", "strategy: redact\n        exempt: [privacy]\n", 1))
    statement = {"statement": "SELECT ssn, email FROM customers"}
    options = ("--config", str(directory), "--hour", "12", "--group", "agents")
    (agent,) = judge(statement, options=options)
    (exempt,) = judge(statement, options=(*options, "--group", "privacy"))
    assert [each["column"] for each in agent["masked"]] == ["public.customers.ssn", "public.customers.email"]  # type: ignore[attr-defined]  # a list
    assert [each["column"] for each in exempt["masked"]] == ["public.customers.email"]  # type: ignore[attr-defined]


def test_a_view_shows_masks_and_what_a_rule_shows_of_it_by_name(tmp_path: Path) -> None:
    directory = tmp_path / "corpus"
    shutil.copytree(CORPUS, directory)
    statement = {"statement": "SELECT x FROM v_customers"}
    options = ("--config", str(directory), "--hour", "12", "--group", "agents")
    (through,) = judge(statement, options=options)
    assert [(each["output"], each["column"]) for each in through["masked"]] == [("x", "public.v_customers.x")]  # type: ignore[attr-defined]  # a list
    file = directory / "masking.yaml"
    for column, masked in (('"*.*.x"', 1), ("public.v_customers.x", 0)):
        text = (ROOT / "tests/fixtures/corpus/masking.yaml").read_text()
        rule = f"    columns:\n      - {{column: {column}, strategy: show}}\n"
        file.write_text(text.replace("    columns:\n", rule))
        (shown,) = judge(statement, options=options)
        assert len(shown["masked"]) == masked, column  # type: ignore[arg-type]  # a list
