"""pgbench as the load: run it, read what it says. The program is the one of the embedded PostgreSQL's wheel."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blastwall.errors import OurFault
from rig.postgres import installation

#: What a run may take beyond its own time: connecting 32 clients, and the last statements.
SLACK_SECONDS = 60.0
THREADS = 2

_COUNT = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


class BenchFault(OurFault):
    """A benchmark could not be run, or its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. ``rate`` is transactions per second; with a connection for each transaction it includes connecting.

    ``median`` is a transaction's, in microseconds, 0 when it was not asked for.
    """

    transactions: int
    rate: float
    median: float = 0.0


def program(name: str = "pgbench") -> Path:
    return installation(17) / "bin" / name


def run(
    script: str,
    environment: Mapping[str, str],
    *,
    mode: str = "simple",
    clients: int = 1,
    seconds: float = 4.0,
    once: bool = False,
    reconnect: bool = False,
    latencies: bool = False,
) -> Outcome:
    """Run a script (pgbench's language) for whole ``seconds``. ``environment`` is libpq's: PGHOST and so on.

    ``once``: every client connects and runs the script once, and that is all. ``latencies`` goes with one client only:
    pgbench's other threads log zeros.

    Raises BenchFault when it fails, when a transaction failed, or when it does not end in time.
    """
    assert clients == 1 or not latencies, "only one client's times are logged"
    with tempfile.TemporaryDirectory(prefix="blastwall-bench-") as place:
        file = Path(place) / "script.sql"
        file.write_text(script)
        command = [str(program()), "--no-vacuum", f"--protocol={mode}", f"--client={clients}", f"--file={file}"]
        command += [
            f"--jobs={min(clients, THREADS)}",
            "--transactions=1" if once else f"--time={max(1, round(seconds))}",
        ]
        command += ["--connect"] if reconnect else []
        command += ["--log", f"--log-prefix={place}/log"] if latencies else []
        try:
            done = subprocess.run(
                command,
                env=dict(environment),
                capture_output=True,
                text=True,
                timeout=seconds + SLACK_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BenchFault(f"pgbench did not end within {seconds + SLACK_SECONDS:.0f} s") from None
        if done.returncode != 0:
            raise BenchFault(f"pgbench failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        logs = "".join(path.read_text() for path in sorted(Path(place).glob("log.*")))
        return read_outcome(done.stdout, read_median(logs) if latencies else 0.0)


def read_outcome(text: str, median: float = 0.0) -> Outcome:
    """What pgbench printed. Raises BenchFault when a figure is missing, or transactions failed."""
    count, rate, failed = _COUNT.search(text), _RATE.search(text), _FAILED.search(text)
    if count is None or rate is None:
        raise BenchFault(f"pgbench printed no result:\n{text[-2000:]}")
    if failed is not None and int(failed[1]):
        raise BenchFault(f"{failed[1]} transactions failed, so the others prove nothing:\n{text[-2000:]}")
    if not int(count[1]):
        raise BenchFault("pgbench finished no transaction in its time")
    return Outcome(int(count[1]), float(rate[1]), median)


def read_median(log: str) -> float:
    """The median of the third column of pgbench's transaction log: microseconds. Raises BenchFault without lines."""
    times = [int(words[2]) for line in log.splitlines() if len(words := line.split()) >= 3]
    if not times:
        raise BenchFault("pgbench logged no transaction")
    return statistics.median(times)


def initialise(environment: Mapping[str, str], scale: int) -> None:
    """Make pgbench's tables. Raises BenchFault."""
    command = [str(program()), "--initialize", f"--scale={scale}", "--quiet"]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise BenchFault(f"pgbench --initialize failed:\n{done.stderr[-2000:]}")
