"""Which files another account can reach, and what is done for those it cannot."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig import account
from rig.account import Account

STRANGER = Account(os.geteuid() + 40000, os.getegid() + 40000)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_every_parent_counts(open_directory: Path) -> None:
    inner = open_directory / "a" / "b"
    inner.mkdir(parents=True)
    file = inner / "file"
    file.write_text("")
    file.chmod(0o644)
    assert account.may_pass(file, STRANGER)
    (open_directory / "a").chmod(0o710)
    assert not account.may_pass(file, STRANGER)
    assert account.may_pass(file, Account(STRANGER.uid, os.getegid()))
    assert account.may_pass(file, Account(os.geteuid(), STRANGER.gid))


def test_the_class_that_applies_decides_even_when_others_may_more(open_directory: Path) -> None:
    file = open_directory / "file"
    file.write_text("")
    file.chmod(0o044)
    assert account.may_pass(file, STRANGER)
    assert not account.may_pass(file, Account(os.geteuid(), STRANGER.gid))


def test_what_is_missing_is_not_reachable(open_directory: Path) -> None:
    assert not account.may_pass(open_directory / "nothing", STRANGER)


def test_an_ordinary_user_works_in_place(open_directory: Path) -> None:
    place = account.reachable_directory(open_directory, None)
    assert place == open_directory / "server"
    assert place.stat().st_mode & 0o777 == 0o700
    assert account.reachable_copy(open_directory, None) == open_directory


def test_a_copy_of_what_cannot_be_reached_runs_from_elsewhere_until_its_original_is_gone(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = open_directory / "wheel" / "pginstall"
    (original / "bin").mkdir(parents=True)
    (original / "share").mkdir()
    (original / "bin" / "postgres").write_text("#!/bin/sh\necho copied\n")
    (original / "bin" / "postgres").chmod(0o700)
    (open_directory / "wheel.libs").mkdir()
    (open_directory / "wheel.libs" / "lib.so").write_text("")
    owner = account.unprivileged() or Account(os.geteuid(), os.getegid())
    monkeypatch.setattr(account, "may_pass", lambda path, _: open_directory not in path.resolve().parents)
    copy = account.reachable_copy(original, owner)
    assert copy != original
    assert account.reachable_copy(original, owner) == copy
    assert account.run([str(copy / "bin" / "postgres")], account.unprivileged(), Path("/"), 10).stdout == "copied\n"
    assert (copy.parent.parent / "wheel.libs" / "lib.so").exists()
    monkeypatch.setattr(account, "SWEEP_SECONDS", -1.0)
    public = copy.parent.parent.parent
    account._sweep(public)
    assert copy.exists()
    shutil.rmtree(original)
    account._sweep(public)
    assert not copy.exists()


def test_a_private_file_replaces_an_open_one(open_directory: Path) -> None:
    path = open_directory / "secret"
    path.write_text("old")
    path.chmod(0o644)
    account.write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_command_runs_with_a_bare_environment(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "leak")
    done = account.run(["env"], account.unprivileged(), open_directory, 10)
    assert "leak" not in done.stdout
    assert done.returncode == 0


def test_what_a_closed_directory_keeps_elsewhere_goes_with_it_or_is_swept_later(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = account.unprivileged() or Account(os.geteuid(), os.getegid())
    monkeypatch.setattr(account, "may_pass", lambda path, _: open_directory not in path.resolve().parents)
    states = [open_directory / name for name in ("kept", "removed", "forgotten")]
    places = []
    for state in states:
        state.mkdir()
        places.append(account.reachable_directory(state, owner))
        assert (state / "server").resolve() == places[-1]
        assert account.reachable_directory(state, owner) == places[-1]
    kept, _, forgotten = places
    account.remove_tree(states[1])
    shutil.rmtree(states[2])
    assert [place.exists() for place in places] == [True, False, True]
    account._sweep(kept.parent)
    assert forgotten.exists()  # too fresh: somebody may be about to link it
    monkeypatch.setattr(account, "SWEEP_SECONDS", -1.0)
    account._sweep(kept.parent)
    assert [place.exists() for place in places] == [True, False, False]
    account.remove_tree(states[0])
    assert not list(kept.parent.glob("*.link")) or not kept.exists()
