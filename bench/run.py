"""What every benchmark's command line has: how often and how long, where, and what is said about the figures."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import Pace
from rig import account

STATE = Path(".cache/bench")
DOCUMENT = Path("docs/benchmarks.md")
ROUNDS, SECONDS = 5, 4.0
QUICK_ROUNDS, QUICK_SECONDS = 2, 2.0
QUICK = "Quick: so few and short rounds show that it works. The figures prove nothing."
QUICK_HELP = "few and short rounds: shows that it works, proves nothing"


def options(parser: argparse.ArgumentParser, what: str) -> None:
    """``--quick``, ``--write`` and ``--state``."""
    parser.add_argument("--quick", action="store_true", help=QUICK_HELP)
    parser.add_argument("--write", action="store_true", help=f"put {what} into {DOCUMENT}")
    parser.add_argument("--state", type=Path, default=STATE, help=f"database and recordings (default {STATE})")


def parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """The options. Ends the program (2) where figures that prove nothing were to be written down."""
    found = parser.parse_args(arguments)
    if found.quick and found.write:
        parser.error("--quick proves nothing, so --write does not write it down")
    return found


def pace(quick: bool, rounds: int | None = None, seconds: float | None = None) -> Pace:
    """As often and as long as was asked for, or as usual."""
    usual = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    return Pace(rounds or usual[0], seconds or usual[1], say)


@contextmanager
def home() -> Iterator[Path]:
    """A directory for this run alone, which the servers' account may enter."""
    place = Path(tempfile.mkdtemp(prefix="blastwall-bench-"))
    place.chmod(0o711)
    try:
        yield place
    finally:
        account.remove_tree(place)


def say(line: str) -> None:
    """Progress, beside the figures."""
    print(f"  {line}", file=sys.stderr, flush=True)


def revision() -> str:
    """The commit, with a + when files differ from it."""
    try:
        commit = _git("rev-parse", "--short", "HEAD").strip()
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+" if changed.strip() else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10).stdout
