"""Local SSH targets and the gateway's own keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncssh
import pytest

from blastwall.config.model import TargetSection
from blastwall.protocols.ssh.keys import load
from blastwall.protocols.ssh.options import Gateway, Options
from rig.hosts import LocalHost, SshKeys
from rig.postgres import RigFault


def section(**changes: Any) -> TargetSection:
    given = {
        "protocol": "ssh",
        "host": "web.example.test",
        "port": 22,
        "credential": [{"kind": "certificate", "user": "deploy"}],
        "local": {"engine": "openssh", "seed": "home"},
    }
    return TargetSection.model_validate(given | changes)


def test_keys_are_made_once_and_stay(tmp_path: Path) -> None:
    first = SshKeys.ensure(tmp_path / "ssh").public("host_ca")
    keys = SshKeys.ensure(tmp_path / "ssh")
    assert keys.public("host_ca") == first
    assert (tmp_path / "ssh" / "user_ca").stat().st_mode & 0o777 == 0o600
    load(Gateway.model_validate(keys.overrides()))
    certificate = asyncssh.read_certificate(str(keys.certificate))
    assert "127.0.0.1" in certificate.principals
    assert certificate.signing_key.public_data == asyncssh.import_public_key(first).public_data


def test_a_host_is_filled_once_and_pinned(rig_directory: Path) -> None:
    place = rig_directory / "local-host"
    (place / "home" / "sub").mkdir(parents=True)
    (place / "home" / "sub" / "a.txt").write_text("a")
    host = LocalHost("web", section(), config=place, directory=place / "web", keys=SshKeys.ensure(place / "ssh"))
    said = host.start()
    try:
        assert "OpenSSH on port" in said
        seeded = host.server.home / "sub" / "a.txt"
        assert seeded.read_text() == "a"
        seeded.write_text("changed")
        overrides = host.overrides()
        Options.model_validate(overrides["options"])
        assert overrides["port"] == host.server.port
    finally:
        host.server.stop()
    host.start()
    try:
        assert seeded.read_text() == "changed"
        assert host.overrides()["options"] == overrides["options"]
    finally:
        host.server.stop()


def test_a_section_that_cannot_be_served(tmp_path: Path) -> None:
    keys = SshKeys.ensure(tmp_path / "ssh")
    with pytest.raises(RigFault, match="the one user deploy"):
        LocalHost(
            "web",
            section(credential=[{"kind": "certificate", "user": "root"}]),
            config=tmp_path,
            directory=tmp_path / "web",
            keys=keys,
        )
