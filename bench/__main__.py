"""``python -m bench``: all benchmarks, or the named ones."""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from bench import report, run
from bench.bulk import bulk
from bench.masking import masking
from bench.measure import Measure, Pace, machine
from bench.select import connect, latency, select
from bench.ssh import ssh
from bench.stage import Stage
from blastwall.errors import Fault

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
    pace = run.pace(options.quick, options.rounds, options.seconds)
    goals = report.load_goals()
    try:
        sections: list[tuple[str, Sequence[Measure]]] = []
        with Stage(options.state) as stage:
            for name in names:
                title, benchmark = BENCHMARKS[name]
                sections.append((title, benchmark(stage, pace)))
                # At once: what comes later may fail, and this took its minutes.
                print(f"{title}\n\n{report.table(sections[-1][1], goals)}\n", file=sys.stderr, flush=True)
        text = report.compose(
            sections,
            goals,
            command=shlex.join(["python", "-m", "bench", *arguments]),
            day=datetime.datetime.now(datetime.UTC).date(),
            machine=machine(),
            versions=[f"Python {platform.python_version()}", *stage.versions],
            revision=run.revision(),
            quick=options.quick,
        )
        print(text)
        if options.write:
            run.DOCUMENT.write_text(report.place(run.DOCUMENT.read_text("utf-8"), text), "utf-8")
    except (Fault, OSError, subprocess.SubprocessError) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=", ".join(BENCHMARKS))
    run.options(parser, "the tables")
    parser.add_argument("--rounds", type=int, help=f"rounds of each measure (default {run.ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"length of each run (default {run.SECONDS:g})")
    return run.parsed(parser, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
