"""``python -m bench``: all benchmarks, or the named ones."""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import report
from bench.bulk import bulk
from bench.masking import masking
from bench.measure import Measure, Pace, machine
from bench.select import connect, latency, select
from bench.ssh import ssh
from bench.stage import Stage
from blastwall.errors import Fault

STATE = Path(".cache/bench")
DOCUMENT = Path("docs/benchmarks.md")
ROUNDS, SECONDS = 5, 4.0
QUICK_ROUNDS, QUICK_SECONDS = 2, 2.0

#: Name on the command line -> (heading, what it measures).
BENCHMARKS: Mapping[str, tuple[str, Callable[[Stage, Pace], Sequence[Measure]]]] = {
    "select": ("Point selects, no TLS", select),
    "select-tls": ("Point selects, TLS towards the client", lambda stage, pace: select(stage, pace, tls=True)),
    "latency": ("Added time of one query", latency),
    "connect": ("Connections", connect),
    "bulk": ("Large results", bulk),
    "masking": ("Masking", masking),
    "ssh": ("SSH (the peer: ssh -J through an OpenSSH bastion)", ssh),
}


def main(arguments: list[str]) -> int:
    """Exit status 0 when everything was measured, met or missed; 1 when something could not be."""
    options = _options(arguments)
    names = options.names or list(BENCHMARKS)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    pace = Pace(rounds, options.seconds or (QUICK_SECONDS if options.quick else SECONDS), _say)
    goals = report.load_goals()
    try:
        sections = []
        with Stage(options.state) as stage:
            for name in names:
                title, benchmark = BENCHMARKS[name]
                sections.append((title, benchmark(stage, pace)))
        text = report.compose(
            sections,
            goals,
            command=shlex.join(["python", "-m", "bench", *arguments]),
            day=datetime.datetime.now(datetime.UTC).date(),
            machine=machine(),
            versions=[f"Python {platform.python_version()}", *stage.versions],
            revision=_revision(),
        )
        print(text)
        if options.write:
            DOCUMENT.write_text(report.place(DOCUMENT.read_text("utf-8"), text), "utf-8")
    except (Fault, OSError, subprocess.SubprocessError) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="two short rounds: shows that it works, proves nothing")
    parser.add_argument("--rounds", type=int, help=f"rounds of each measure (default {ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"length of each run (default {SECONDS:g})")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCUMENT}")
    parser.add_argument("--state", type=Path, default=STATE, help=f"database and recordings (default {STATE})")
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _revision() -> str:
    """The commit, with a + when files differ from it."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+" if changed.strip() else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
