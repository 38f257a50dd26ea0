"""Keys that a task was started with reach the configuration, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from blastwall import registry
from blastwall.config.bundle import Bundle, load_bundle
from blastwall.errors import ConfigFault
from blastwall.protocols.ssh.keys import load
from blastwall.settings import ProxySettings
from fargate_proxy.kept import Kept

KEYS = registry.protocol("ssh").manifest.keys
TASK = replace(ProxySettings(), adapters="aws")
GATEWAY = """\
version: 1
listen: {ssh: "127.0.0.1:2222"}
identity: {issuers: [{issuer: "https://issuer.example.com", audience: blastwall}]}
protocols: {ssh: {host_key: absent/host_key, user_ca: absent/user_ca%s}}
targets:
  web:
    protocol: ssh
    host: 10.0.0.1
    port: 22
    credential: {kind: certificate, user: deploy}
"""
HASHED = "version: 1\ntargets:\n  web:\n    columns: [{column: a.b.c, strategy: hash}]\n"


def bundle(directory: Path, more: str = "") -> Bundle:
    (directory / "policies").mkdir(exist_ok=True)
    (directory / "policies" / "10.cedar").write_text('@id("none")\nforbid (principal, action, resource);\n')
    (directory / "gateway.yaml").write_text(GATEWAY % more)
    return load_bundle(directory)


def private() -> str:
    return str(asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh").decode())


def test_a_listeners_keys_come_from_the_environment_and_leave_it(tmp_path: Path) -> None:
    keys = {variable: private() for variable in KEYS.values()}
    environ = {**keys, "BLASTWALL_MASKING_KEY": "k" * 64, "OTHER": "stays"}
    kept = Kept(TASK, environ)
    assert environ == {"OTHER": "stays"}
    options = kept.adopt(bundle(tmp_path, ", upstream_ca: absent/upstream_ca")).listeners["ssh"]
    for _ in range(2):  # a reload reads them again
        found = load(options)  # type: ignore[arg-type]  # SSH's own
        assert found.user_ca == asyncssh.import_private_key(keys["BLASTWALL_SSH_USER_CA"])
        assert found.upstream_ca == asyncssh.import_private_key(keys["BLASTWALL_SSH_UPSTREAM_CA"])
        assert found.host == asyncssh.import_private_key(keys["BLASTWALL_SSH_HOST_KEY"])
    program = f"import sys; sys.exit(open({str(options.host_key)!r}).read(1) != '')"  # type: ignore[attr-defined]  # SSH's own
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode, "a child has none of it"


def test_a_key_that_a_listener_needs_and_the_task_lacks_is_named(tmp_path: Path) -> None:
    kept = Kept(TASK, {"BLASTWALL_SSH_HOST_KEY": private()})
    with pytest.raises(ConfigFault) as caught:
        kept.adopt(bundle(tmp_path, ", upstream_ca: absent/upstream_ca"))
    said = str(caught.value)
    assert "BLASTWALL_SSH_USER_CA" in said and "BLASTWALL_SSH_UPSTREAM_CA" in said and "HOST_KEY" not in said
    kept = Kept(TASK, {"BLASTWALL_SSH_HOST_KEY": private(), "BLASTWALL_SSH_USER_CA": private()})
    assert kept.adopt(bundle(tmp_path)).listeners["ssh"].upstream_ca is None  # type: ignore[attr-defined]  # SSH's own


def test_on_one_machine_keys_are_files(tmp_path: Path) -> None:
    environ = {"BLASTWALL_SSH_HOST_KEY": "left alone"}
    kept = Kept(replace(ProxySettings(), state=str(tmp_path / "state")), environ)
    found = bundle(tmp_path)
    assert kept.adopt(found).listeners == found.listeners
    assert environ == {"BLASTWALL_SSH_HOST_KEY": "left alone"}
    (tmp_path / "masking.yaml").write_text(HASHED)
    masked = kept.adopt(load_bundle(tmp_path))
    assert masked.targets["web"].masking is not None and (tmp_path / "state" / "keys" / "masking.key").is_file()


def test_a_task_that_must_hash_has_the_deployments_key(tmp_path: Path) -> None:
    found = bundle(tmp_path)
    (tmp_path / "masking.yaml").write_text(HASHED)
    keys = {variable: private() for variable in KEYS.values()}
    masked = Kept(TASK, {**keys, "BLASTWALL_MASKING_KEY": "k" * 64}).adopt(load_bundle(tmp_path))
    assert masked.targets["web"].masking.key is not None
    assert Kept(TASK, dict(keys)).adopt(found).targets["web"].masking is None
    with pytest.raises(ConfigFault, match="the secret MaskingKey"):
        Kept(TASK, dict(keys)).adopt(load_bundle(tmp_path))
