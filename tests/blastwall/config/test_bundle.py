"""One directory, one bundle, one version; whatever is wrong anywhere is told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blastwall.approvals import Ballot
from blastwall.config.bundle import load_bundle
from blastwall.errors import ConfigFault
from blastwall.model import ApprovalRequest, Effect, Facts, Principal, Risk, Statement
from tests.blastwall.config.configuration import GATEWAY, POLICY, write

ROOT = Path(__file__).parents[3]


def problems(directory: Path, **options: object) -> list[str]:
    with pytest.raises(ConfigFault) as caught:
        load_bundle(directory, **options)  # type: ignore[arg-type]  # passed through
    return [str(problem).replace(f"{directory}/", "") for problem in caught.value.problems]


def test_a_bundle_has_what_a_gateway_needs(tmp_path: Path) -> None:
    bundle = load_bundle(write(tmp_path))
    shop = bundle.targets["shop"]
    assert (shop.name, shop.protocol, shop.host, shop.port) == ("shop", "postgres", "db.example", 5432)
    assert (shop.labels, shop.budgets) == ({"environment": "demo"}, {"rows": 10})
    assert shop.options.databases == ("shop",)
    assert shop.options.tls.mode == "require"
    assert bundle.config.targets["shop"].credential[0].password_env == "SHOP_PASSWORD"
    assert set(bundle.policies.rules) == {"read"}
    with pytest.raises(TypeError):
        bundle.targets["shop"].labels["environment"] = "x"  # type: ignore[index]


def test_the_version_follows_everything_that_can_change_a_decision(tmp_path: Path) -> None:
    version = load_bundle(write(tmp_path)).version
    assert load_bundle(tmp_path).version == version
    versions = {
        load_bundle(write(tmp_path, gateway=GATEWAY.replace("rows: 10", "rows: 11"))).version,
        load_bundle(write(tmp_path, policy=POLICY + "// more\n")).version,
        load_bundle(write(tmp_path, risk_toml="[effects]\nread = 1\n")).version,
        load_bundle(tmp_path, {"targets": {"shop": {"port": 1}}}).version,
    }
    assert len(versions) == 4
    assert version not in versions


def test_the_version_does_not_depend_on_where_the_directory_lies(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load_bundle(write(tmp_path / "a")).version == load_bundle(write(tmp_path / "b")).version


def test_comments_in_gateway_yaml_change_nothing(tmp_path: Path) -> None:
    version = load_bundle(write(tmp_path)).version
    assert load_bundle(write(tmp_path, gateway="# hello\n" + GATEWAY)).version == version


def test_all_files_problems_come_at_once_with_their_places(tmp_path: Path) -> None:
    directory = write(
        tmp_path,
        gateway=GATEWAY.replace("version: 1", "version: 3").replace("databases: [shop]", "databse: [shop]"),
        policy=POLICY + "\npermit (principal, action, resource);\n",
        risk_toml="[effects]\nraed = 1\n",
    )
    found = problems(directory)
    assert [text.split(": ")[0] for text in found] == [
        "gateway.yaml:1",
        "gateway.yaml:23",
        "policies/rules.cedar:3",
        "risk.toml:2",
    ]


def test_overrides_are_merged_and_named_when_they_are_wrong(tmp_path: Path) -> None:
    directory = write(tmp_path)
    overrides = {
        "listen": {"postgres": "127.0.0.1:0"},
        "identity": {"issuers": [{"issuer": "http://127.0.0.1:99", "audience": "x"}]},
        "targets": {"shop": {"port": 6543, "credential": {"kind": "static", "user": "agent", "password_file": "p"}}},
    }
    with pytest.raises(ConfigFault) as caught:
        load_bundle(directory, overrides, origin="state/overrides.json")
    (problem,) = caught.value.problems
    assert problem.message.endswith("give password_env or password_file, not both (merged with state/overrides.json)")
    assert (problem.file, problem.line) == (str(directory / "gateway.yaml"), 16)
    with pytest.raises(ConfigFault) as caught:
        load_bundle(directory, {"targets": {"shop": {"port": "x"}}}, origin="state/overrides.json")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("state/overrides.json", 0)
    overrides["targets"]["shop"]["credential"] = [{"kind": "static", "user": "agent", "password_file": "p"}]  # type: ignore[index]
    bundle = load_bundle(directory, overrides)
    assert bundle.targets["shop"].port == 6543
    assert bundle.targets["shop"].host == "db.example"
    assert bundle.config.listen["postgres"].port == 0
    assert bundle.config.identity.issuers[0].issuer == "http://127.0.0.1:99"
    assert bundle.config.targets["shop"].credential[0].password_file == directory / "p"


def test_a_rule_about_a_target_that_is_not_there(tmp_path: Path) -> None:
    policy = POLICY + '@id("x") forbid (principal, action, resource == Target::"shpo");\n'
    (problem,) = problems(write(tmp_path, policy=policy))
    assert problem == "policies/rules.cedar:2: x: there is no target 'shpo'; known are shop"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda directory: (directory / "gateway.yaml").unlink(), "gateway.yaml: cannot be read: No such file"),
        (lambda directory: (directory / "policies/rules.cedar").unlink(), "policies: no .cedar file here"),
        (lambda directory: (directory / "gateway.yaml").write_bytes(b"version: 1\n\xff"), "gateway.yaml:2: not UTF-8"),
        (lambda directory: (directory / "policies/rules.cedar").write_text("// none\n"), "policies: no policy found"),
        (
            lambda directory: (directory / "policies/rules.cedar").write_bytes(b"\xff"),
            "policies/rules.cedar:1: not UTF-8",
        ),
        (lambda directory: (directory / "gateway.yaml").write_bytes(b"#" * (5 << 20)), "gateway.yaml: larger than"),
    ],
)
def test_files_that_are_not_there_or_not_text(tmp_path: Path, spoil: object, expected: str) -> None:
    directory = write(tmp_path)
    spoil(directory)  # type: ignore[operator]  # one of the functions above
    assert any(expected in problem for problem in problems(directory))


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert any("is this the configuration directory?" in problem for problem in problems(tmp_path / "nowhere"))


def test_nobody_approves_for_a_target_that_is_gone(tmp_path: Path) -> None:
    policy = POLICY + '@id("a") permit (principal, action == Action::"approve", resource);\n'
    bundle = load_bundle(write(tmp_path, policy=policy))
    agent, owner = Principal("i", "s", "agent"), Principal("i", "o", "person")
    fields = ("id", "b", "s", agent, "shop", Statement("x"), Facts(Effect.WRITE, "x"), Risk(0), (), "v", 0.0, 1.0)
    assert bundle.may_decide(owner, ApprovalRequest(*fields), Ballot(True, ""), 0.0) is None
    denial = bundle.may_decide(owner, ApprovalRequest(*fields[:4], "gone", *fields[5:]), Ballot(True, ""), 0.0)
    assert denial is not None
    assert "no longer configured" in denial.reason


@pytest.mark.parametrize("directory", ["config", "tests/fixtures/corpus"])
def test_the_configurations_of_this_repository_are_sound(directory: str) -> None:
    bundle = load_bundle(ROOT / directory)
    assert json.dumps(sorted(bundle.policies.rules))
    assert len(bundle.targets) == 1


def test_masking_is_looked_at_although_gateway_yaml_is_wrong(tmp_path: Path) -> None:
    masking = "version: 1\ntargets:\n  shpo:\n    columns:\n      - column: public.c.ssn\n        strategy: readact\n"
    found = problems(write(tmp_path, gateway=GATEWAY.replace("version: 1", "version: 2"), masking_yaml=masking))
    assert len(found) == 2  # who is called shpo, nobody can know yet
    assert found[0].startswith("gateway.yaml:") and found[1].startswith("masking.yaml:6: ")
