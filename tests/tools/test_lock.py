"""The lock files hold what is pinned, by hash, for the platforms that it is built on."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from tools.lock import BUILD, LOCKS, ROOT, Lock, canonical, pins, report, written

_ENTRY = re.compile(r"(\S+==\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.path)
def test_a_lock_holds_the_pins_of_its_requirements_and_a_hash_at_least_for_each(lock: Lock) -> None:
    """If this fails, pins were changed: run `make lock`."""
    text = (ROOT / lock.path).read_text().partition("\n\n")[2]
    assert _ENTRY.sub("", text) == "", "nothing else stands in it"
    locked = {canonical(re.split(r"[\[=]", entry[0])[0]): entry[0] for entry in _ENTRY.findall(text)}
    assert locked == pins(lock)


def test_what_builds_and_what_ships_are_taken_from_locks_alone() -> None:
    made = (ROOT / "tools" / "image.sh").read_text()
    installs = [line for line in made.splitlines() if "pip install" in line and '"$work"/wheel/' not in line]
    assert len(installs) == 2 and all("--require-hashes" in line and ".lock" in line for line in installs)
    assert {canonical(name) for name in BUILD} == set(pins(LOCKS[1]))


def test_the_hash_is_that_of_the_wheel_pip_would_take_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tag in ("cp313-cp313-manylinux2014_aarch64", "cp313-cp313-manylinux2014_x86_64"):
        with zipfile.ZipFile(tmp_path / f"quick_one-1.0-{tag}.whl", "w") as made:
            made.writestr("quick.py", f"value = {tag!r}\n")
            made.writestr("quick_one-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: quick_one\nVersion: 1.0\n")
            made.writestr("quick_one-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
            made.writestr("quick_one-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    there = {
        machine: report(["quick-one==1.0"], [f"manylinux2014_{machine}"], "3.13") for machine in ("aarch64", "x86_64")
    }
    for machine, found in there.items():
        wheel = tmp_path / f"quick_one-1.0-cp313-cp313-manylinux2014_{machine}.whl"
        assert found == {"quick-one": hashlib.sha256(wheel.read_bytes()).hexdigest()}


def test_a_lock_is_written_in_order() -> None:
    text = written({"b": "b[x]==2", "a": "a==1"}, {"a": {"ff", "00"}, "b": ["1"]})
    assert text.partition("\n\n")[2] == (
        "a==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:ff\nb[x]==2 \\\n    --hash=sha256:1\n"
    )
