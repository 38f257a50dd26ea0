"""`blastwall masking scan`: from a database to a file that a person reviews."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from cli import masking
from rig.postgres import EmbeddedPostgres
from tests.blastwall.config.configuration import GATEWAY, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shop(postgres18: EmbeddedPostgres, database18: str) -> Iterator[str]:
    postgres18.load(ROOT / "demo" / "seed.sql", database=database18)
    yield f"{postgres18.dsn(database18)}?sslmode=disable"
    postgres18.psql("DROP OWNED BY shop_agent CASCADE; DROP ROLE shop_agent", database=database18)


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(masking.command, list(arguments), catch_exceptions=False, env=environment)


def proposed(text: str, target: str) -> dict[str, str]:
    return {rule["column"]: rule["strategy"] for rule in yaml.safe_load(text)["targets"][target]["columns"]}


def test_a_database_by_its_address(shop: str, tmp_path: Path) -> None:
    result = run("scan", "--dsn", shop, "--rows", "100")
    assert result.exit_code == 0, result.output
    found = proposed(result.stdout, "target")
    assert found == {
        "public.customers.email": "partial",
        "public.customers.phone": "partial",
        "public.customers.ssn": "redact",
        "public.customers.birth_date": "truncate",
    }
    assert "5 tables: 4 rules proposed" in result.stderr
    assert "customer1@example.test" not in result.output and "example.test" not in result.output
    file = tmp_path / "proposed.yaml"
    again = run("scan", "--dsn", shop, "--output", str(file))
    assert again.stdout == "" and proposed(file.read_text(), "target") == found and str(file) in again.stderr


def test_a_target_by_its_name_with_what_its_rules_decide_left_out(
    shop: str, tmp_path: Path, postgres18: EmbeddedPostgres, database18: str
) -> None:
    gateway = GATEWAY.replace("db.example", "127.0.0.1").replace("5432", str(postgres18.port))
    gateway = gateway.replace("user: agent", "user: postgres").replace("mode: require", "mode: disable")
    config = write(tmp_path, gateway.replace("databases: [shop]", f"databases: [{database18}]"))
    (config / "masking.yaml").write_text(
        "version: 1\ntargets:\n  shop:\n    columns: [{column: public.customers.email, strategy: show}]\n"
    )
    options = ("scan", "shop", "--config", str(config), "--state", str(tmp_path / "state"))
    result = run(*options, SHOP_PASSWORD=postgres18.password)
    assert result.exit_code == 0, result.output
    assert "public.customers.email" not in result.stdout and "public.customers.ssn" in proposed(result.stdout, "shop")
    assert "left out (--all shows them)" in result.stdout
    everything = run(*options, "--all", SHOP_PASSWORD=postgres18.password)
    assert "public.customers.email" in proposed(everything.stdout, "shop")


def test_a_local_target_is_looked_at_as_its_superuser(
    shop: str, tmp_path: Path, postgres18: EmbeddedPostgres, database18: str
) -> None:
    config, state = write(tmp_path), tmp_path / "state"
    (state / "targets" / "shop").mkdir(parents=True)
    (state / "targets" / "shop" / "superuser.password").write_text(postgres18.password)
    overrides = {"targets": {"shop": {"host": "127.0.0.1", "port": postgres18.port, "tls": {"mode": "disable"}}}}
    (state / "overrides.json").write_text(json.dumps(overrides))
    result = run("scan", "--config", str(config), "--state", str(state), "--database", database18)
    assert len(proposed(result.stdout, "shop")) == 4


def test_mistakes_are_told(tmp_path: Path) -> None:
    config = write(tmp_path)
    options = ("--config", str(config), "--state", str(tmp_path))
    assert "there is no target 'shp'; known are shop" in run("scan", "shp", *options).output
    assert run("scan", "--dsn", "mysql://x").exit_code == 2
    assert run("scan", "shop", *options, "--rows", "0").exit_code == 2
