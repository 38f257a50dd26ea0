"""Removes from the image's root what the gateway never runs: shells, package tools, what sets user ids.

It runs as the image's last step, by Python alone, for afterwards there is no shell to run anything. ``--list`` only
says what it would remove.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

#: Whole directories of tools; Python itself lives in /usr/local/bin.
TOOLS = ("bin", "sbin", "usr/bin", "usr/sbin")
KEPT = ("ld.so", "ldconfig")
STATE = ("etc/apt", "var/lib/apt", "var/lib/dpkg", "var/cache", "usr/share/perl5", "usr/lib/apt", "usr/share/doc")
LOCAL_KEPT = ("python", "python3", "python3.")


def removable(root: Path) -> Iterator[Path]:
    """Files and directories below ``root`` that go, tools first."""
    for name in TOOLS:
        directory = root / name
        if directory.is_dir() and not directory.is_symlink():
            yield from (path for path in sorted(directory.iterdir()) if path.name not in KEPT)
    local = root / "usr/local/bin"
    if local.is_dir():
        for path in sorted(local.iterdir()):
            if not (path.name in LOCAL_KEPT or (path.name.startswith("python3.") and "config" not in path.name)):
                yield path
    yield from (root / name for name in STATE if (root / name).is_dir())
    yield from privileged(root)


def privileged(root: Path) -> Iterator[Path]:
    """Programs elsewhere that would run as somebody else."""
    for directory, inner, names in os.walk(root):
        here = Path(directory)
        inner[:] = [name for name in inner if not (here == root and name in ("proc", "sys", "dev"))]
        for name in names:
            mode = (here / name).lstat().st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                yield here / name


def strip(root: Path) -> int:
    """Remove all of it; return how many entries went."""
    count = 0
    for path in list(removable(root)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        count += 1
    return count


if __name__ == "__main__":
    if "--list" in sys.argv:
        sys.stdout.writelines(f"{path}\n" for path in removable(Path("/")))
    else:
        sys.stdout.write(f"{strip(Path('/'))} entries removed\n")
