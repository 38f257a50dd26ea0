"""A bundle of authorities gets into an image only if it is the one that was pinned."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rig.certificates import ensure_certificates

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("authorities")
    made = [ensure_certificates(directory / name, time.time()).ca.read_bytes() for name in ("a", "b")]
    file = directory / "bundle.pem"
    file.write_bytes(b"".join(made))
    return file


def placed(source: str | Path, digest: str, destination: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(ROOT / "tools" / "rds_ca.py"), str(source), digest, str(destination)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_pinned_bundle_is_put_in_place(bundle: Path, tmp_path: Path) -> None:
    destination = tmp_path / "image" / "rds-ca.pem"
    done = placed(bundle, hashlib.sha256(bundle.read_bytes()).hexdigest(), destination)
    assert (done.returncode, done.stdout) == (0, "2 certificate authorities of RDS\n")
    assert destination.read_bytes() == bundle.read_bytes()


def test_any_other_is_not(bundle: Path, tmp_path: Path) -> None:
    destination = tmp_path / "rds-ca.pem"
    changed = tmp_path / "changed.pem"
    changed.write_bytes(bundle.read_bytes() + b"\n")
    done = placed(changed, hashlib.sha256(bundle.read_bytes()).hexdigest(), destination)
    assert done.returncode == 1 and "is not what was pinned: its SHA-256 is " in done.stderr
    done = placed(tmp_path / "absent.pem", "0" * 64, destination)
    assert done.returncode == 1 and "cannot be read" in done.stderr
    text = tmp_path / "text.pem"
    text.write_text("<html>not found</html>")
    done = placed(text, hashlib.sha256(text.read_bytes()).hexdigest(), destination)
    assert done.returncode == 1 and "holds no certificates in PEM" in done.stderr
    assert not destination.exists()


@pytest.mark.parametrize("digest", ["", "latest", "0" * 63, "A" * 64])
def test_without_a_digest_nothing_is_built(bundle: Path, tmp_path: Path, digest: str) -> None:
    done = placed(bundle, digest, tmp_path / "rds-ca.pem")
    assert done.returncode == 1 and "give the SHA-256 of the bundle" in done.stderr
    assert not (tmp_path / "rds-ca.pem").exists()


def test_none_is_said_in_so_many_words(tmp_path: Path) -> None:
    assert placed("", "none", tmp_path / "rds-ca.pem").returncode == 0
    assert not (tmp_path / "rds-ca.pem").exists()


def test_an_address_that_does_not_answer_says_what_else_can_be_done(tmp_path: Path) -> None:
    done = placed("https://127.0.0.1:1/bundle.pem", "0" * 64, tmp_path / "rds-ca.pem")
    assert done.returncode == 1 and "name the file (RDS_CA)" in done.stderr
