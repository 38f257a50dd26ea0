from pathlib import Path

import pytest
import yaml

from blastwall import registry
from blastwall.config.bundle import load_bundle
from blastwall.errors import ConfigFault
from stacks.staging import rehearse, stage

CONFIG = Path(__file__).parents[2] / "config"
TEAM = Path(__file__).parent / "config"


def copied(tmp_path: Path, source: Path = TEAM) -> Path:
    folder = tmp_path / "config"
    for file in source.rglob("*"):
        if file.is_file():
            place = folder / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    return folder


def test_what_is_deployed_listens_with_tls_on_the_protocols_own_port(tmp_path: Path) -> None:
    staged, bundle = stage(CONFIG, {}, tmp_path)
    deployed = yaml.safe_load((staged / "config" / "gateway.yaml").read_text())
    assert deployed["listen"] == {"postgres": "0.0.0.0:5432"}
    assert deployed["insecure_local"] is False
    assert deployed["tls"]["key"].startswith("/run/blastwall/")
    assert all(target["local"] is None for target in deployed["targets"].values())
    assert bundle.version == load_bundle(staged / "config").version


def test_the_stage_is_named_by_its_content_and_made_once(tmp_path: Path) -> None:
    folder, cache = copied(tmp_path), tmp_path / "cache"
    first, _ = stage(folder, {}, cache)
    before = (first / "config" / "gateway.yaml").stat().st_mtime_ns
    again, _ = stage(folder, {}, cache)
    assert again == first and (again / "config" / "gateway.yaml").stat().st_mtime_ns == before
    changed, bundle = stage(folder, {"targets": {"ledger": {"port": 7777}}}, cache)
    assert changed != first and bundle.targets["ledger"].port == 7777


def test_keys_and_other_files_beside_it_are_not_deployed(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    for name in ("server.key", "server.crt", "notes.txt", "policies/old.cedar.bak"):
        (folder / name).write_text("secret")
    staged, _ = stage(folder, {}, tmp_path / "cache")
    names = {str(file.relative_to(staged / "config")) for file in staged.rglob("*") if file.is_file()}
    public = {f"keys/ssh/{name}.pub" for name in ("host_key", "user_ca", "upstream_ca")}
    assert names == {"gateway.yaml", "policies/10.cedar", "ssh/host_key-cert.pub"} | public


def test_a_listeners_keys_stay_behind_and_their_public_halves_go(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "ssh" / "user_ca").write_text("a private key")
    staged, bundle = stage(folder, {}, tmp_path / "cache")
    deployed = yaml.safe_load((staged / "config" / "gateway.yaml").read_text())
    assert deployed["listen"] == {"postgres": "0.0.0.0:5432", "ssh": "0.0.0.0:20022"}
    assert deployed["protocols"]["ssh"]["user_ca"] == "keys/ssh/user_ca"
    assert not any(b"a private key" in file.read_bytes() for file in staged.rglob("*") if file.is_file())
    made = registry.trust("ssh")
    assert made is not None and "gateway.example.com" in made(bundle.listeners["ssh"], "nlb", 22)["known_hosts"]
    (folder / "ssh" / "user_ca.pub").unlink()
    with pytest.raises(ConfigFault, match=r"user_ca\.pub is missing; make it with `ssh-keygen -y"):
        stage(folder, {}, tmp_path / "cache")


def test_the_masking_keys_place_is_not_deployed(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    rules = "targets:\n  ledger:\n    columns: [{column: a.b.c, strategy: hash}]\n"
    (folder / "masking.yaml").write_text("version: 1\nkey: {env: OF_ONE_MACHINE}\n" + rules)
    staged, bundle = stage(folder, {}, tmp_path / "cache")
    assert yaml.safe_load((staged / "config" / "masking.yaml").read_text()) == yaml.safe_load("version: 1\n" + rules)
    assert bundle.masking.key is None and bundle.targets["ledger"].masking is not None


def test_files_that_a_target_names_are_deployed_from_inside_only(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "authority.pem").write_text("certificates")
    inside = {"targets": {"ledger": {"tls": {"ca_file": "authority.pem"}}}}
    staged, bundle = stage(folder, inside, tmp_path / "cache")
    assert (staged / "config" / "authority.pem").read_text() == "certificates"
    assert bundle.targets["ledger"].options.tls.ca_file == staged / "config" / "authority.pem"
    (tmp_path / "authority.pem").write_text("certificates")
    outside = {"targets": {"ledger": {"tls": {"ca_file": "../authority.pem"}}}}
    with pytest.raises(ConfigFault, match="outside the configuration directory"):
        stage(folder, outside, tmp_path / "cache")


def test_a_configuration_with_problems_names_the_operators_own_line(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    text = (folder / "gateway.yaml").read_text()
    (folder / "gateway.yaml").write_text(text.replace("port: 6432", "port: 66432"))
    with pytest.raises(ConfigFault, match=r"config/gateway\.yaml:\d+: .*port"):
        stage(folder, {}, tmp_path / "cache")


def test_a_policy_whose_case_fails_cannot_be_deployed(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "policies" / "cases.yaml").write_text(
        "version: 1\npeople:\n"
        "  agent: {agent: a, groups: [agents]}\n"
        "cases:\n"
        "  - {name: agents-connect, as: agent, target: orders, connect: true, expect: permit}\n"
        "  - {name: agents-stay-out, as: agent, target: ledger, connect: true, expect: denial}\n"
    )
    staged, bundle = stage(folder, {}, tmp_path / "cache")
    with pytest.raises(ConfigFault) as caught:
        rehearse(staged, bundle)
    (problem,) = caught.value.problems
    assert "agents-stay-out" in problem.file and "expected denial, got permit" in problem.message
    assert problem.line == 6


def test_the_committed_configuration_passes_its_cases(tmp_path: Path) -> None:
    rehearse(*stage(CONFIG, {}, tmp_path))
