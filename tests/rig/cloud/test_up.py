"""The rig as a whole is tried by tests/e2e/test_cloud.py; here: that one at a time uses a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.cloud.up import alone, name_suffix, secret_name
from rig.postgres import RigFault


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
