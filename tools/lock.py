"""Writes the lock files: the pinned requirements of what ships, with the SHA-256 of each wheel that may be installed.

pip says which wheels those are, for each platform and Python on which the image or the functions are built or checked,
so a lock holds what pip would install and nothing else. `make lock` runs it, after a change of pins.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PIN = re.compile(r"([A-Za-z0-9_.-]+)(\[[a-z,]+\])?==(\S+)")
_LINUX = {machine: (f"manylinux2014_{machine}", f"manylinux_2_28_{machine}") for machine in ("aarch64", "x86_64")}
_MAC = ("macosx_11_0_arm64", "macosx_12_0_arm64", "macosx_14_0_arm64")
#: What compiles our hot modules while the image is made (tools/image.sh), and what that needs.
BUILD = ("ast_serialize", "librt", "mypy", "mypy_extensions", "pathspec", "setuptools", "typing_extensions")


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file: whose pins it holds (of those ``names`` only, if any are given), and where they are installed."""

    path: str
    requirements: str
    platforms: tuple[tuple[str, ...], ...]
    pythons: tuple[str, ...]
    names: tuple[str, ...] = ()


_ANYWHERE = (_LINUX["aarch64"], _LINUX["x86_64"], _MAC)
_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LOCKS = (
    Lock("fargate_proxy/requirements.lock", "fargate_proxy/requirements.txt", _ANYWHERE, _PYTHONS),
    Lock("fargate_proxy/build.lock", "requirements.txt", _ANYWHERE, _PYTHONS, BUILD),
    Lock("lambdas/requirements.lock", "lambdas/requirements.txt", (_LINUX["aarch64"],), ("3.13",)),
)


def canonical(name: str) -> str:
    """A project's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: Lock) -> dict[str, str]:
    """Canonical name -> requirement as it is written (``PyJWT[crypto]==2.15.1``), for what that lock is to hold."""
    found: dict[str, str] = {}
    files = [ROOT / lock.requirements]
    while files:
        text = files.pop().read_text("utf-8")
        files += [ROOT / line.split()[1] for line in text.splitlines() if line.startswith("-r ")]
        found |= {canonical(pin[1]): pin[0] for line in text.splitlines() if (pin := _PIN.fullmatch(line.strip()))}
    wanted = {canonical(name) for name in lock.names} or set(found)
    return {name: found[name] for name in sorted(wanted)}


def report(requirements: Iterable[str], platforms: Iterable[str], python: str) -> dict[str, str]:
    """Canonical name -> SHA-256 of the wheel that pip would install there.

    Raises CalledProcessError when one has none; pip has said which.
    """
    where = [part for platform in platforms for part in ("--platform", platform)]
    with tempfile.TemporaryDirectory() as nowhere:
        command = [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "--no-deps"),
            *("--only-binary=:all:", "--ignore-installed", "--target", nowhere),
            *("--implementation", "cp", "--python-version", python, *where, *requirements),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=600)  # noqa: S603  our own interpreter
    return {
        canonical(item["metadata"]["name"]): item["download_info"]["archive_info"]["hashes"]["sha256"]
        for item in json.loads(done.stdout)["install"]
    }


def written(requirements: Mapping[str, str], digests: Mapping[str, Iterable[str]]) -> str:
    """A lock file's text, in the order of names and digests."""
    lines = ["# Written by `make lock`; pip installs nothing but these very files (--require-hashes).", ""]
    for name, requirement in sorted(requirements.items()):
        lines.append(" \\\n".join([requirement, *(f"    --hash=sha256:{digest}" for digest in sorted(digests[name]))]))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write all of them."""
    for lock in LOCKS:
        requirements = pins(lock)
        digests: dict[str, set[str]] = {name: set() for name in requirements}
        for platforms in lock.platforms:
            for python in lock.pythons:
                for name, digest in report(requirements.values(), platforms, python).items():
                    digests[name].add(digest)
        (ROOT / lock.path).write_text(written(requirements, digests), "utf-8")
        print(f"{lock.path}: {len(requirements)} requirements, {sum(map(len, digests.values()))} wheels")


if __name__ == "__main__":
    main()
