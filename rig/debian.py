"""Programs out of Debian's packages, unpacked into a cache directory: no rights needed, nothing installed.

For what no wheel carries (an OpenSSH server, say). Machines without apt-get must have the program installed.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from rig.postgres import RigFault

FETCH_SECONDS = 120.0


def unpacked(packages: tuple[str, ...], cache: Path) -> Path:
    """A directory with the files of ``packages``, fetched on first use; processes that ask at once wait for each other.

    Raises RigFault saying what to install when they cannot be had.
    """
    place = cache / packages[0]
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{packages[0]}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.is_dir():
            return place
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            raise RigFault(f"{packages[0]} is not here, and this machine has no apt-get to fetch it: install it")
        partial = cache / f"{packages[0]}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        partial.chmod(0o755)
        for package in packages:
            _download(package, partial)
        for archive in sorted(partial.glob("*.deb")):
            _run(["dpkg", "-x", archive.name, "."], partial)
        partial.rename(place)
    return place


def _download(package: str, place: Path) -> None:
    try:
        _run(["apt-get", "-q", "download", package], place)
    except RigFault as fault:
        if not _lists_are_missing(package):
            raise RigFault(f"{fault}\nInstall {package}, or run apt-get update first.") from None
        _run(["apt-get", "-q", "update"], place)  # a fresh image comes without lists
        _run(["apt-get", "-q", "download", package], place)


def _lists_are_missing(package: str) -> bool:
    shown = subprocess.run(
        ["apt-cache", "show", package], capture_output=True, check=False, timeout=FETCH_SECONDS, text=True
    )
    return shown.returncode != 0 or not shown.stdout.strip()


def _run(command: list[str], place: Path) -> None:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    if done.returncode != 0:
        raise RigFault(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
