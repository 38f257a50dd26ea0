"""The deployments that the tests look at: synthesized once for each content of what they are made from."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stacks.deployment import Deployment

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "stacks" / "assemblies"
KEPT_SECONDS = 3600.0
MADE_FROM = ("stacks", "blastwall", "lambdas", "config", "tests/stacks/config", "fargate_proxy", "cli", "rig", "tools")
FILES = (
    "cdk.json",
    "requirements.txt",
    ".dockerignore",
    "tests/stacks/assemblies.py",
    "tests/stacks/grown.json",
    "pyproject.toml",
    "setup.py",
)


def made_from() -> str:
    digest = hashlib.sha256()
    paths = [path for name in MADE_FROM for path in sorted((ROOT / name).rglob("*")) if "__pycache__" not in path.parts]
    for path in [*paths, *(ROOT / name for name in FILES)]:
        if path.is_file() and path.suffix not in (".pyc", ".so"):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


@pytest.fixture(scope="session")
def assemblies() -> Path:
    """The folder with one cloud assembly for each variant. Whoever comes first makes it; others wait."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / made_from()
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            for old in CACHE.glob("[0-9a-f]*"):
                if old.stat().st_mtime < time.time() - KEPT_SECONDS:  # a younger one may be in use elsewhere
                    shutil.rmtree(old, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as made:
                script = str(ROOT / "tests" / "stacks" / "assemblies.py")
                done = subprocess.run([sys.executable, script, made], capture_output=True, text=True, cwd=ROOT)
                assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
                (Path(made) / "done").mkdir()
                for variant in Path(made).iterdir():
                    (target / variant.name).parent.mkdir(exist_ok=True)
                    variant.rename(target / variant.name)
    return target


@pytest.fixture(scope="session")
def deployed(assemblies: Path) -> Deployment:
    """The committed choices: what ``cdk deploy`` makes."""
    return Deployment(assemblies / "nat")


@pytest.fixture(scope="session")
def trial(assemblies: Path) -> Deployment:
    return Deployment(assemblies / "dev")


@pytest.fixture(scope="session")
def isolated(assemblies: Path) -> Deployment:
    return Deployment(assemblies / "isolated")


@pytest.fixture(scope="session")
def given(assemblies: Path) -> Deployment:
    """Into a network that is there, with another configuration: RDS targets, an image by URI, PrivateLink."""
    return Deployment(assemblies / "given")


@pytest.fixture(scope="session")
def grown(assemblies: Path) -> Deployment:
    """The same as ``given`` with one target more."""
    return Deployment(assemblies / "grown")


@pytest.fixture(scope="session")
def every(
    deployed: Deployment, trial: Deployment, isolated: Deployment, given: Deployment
) -> Iterator[list[Deployment]]:
    yield [deployed, trial, isolated, given]
