"""The emulator's own environment: every package pinned, made once."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import pytest

from rig.cloud import environment


def test_every_package_is_pinned_and_none_is_shipped() -> None:
    lines = environment.REQUIREMENTS.read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9-]+==[0-9][0-9a-z.]*", pin) for pin in pins), pins
    root = environment.REQUIREMENTS.parents[2]
    for shipped in ("fargate_proxy", "lambdas"):
        assert "ministack" not in (root / shipped / "requirements.txt").read_text("utf-8")


def test_one_that_is_there_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []
    monkeypatch.setattr(environment, "_run", made.append)
    folder = tmp_path / "emulator"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    wanted = environment.REQUIREMENTS.read_bytes() + sys.version.encode() + bytes(folder.resolve())
    (folder / environment.STAMP).write_text(hashlib.sha256(wanted).hexdigest())
    assert environment.ensure_environment(folder) == folder / "bin" / "python"
    assert made == []
    (folder / environment.STAMP).write_text("of something else")
    with pytest.raises(FileNotFoundError):  # it was removed, and nobody has made it
        environment.ensure_environment(folder)
    assert len(made) == 2
