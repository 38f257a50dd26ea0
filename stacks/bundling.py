"""The one asset of all functions: our sources and their dependencies for Lambda's platform, made without Docker."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jsii
from aws_cdk import AssetHashType, BundlingOptions, ILocalBundling
from aws_cdk import aws_lambda as lambda_

PYTHON = "3.13"
PLATFORM = "manylinux2014_aarch64"
PACKAGES = ("blastwall", "lambdas")
REQUIREMENTS = Path("lambdas/requirements.lock")
PIP_SECONDS = 600
CA_BUNDLE = "rds-ca.pem"  # in the asset
_LEFT_OUT = ("__pycache__", "*.pyc", "*.so")


def function_code(root: Path, cache: Path, authorities: tuple[str, str] = ("", "")) -> lambda_.Code:
    """The asset. Its hash covers our sources, the locked requirements and the platform, bundled or not.

    ``authorities`` are where RDS's bundle is and its SHA-256 ("": none); it is put in only if it is that one.
    """
    sources_digest = source_hash(root)
    source = staged(root, cache, sources_digest)
    return lambda_.Code.from_asset(
        str(source),
        asset_hash=hashlib.sha256(f"{sources_digest} {authorities[1]}".encode()).hexdigest(),
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(
            image=lambda_.Runtime.PYTHON_3_13.bundling_image, local=WithPip(source, root / REQUIREMENTS, authorities)
        ),
    )


def sources(root: Path) -> Iterator[Path]:
    """Our files that go into the asset, sorted."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and not any(path.match(pattern) or pattern in path.parts for pattern in _LEFT_OUT):
                yield path


def source_hash(root: Path) -> str:
    """SHA-256 (hex) over what the asset is made from."""
    digest = hashlib.sha256(f"{PYTHON} {PLATFORM}\0".encode())
    for path in [*sources(root), root / REQUIREMENTS]:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def staged(root: Path, cache: Path, digest: str) -> Path:
    """Copy our sources to a directory of their own below ``cache``, named by their hash; return it."""
    target = cache / "code" / digest[:32]
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="staging-") as made:
        inside = Path(made) / "code"
        for path in sources(root):
            place = inside / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        with contextlib.suppress(OSError):  # another synthesis was first
            inside.rename(target)
    return target


def install(requirements: Path, target: Path) -> None:
    """Install wheels for Lambda's platform into ``target``, those of the lock file ``requirements`` and no other bytes.

    Raises RuntimeError with pip's own last words.
    """
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--require-hashes", "--requirement", str(requirements), "--target", str(target)),
        *("--platform", PLATFORM, "--platform", "manylinux_2_28_aarch64", "--only-binary=:all:"),
        *("--implementation", "cp", "--python-version", PYTHON, "--no-deps"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)  # noqa: S603  our own interpreter
    if done.returncode:
        raise RuntimeError(f"the functions' dependencies cannot be installed:\n{done.stderr[-2000:]}")


def pin(source: str, digest: str, destination: Path) -> None:
    """Put RDS's authorities in place, as the image does. Raises RuntimeError when they are not those of the digest."""
    tool = Path(__file__).parents[1] / "tools" / "rds_ca.py"
    done = subprocess.run(  # noqa: S603  our own
        [sys.executable, str(tool), source, digest, str(destination)],
        capture_output=True,
        text=True,
        timeout=PIP_SECONDS,
        check=False,
        cwd=tool.parents[1],
    )
    if done.returncode:
        raise RuntimeError(f"the functions' bundle of authorities: {done.stderr[-2000:]}")


@jsii.implements(ILocalBundling)
class WithPip:
    """Bundles with pip. The CDK passes its options by position or by name, whichever; none of them is needed."""

    def __init__(self, source: Path, requirements: Path, authorities: tuple[str, str] = ("", "")) -> None:
        self._source = source
        self._requirements = requirements
        self._authorities = authorities

    def try_bundle(self, output_dir: str, *_args: object, **_options: object) -> bool:
        install(self._requirements, Path(output_dir))
        shutil.copytree(self._source, output_dir, dirs_exist_ok=True)
        if self._authorities[1]:
            pin(*self._authorities, Path(output_dir) / CA_BUNDLE)
        return True
