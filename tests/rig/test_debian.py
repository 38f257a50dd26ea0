"""Packages are unpacked once, by whoever comes first, and a machine without them is told what to do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rig import debian
from rig.postgres import RigFault


def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Replace apt-get and dpkg by programs that make a file; returns what was downloaded."""
    programs = tmp_path / "bin"
    programs.mkdir()
    log = tmp_path / "log"
    log.write_text("")
    for name, script in {
        "apt-get": f'echo "$3" >> {log}; [ "$3" = missing ] && exit 100; touch "$3.deb"',
        "apt-cache": "echo Package: x",
        "dpkg": 'mkdir -p usr && touch "usr/$(basename "$2" .deb)"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return [str(log)]


def test_what_was_fetched_is_fetched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (log,) = packages(monkeypatch, tmp_path)
    threads = [
        threading.Thread(target=debian.unpacked, args=(("server", "library"), tmp_path / "cache")) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    place = debian.unpacked(("server", "library"), tmp_path / "cache")
    assert sorted(file.name for file in (place / "usr").iterdir()) == ["library", "server"]
    assert Path(log).read_text().split() == ["server", "library"]


def test_what_is_not_to_be_had_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packages(monkeypatch, tmp_path)
    with pytest.raises(RigFault, match="Install missing"):
        debian.unpacked(("missing",), tmp_path / "cache")
    assert not (tmp_path / "cache" / "missing").exists()


def test_a_machine_without_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RigFault, match="install it"):
        debian.unpacked(("server",), tmp_path / "cache")
