"""The rig as a whole is tried by tests/e2e/test_cloud.py; here: that one at a time uses a directory."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from rig import account
from rig.certificates import Certificates
from rig.cloud import up
from rig.cloud.up import alone, name_suffix, secret_name
from rig.postgres import RigFault

ROOT = Path(__file__).parents[3]


def test_one_at_a_time_and_nothing_is_left(tmp_path: Path) -> None:
    with alone(tmp_path / "state") as home:
        home.mkdir()
        (home / "left").touch()
        with pytest.raises(RigFault, match="another"), alone(tmp_path / "state"):
            pass
        assert (home / "left").exists()
    assert not home.exists()


def test_what_a_killed_one_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "cloud" / "tasks").mkdir(parents=True)
    with alone(tmp_path) as home:
        assert not home.exists()


def test_secrets_are_named_beforehand() -> None:
    name = secret_name("shop", "blastwall_admin")
    assert name == "blastwall/shop/blastwall_admin" and len(name_suffix(name)) == 6


def test_a_usual_port_that_somebody_has_is_not_insisted_on(
    rig_directory: Path, monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    state = rig_directory / "taken"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(up, "TARGET_PORTS", (port,))
        stack = up.CloudStack(ROOT / "config", state)
        stack.certificates = certificates
        section = load_bundle(ROOT / "config").config.targets["shop"]
        try:
            stack._target("shop", section)
            assert stack.targets["shop"].running() and stack.targets["shop"].server.port != port
        finally:
            stack.stop()
            account.remove_tree(state)
